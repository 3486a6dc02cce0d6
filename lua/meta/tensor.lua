---@meta
--- recsys.tensor: numbers in rows and columns. dtypes f32, f64, i32, i64, u8, bf16; up to 4 dimensions.
---
--- Positions and dimensions count from 1 (negative: from the end). A tensor of row numbers that one function makes for
--- another (argsort, nonzero, argmax over a dimension, index_select's rows) is data and counts from 0.
--- Two operands broadcast as in NumPy and meet in the wider dtype: u8 < i32 < i64 < f32 < f64; a number takes the
--- tensor's dtype when it fits there. `a / b` of integers is f64; `//` and `%` are Lua's. What ends in an underscore
--- changes its tensor and returns it; all else makes a new tensor or a view.
--- Large temporaries are freed early by `local t <close> = ...` or `t:close()`.

---@alias Dtype "f32"|"f64"|"i32"|"i64"|"u8"|"bf16"

---@class TensorModule
local tensor = {}

--- From a number or a nested table of numbers.
---@param values number|table
---@param dtype? Dtype default "f32"
---@return Tensor
function tensor.new(values, dtype) end

--- Zeros; sizes as integers or as one table, then the dtype: `tensor.zeros(4, 8)`, `tensor.zeros({4, 8}, "i64")`.
---@param ... integer|integer[]|Dtype dtype default "f32"
---@return Tensor
function tensor.zeros(...) end

--- All of one value; sizes and dtype as for zeros.
---@param value number
---@param ... integer|integer[]|Dtype
---@return Tensor
function tensor.full(value, ...) end

--- `arange(stop)`, `arange(start, stop)`, `arange(start, stop, step)`, each with an optional dtype behind: start (0),
--- start + step, ... before stop.
---@param ... number|Dtype dtype default "i64", "f32" when a number is a float
---@return Tensor [n]
function tensor.arange(...) end

--- From the bytes of its elements, row-major and little-endian; without sizes a vector of them all.
---@param bytes string
---@param dtype? Dtype default "f32"
---@param ... integer|integer[]
---@return Tensor
function tensor.from_string(bytes, dtype, ...) end

--- Whether a value is an open tensor.
---@param value any
---@return boolean
function tensor.is(value) end

--- One after another along a dimension; all of one dtype and alike in the other sizes.
---@param tensors Tensor[]
---@param dim? integer default 1
---@return Tensor
function tensor.concat(tensors, dim) end

--- a where the mask is not 0, else b.
---@param mask Tensor u8
---@param a Tensor|number
---@param b Tensor|number
---@return Tensor
function tensor.where(mask, a, b) end

---@param a Tensor f32 or f64 [n, k] ([k, n] when transposed)
---@param b Tensor of the same dtype [k, m] ([m, k] when transposed)
---@param transpose_a? boolean
---@param transpose_b? boolean
---@return Tensor [n, m]; a row's bits depend on that row of a and on b alone
function tensor.matmul(a, b, transpose_a, transpose_b) end

--- Element by element; NaN when either is.
---@param a Tensor|number
---@param b Tensor|number
---@return Tensor
function tensor.maximum(a, b) end

--- Element by element; NaN when either is.
---@param a Tensor|number
---@param b Tensor|number
---@return Tensor
function tensor.minimum(a, b) end

--- `#t` is the first size, `==` identity, tostring(t) one line: `Tensor f32 [256, 64]`.
---@class Tensor
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator idiv(Tensor|number): Tensor
---@operator mod(Tensor|number): Tensor
---@operator unm: Tensor
---@operator len: integer
local Tensor = {}

--- All sizes as a table, or the size of one dimension.
---@param dim? integer
---@return integer[]|integer
function Tensor:size(dim) end

--- The number of dimensions.
---@return integer
function Tensor:dim() end

--- The number of elements.
---@return integer
function Tensor:count() end

---@return Dtype
function Tensor:dtype() end

--- The element at a position for each dimension.
---@param ... integer
---@return number
function Tensor:get(...) end

--- Set the element at a position: `t:set(i, j, value)`.
---@param ... number the position, then the value
---@return Tensor self
function Tensor:set(...) end

--- The one element of a tensor that has one.
---@return number
function Tensor:item() end

--- Nested tables of numbers; a number for a scalar.
---@return table|number
function Tensor:tolist() end

--- The bytes of its elements, row-major and little-endian.
---@return string
function Tensor:to_string() end

--- A view of `length` positions of a dimension from `start` on.
---@param dim integer
---@param start integer
---@param length integer 0 or more
---@return Tensor
function Tensor:narrow(dim, start, length) end

--- A view at one position of a dimension, without that dimension.
---@param dim integer
---@param index integer
---@return Tensor
function Tensor:select(dim, index) end

--- A view with two dimensions exchanged.
---@param dim0? integer default 1
---@param dim1? integer default 2
---@return Tensor
function Tensor:transpose(dim0, dim1) end

--- The same elements in other sizes, one of which may be -1; a view when t is contiguous.
---@param ... integer|integer[]
---@return Tensor
function Tensor:reshape(...) end

--- t, copied when it is not contiguous.
---@return Tensor
function Tensor:contiguous() end

--- Whether the elements lie one after another in row-major order.
---@return boolean
function Tensor:is_contiguous() end

--- A contiguous copy with storage of its own.
---@return Tensor
function Tensor:clone() end

--- As another dtype (t itself when it is that already): floats are cut towards zero, values out of range become its
--- nearest end, NaN becomes 0.
---@param dtype Dtype
---@return Tensor
function Tensor:to(dtype) end

--- Give the storage back now. Views and other handles keep it alive; fine on a closed tensor.
function Tensor:close() end

--- t + other
---@param other Tensor|number
---@return Tensor
function Tensor:add(other) end

--- t - other
---@param other Tensor|number
---@return Tensor
function Tensor:sub(other) end

--- t * other
---@param other Tensor|number
---@return Tensor
function Tensor:mul(other) end

--- t / other
---@param other Tensor|number
---@return Tensor
function Tensor:div(other) end

--- Element by element; NaN when either is.
---@param other Tensor|number
---@return Tensor
function Tensor:maximum(other) end

--- Element by element; NaN when either is.
---@param other Tensor|number
---@return Tensor
function Tensor:minimum(other) end

--- 1 where t > other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:gt(other) end

--- 1 where t >= other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:ge(other) end

--- 1 where t < other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:lt(other) end

--- 1 where t <= other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:le(other) end

--- 1 where t == other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:eq(other) end

--- 1 where t ~= other, else 0.
---@param other Tensor|number
---@return Tensor u8
function Tensor:ne(other) end

--- t = t + scale * other
---@param other Tensor|number
---@param scale? number default 1
---@return Tensor self
function Tensor:add_(other, scale) end

--- t = t - scale * other
---@param other Tensor|number
---@param scale? number default 1
---@return Tensor self
function Tensor:sub_(other, scale) end

--- t = t * other
---@param other Tensor|number
---@return Tensor self
function Tensor:mul_(other) end

--- t = t / other
---@param other Tensor|number
---@return Tensor self
function Tensor:div_(other) end

--- All elements become the value.
---@param value number
---@return Tensor self
function Tensor:fill_(value) end

--- t = other, stretched to t.
---@param other Tensor|number
---@return Tensor self
function Tensor:copy_(other) end

--- Element by element.
---@return Tensor
function Tensor:abs() end

--- Element by element; floats only.
---@return Tensor
function Tensor:exp() end

--- Element by element; floats only.
---@return Tensor
function Tensor:log() end

--- Element by element; floats only.
---@return Tensor
function Tensor:sqrt() end

--- Element by element.
---@return Tensor
function Tensor:floor() end

--- Not below low and not above high; either may be nil.
---@param low? number
---@param high? number
---@return Tensor
function Tensor:clamp(low, high) end

--- Over all elements a number; over a dimension a tensor without it. Integers sum to i64.
---@param dim? integer
---@return number|Tensor
function Tensor:sum(dim) end

--- Over all elements a number; over a dimension a tensor without it. Integers have an f64 mean.
---@param dim? integer
---@return number|Tensor
function Tensor:mean(dim) end

--- Over all elements a number; over a dimension a tensor without it. NaN when there is one.
---@param dim? integer
---@return number|Tensor
function Tensor:max(dim) end

--- Over all elements a number; over a dimension a tensor without it. NaN when there is one.
---@param dim? integer
---@return number|Tensor
function Tensor:min(dim) end

--- Where the greatest is, the first of equals: over all elements its position from 1 in row-major order, over a
--- dimension an i64 tensor of row numbers from 0.
---@param dim? integer
---@return integer|Tensor
function Tensor:argmax(dim) end

--- Where the least is, the first of equals: over all elements its position from 1 in row-major order, over a
--- dimension an i64 tensor of row numbers from 0.
---@param dim? integer
---@return integer|Tensor
function Tensor:argmin(dim) end

--- See tensor.matmul.
---@param b Tensor
---@param transpose_a? boolean
---@param transpose_b? boolean
---@return Tensor
function Tensor:matmul(b, transpose_a, transpose_b) end

--- The inverse of a symmetric positive definite matrix of f32 or f64, of which the lower triangle is read; n^3
--- operations on all threads, with the same bits on any number of them. Raises for one that is not definite in the
--- digits of its dtype.
---@return Tensor [n, n]
function Tensor:inverse_definite() end

--- The same in its own place: beside a contiguous t there is room for 1,024 of its rows. What was in t when it raises
--- is lost.
---@return Tensor self
function Tensor:inverse_definite_() end

--- The stable order of a vector, as row numbers from 0; NaN last.
---@param descending? boolean
---@return Tensor i64 [n]
function Tensor:argsort(descending) end

--- A vector in order; NaN last.
---@param descending? boolean
---@return Tensor [n]
function Tensor:sort(descending) end

--- The distinct values of a vector in ascending order, and how often each occurs.
---@return Tensor values
---@return Tensor counts i64
function Tensor:unique() end

--- The distinct values of a vector of i64 or i32 in the order in which they first occur, and each element's place among
--- them: values:index_select(of) is this vector.
---@return Tensor values
---@return Tensor of      i64 [n], from 0
function Tensor:distinct() end

--- Running sums of a vector; of integers as i64.
---@return Tensor [n]
function Tensor:cumsum() end

--- How often each of 0 .. n-1 occurs in a vector of integers (i64), or the sums of its weights (f64). Raises for
--- a value outside.
---@param n? integer default: one more than the largest
---@param weights? Tensor f32 or f64, one an element
---@return Tensor [n]
function Tensor:bincount(n, weights) end

--- For each value how many elements of this ascending vector are less, or with `right` not greater.
---@param values Tensor of the same dtype [m]
---@param right? boolean
---@return Tensor i64 [m]
function Tensor:search_sorted(values, right) end

--- Where a u8 vector is not 0: row numbers from 0, ascending.
---@return Tensor i64 [m]
function Tensor:nonzero() end

--- The rows of dimension 1 with these numbers. Raises for one outside.
---@param rows Tensor i64 or i32 [m], from 0
---@return Tensor [m, ...]
function Tensor:index_select(rows) end

--- out[i][j] = t[i][columns[i][j]] of a matrix.
---@param columns Tensor i64 or i32 [n, k], from 0
---@return Tensor [n, k]
function Tensor:gather(columns) end

--- t[rows[i]] += source[i], in order; equal rows add up. t must be contiguous.
---@param rows Tensor i64 or i32 [m], from 0
---@param source Tensor [m, ...]
---@return Tensor self
function Tensor:index_add_(rows, source) end

--- t[rows[i]] = source[i]; the last of equal rows stays. t must be contiguous.
---@param rows Tensor i64 or i32 [m], from 0
---@param source Tensor [m, ...]
---@return Tensor self
function Tensor:index_copy_(rows, source) end

--- The array in a NumPy .npy file (versions 1 to 3), mapped read-only where its elements are f4, f8, i4, i8 or u1 of
--- this byte order. b1 comes as u8, f2 as f32, i1, i2 and u2 as i32, u4 as i64; these, other byte orders and Fortran's
--- order of dimensions are copied.
---@param path string
---@return Tensor?
---@return string? message
---@return string? code     "format" with the byte of the trouble, "io", "memory"
function tensor.load_npy(path) end

--- Replace the file at `path` atomically by a .npy file.
---@param path string
---@param t Tensor
---@return boolean? done
---@return string? message
---@return string? code     "io", "memory"
function tensor.save_npy(path, t) end

--- A sparse matrix by rows: row i (from 0) holds values[starts[i] .. starts[i + 1]) at their columns. The tensors are
--- shared and checked; raises when they make no matrix.
---@param starts Tensor   i64 [rows + 1], rising from 0 to the number of entries
---@param columns Tensor  i32 [entries], 0 .. width-1
---@param values Tensor   f32 or f64 [entries]
---@param width integer
---@return Csr
function tensor.csr(starts, columns, values, width) end

--- A sparse matrix by rows. Its products have the same bits with any number of threads.
---@class Csr
local Csr = {}

---@return integer rows
---@return integer width
function Csr:size() end

--- What it is made of, shared: `tensor.csr` is the reverse.
---@return { starts: Tensor, columns: Tensor, values: Tensor }
function Csr:tensors() end

--- The same matrix with values of another dtype; the places of the entries are shared.
---@param dtype "f32"|"f64"
---@return Csr
function Csr:to(dtype) end

---@return Csr a copy [width, rows], columns rising in each row
function Csr:transpose() end

---@param b Tensor [width, d] of the matrix's dtype
---@return Tensor [rows, d]
function Csr:matmul(b) end

--- The transposed matrix times b.
---@param b Tensor [rows, d] of the matrix's dtype
---@return Tensor [width, d]
function Csr:matmul_transposed(b) end

--- A dense matrix times this one; zeros of the former are passed over.
---@param a Tensor [n, rows] of the matrix's dtype
---@return Tensor [n, width]
function Csr:matmul_left(a) end

---@return Tensor [rows, width]; equal positions add up
function Csr:dense() end

--- The d largest singular values and their right vectors: randomised subspace iteration (Halko, Martinsson & Tropp
--- 2011, doi:10.1137/090771806). `m:matmul(vectors)` are the rows in d dimensions.
---@param d integer  1 .. the smaller of rows and width, else raises
---@param options? { oversampling: integer?, iterations: integer?, seed: integer? }
---  oversampling: directions carried along beside the d, default the larger of 16 and d / 4; iterations: default 5;
---  seed: default 0
---@return Tensor values   f64 [d], falling
---@return Tensor vectors  [width, d] of the matrix's dtype; in each column the entry of largest size is positive
function Csr:svd(d, options) end

--- Give the memory back now; the matrix is unusable afterwards.
function Csr:close() end

return tensor
