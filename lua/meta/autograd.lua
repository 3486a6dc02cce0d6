---@meta recsys.autograd
--- recsys.autograd: parameters, the tape that records a step and walks it back, and plans.
---
---     local w = autograd.parameter("w", tensor.new { { 1, 2 } })
---     local tape <close> = autograd.tape { train = true }
---     local loss = autograd.mse(tape:input("x", x):linear(tape:parameter(w)), tape:input("y", y))
---     tape:backward(loss)          -- w:grad() is d loss / d w
---
--- Sizes: n rows, d width. Reals are f32 or f64, all operands of one dtype; codes are i32. Shapes that do not fit raise
--- and are named, both.

---@class Autograd
local autograd = {}

--- A named tensor that training changes. It shares the tensor's memory (a view that is not contiguous is copied).
---@param name string
---@param tensor Tensor f32 or f64; of what is not trainable also integers
---@param options? { sparse?: boolean, trainable?: boolean }
---   sparse (default false): gradients are kept as rows, for embedding tables [rows, d]; trainable (default true):
---   false makes a buffer, saved with the model but never given a gradient
---@return Parameter
function autograd.parameter(name, tensor, options) end

--- A tape owns what a step makes; closing it frees that. Use `local tape <close> = autograd.tape {...}`.
---@param options? { train?: boolean, gradients?: boolean, seed?: integer, epoch?: integer, step?: integer,
---   rows_before?: integer, check?: boolean }
---   train (default false): dropout drops, batch norm uses and tracks the batch; gradients (default: as train): keep
---   what backward needs; seed, epoch, step (default 0) name the random streams; rows_before (default 0): rows of the
---   global batch before this one; check (default false): a forward or backward that makes a number that is not finite,
---   or is given one by an input or a parameter, raises and names the operation, its inputs and their shapes
---@return Tape
function autograd.tape(options) end

--- A plan from JSON text that nobody vouches for.
---@param text string
---@return Plan|nil plan nil, message, code when the text is refused
---@return string? message
---@return string? code "format" or "memory"
function autograd.plan_from_json(text) end

--- dropout(activation(x w^T + b)), in one pass over the rows.
---@param x Var [n, k]
---@param w Var [m, k]
---@param b? Var [m]
---@param activation? "none"|"relu"|"gelu"|"tanh"|"sigmoid" default "none"
---@param rate? number  of dropout, in [0, 1), while the tape trains; default 0. The draw is that of dropout() here
---@return Var [n, m]
function autograd.linear(x, w, b, activation, rate) end

--- dropout(activation(batch_norm(x w^T))), on a training tape in two passes over the rows; else as batch_norm.
---@param x Var [n, k]; training wants n >= 2
---@param w Var [m, k]
---@param gain Var [m]
---@param bias Var [m]
---@param mean Var [m], a parameter that is not trainable
---@param variance Var [m], likewise
---@param options? { momentum?: number, epsilon?: number, activation?: string, rate?: number }
---   default 0.1, 1e-5, "none" and 0
---@return Var [n, m]
function autograd.linear_batch_norm(x, w, gain, bias, mean, variance, options) end

--- The product of two matrices, each transposed first where asked.
---@param a Var
---@param b Var
---@param transpose_a? boolean
---@param transpose_b? boolean
---@return Var
function autograd.matmul(a, b, transpose_a, transpose_b) end

--- a + b; sizes broadcast as in NumPy. Either may be a number.
---@param a Var|number
---@param b Var|number
---@return Var
function autograd.add(a, b) end

--- a - b, as add.
---@param a Var|number
---@param b Var|number
---@return Var
function autograd.sub(a, b) end

--- a b element by element, as add.
---@param a Var|number
---@param b Var|number
---@return Var
function autograd.mul(a, b) end

--- a / b element by element; b may be a number.
---@param a Var
---@param b Var|number
---@return Var
function autograd.div(a, b) end

--- scale x + shift.
---@param x Var
---@param scale number
---@param shift? number default 0
---@return Var
function autograd.affine(x, scale, shift) end

--- max(x, 0); the gradient at 0 is 0.
---@param x Var
---@return Var
function autograd.relu(x) end

--- x Phi(x) with the normal distribution function, exact. Hendrycks & Gimpel 2016, arXiv:1606.08415.
---@param x Var
---@return Var
function autograd.gelu(x) end

---@param x Var
---@return Var
function autograd.tanh(x) end

--- 1 / (1 + exp(-x)).
---@param x Var
---@return Var
function autograd.sigmoid(x) end

---@param x Var
---@return Var
function autograd.exp(x) end

--- The natural logarithm.
---@param x Var
---@return Var
function autograd.log(x) end

--- Over the last dimension, stable for any finite logits.
---@param x Var [..., d], d >= 1
---@return Var
function autograd.softmax(x) end

--- log(softmax(x)).
---@param x Var [..., d], d >= 1
---@return Var
function autograd.log_softmax(x) end

--- Training: each element is 0 with probability `rate`, else divided by 1 - rate, by a draw that is a function of
--- (seed, epoch, step, place on the tape, global row). Evaluation: x. Srivastava et al. 2014.
---@param x Var
---@param rate number in [0, 1)
---@return Var
function autograd.dropout(x, rate) end

--- Each row to mean 0 and variance 1 (divided by d), then gain and bias. Ba, Kiros & Hinton 2016, arXiv:1607.06450.
---@param x Var [..., d]
---@param gain Var [d]
---@param bias Var [d]
---@param epsilon? number default 1e-5
---@return Var
function autograd.layer_norm(x, gain, bias, epsilon) end

--- Each column to mean 0 and variance 1, then gain and bias. Training takes the batch's moments and moves the
--- buffers: running += momentum (batch - running), the variance there divided by n - 1; evaluation takes the buffers.
--- Ioffe & Szegedy 2015, arXiv:1502.03167.
---@param x Var [n, d]; training wants n >= 2
---@param gain Var [d]
---@param bias Var [d]
---@param mean Var [d], a parameter that is not trainable
---@param variance Var [d], likewise
---@param momentum? number default 0.1
---@param epsilon? number default 1e-5
---@return Var
function autograd.batch_norm(x, gain, bias, mean, variance, momentum, epsilon) end

--- Rows divided by max(||row||, epsilon).
---@param x Var [..., d]
---@param epsilon? number default 1e-12
---@return Var
function autograd.l2_normalize(x, epsilon) end

--- Side by side along the last dimension.
---@param list Var[] of one tape; all other sizes agree
---@return Var
function autograd.concat(list) end

--- Positions start .. start + length - 1 of a dimension.
---@param x Var
---@param dim integer    1..ndim, or -1 for the last
---@param start integer  from 1
---@param length integer 1 or more
---@return Var
function autograd.narrow(x, dim, start, length) end

--- The same elements under other sizes; one may be -1 and is inferred.
---@param x Var
---@param ... integer
---@return Var
function autograd.reshape(x, ...) end

--- Over all elements (a scalar) or one dimension, which is dropped.
---@param x Var
---@param dim? integer 1..ndim, or -1 for the last
---@return Var
function autograd.sum(x, dim) end

--- As sum; the mean of nothing raises.
---@param x Var
---@param dim? integer
---@return Var
function autograd.mean(x, dim) end

--- A sparse matrix times x: averages over the neighbours in a graph, say. The matrix is data and keeps no gradient;
--- only on tapes, not in plans.
---@param x Var [width, d]
---@param m Csr [rows, width] of x's dtype
---@param transposed? Csr  m:transpose(); left out, m is taken for its own transpose
---@return Var [rows, d]
function autograd.csr_matmul(x, m, transposed) end

--- The dot product of each row of a with the same row of b.
---@param a Var [n, d]
---@param b Var [n, d]
---@return Var [n]
function autograd.dot(a, b) end

--- Rows of a table. A code outside it raises with the table's name, the code and the number of rows.
---@param table Var [rows, d]
---@param codes Var i32 [...], up to three dimensions
---@return Var [..., d]
function autograd.embedding(table, codes) end

--- The sum or mean of the table's rows at codes[offsets[i]] .. codes[offsets[i + 1] - 1]; an empty bag is 0.
---@param table Var [rows, d]
---@param codes Var i32 [total]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@param weights? Var [total], multiplies each row (a mean still divides by the number of codes)
---@param mode? "sum"|"mean" default "sum"
---@return Var [n, d]
function autograd.embedding_bag(table, codes, offsets, weights, mode) end

--- The place of each code in its bag: 0 for the first, limit - 1 for that and all later ones. What finds learned
--- numbers by place in a table of `limit` rows.
---@param codes Var i32 [total]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@param limit integer from 1 to 1048576
---@return Var i32 [total]
function autograd.bag_positions(codes, offsets, limit) end

--- Weights that count each code of a bag once: 1 for the first of equal ones, 0 for those behind it.
---@param codes Var i32 [total]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@return Var f32 [total]
function autograd.bag_distinct(codes, offsets) end

--- Softmax down each column of each bag: what weighs the members of a bag against each other, in h ways.
---@param x Var [total, h], h up to 64
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@return Var [total, h]
function autograd.bag_softmax(x, offsets) end

--- h weighted sums of the rows of each bag, side by side; an empty bag is 0.
---@param x Var [total, d]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@param weights Var [total, h]
---@return Var [n, h d]
function autograd.bag_sum(x, offsets, weights) end

--- Sums of the rows of a sparse matrix that a closed form has found, similarities of items, say: row i of the result is
--- the sum over bag i of weight * row. The matrix is three parameters that are not trainable, or inputs; there is no
--- gradient, and one that wants it raises. Runs in plans. A row or a column outside the matrix raises with its number.
---@param starts Var  i64 [rows + 1], rising; row r is entries starts[r] .. starts[r + 1] - 1 (from 0). Entries behind
---   the last start are spare: parameters have a fixed size, what is found has not
---@param columns Var i32 [entries], below width
---@param values Var  f32 or f64 [entries]
---@param width integer of the result, 1 or more
---@param codes Var   i32 [total], rows of the matrix
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@param weights? Var [total] of the values' dtype
---@return Var [n, width]
function autograd.csr_bag(starts, columns, values, width, codes, offsets, weights) end

--- The vector of somebody who is known by what he has: over the items of each bag the user's half of alternating least
--- squares, (unobserved diag(spectrum) + penalty I + sum w v v') y = sum t v with penalty = regularization (codes +
--- unobserved others)^scaling. t is w (Rendle et al. 2022, doi:10.1145/3523227.3548486), with `confidence` it is
--- w + unobserved (Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22). Exact, as solve.implicit; runs in plans, so
--- that who is new and what was just posted are served. Code 0, the unknown item, and codes of weight 0 count for
--- nothing; an empty bag is 0. There is no gradient: what wants one raises, and so does a solution that is not finite.
---@param items Var    f32 [rows, d], on the axes of their Gramian: factors times `turn` of solve.basis(factors)
---@param spectrum Var f32 [d], of solve.basis
---@param codes Var    i32 [total]
---@param offsets Var  i64 [n + 1], ascending from 0 to total
---@param weights? Var f32 [total], 0 or more; nil: 1
---@param options { unobserved?: number, regularization?: number, scaling?: number, others?: integer,
---   confidence?: boolean }  as of solve.implicit, but `others` is to be told; defaults 1, 0.01, 0, 0, false
---@return Var f32 [n, d]
function autograd.fold_in(items, spectrum, codes, offsets, weights, options) end

--- The first row of each bag, which of a history is its newest event; an empty bag is 0.
---@param x Var [total, d]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@return Var [n, d]
function autograd.bag_first(x, offsets) end

--- Scaled dot-product attention within bags that are newest first: row p of a bag attends itself and the rows behind
--- it, which are older, in `heads` heads of d / heads columns each. Nothing of the size of a bag's square is kept: the
--- backward makes the shares again. Vaswani et al. 2017, arXiv:1706.03762; Dao et al. 2022, arXiv:2205.14135.
---@param q Var [total, d], d a multiple of heads
---@param k Var [total, d]
---@param v Var [total, d]
---@param offsets Var i64 [n + 1], ascending from 0 to total
---@param heads integer 1 or more
---@param rate? number  of the shares, in [0, 1), that are dropped while the tape trains; default 0
---@return Var [total, d]
function autograd.causal_attention(q, k, v, offsets, heads, rate) end

--- x times a sparse matrix, as of autograd.csr_bag; zeros of x cost nothing. No gradient; runs in plans.
---@param x Var       [n, rows]
---@param starts Var  i64 [rows + 1]
---@param columns Var i32 [entries], below width
---@param values Var  of x's dtype [entries]
---@param width integer 1 or more
---@return Var [n, width]
function autograd.csr_product(x, starts, columns, values, width) end

--- Of each row the k largest numbers above 0, all others made 0; of equal ones the first stay. No gradient: an x that
--- wants one raises, and so does a NaN.
---@param x Var f32 [n, d]
---@param k integer 1 or more
---@return Var f32 [n, d]
function autograd.keep_largest(x, k) end

--- The mean of weight (x - target)^2. Targets and weights are data: they cannot want a gradient.
---@param x Var
---@param target Var of x's shape
---@param weights? Var of x's shape; default all 1. The mean divides by the number of elements
---@return Var scalar
function autograd.mse(x, target, weights) end

--- The mean binary cross-entropy of sigmoid(logits), stable for any finite logits.
---@param logits Var
---@param target Var of the same shape, in [0, 1]
---@param weights? Var as in mse
---@return Var scalar
function autograd.bce(logits, target, weights) end

--- The mean of -log sigmoid(positive - negative). Rendle et al. 2009, arXiv:1205.2618.
---@param positive Var
---@param negative Var of the same shape
---@return Var scalar
function autograd.bpr(positive, negative) end

---@class Parameter
local Parameter = {}

---@return string
function Parameter:name() end

--- The value itself: writing to it changes the parameter.
---@return Tensor
function Parameter:value() end

--- A copy of the gradient, dense; zero where nothing was added.
---@return Tensor
function Parameter:grad() end

--- The gradient of a sparse parameter: distinct ascending codes and their summed rows. Raises for a dense one.
---@return Tensor codes i32 [k]
---@return Tensor rows  [k, d]
function Parameter:rows() end

---@return Parameter self
function Parameter:zero_grad() end

--- Sizes of the value as a table, or the one of a dimension.
---@param dim? integer 1..ndim, or -1 for the last
---@return integer[]|integer
function Parameter:size(dim) end

---@return boolean
function Parameter:trainable() end

---@return boolean
function Parameter:sparse() end

---@class Tape
local Tape = {}

--- A leaf. Inputs that a plan is to read need names; the same name with the same tensor is one Var.
---@param name string|nil
---@param tensor Tensor
---@param needs_grad? boolean default false; then `var:grad()` holds the gradient after backward
---@return Var
function Tape:input(name, tensor, needs_grad) end

--- The leaf of a parameter, one for each parameter.
---@param parameter Parameter
---@return Var
function Tape:parameter(parameter) end

--- Add d loss / d parameter to the parameters' gradients. Once for each tape.
---@param loss Var one real number
function Tape:backward(loss) end

--- What leads from named inputs and parameters to these Vars, as a plan. The tape must be in evaluation mode.
---@param outputs table<string, Var> up to 64
---@return Plan
function Tape:plan(outputs) end

--- Which units of a ReLU were above 0, so far on the tape, for one row or more: by the name of the weights in front of
--- it (of the operation and its place where it has none), 1 for such a unit and 0 for the others.
---@return table<string, Tensor>  f32 [units]
function Tape:active_units() end

---@return boolean
function Tape:training() end

--- Free all that the tape made; its Vars cannot be used any more. Tensors taken from them stay.
function Tape:close() end

---@class Var
---@operator add(Var|number): Var
---@operator sub(Var|number): Var
---@operator mul(Var|number): Var
---@operator div(Var|number): Var
---@operator unm: Var
local Var = {}

--- The value, sharing memory.
---@return Tensor
function Var:value() end

--- The one element of a Var with one.
---@return number
function Var:item() end

--- After backward: of an input that wants one, or of a parameter (as Parameter:grad); else nil.
---@return Tensor|nil
function Var:grad() end

--- Sizes as a table, or the one of a dimension.
---@param dim? integer 1..ndim, or -1 for the last
---@return integer[]|integer
function Var:size(dim) end

---@return "f32"|"f64"|"i32"|"i64"|"u8"
function Var:dtype() end

---@return Tape
function Var:tape() end

--- The functions of recsys.autograd, as methods of their first argument.
function Var:linear(w, b, activation, rate) end
function Var:linear_batch_norm(w, gain, bias, mean, variance, options) end
function Var:matmul(b, transpose_a, transpose_b) end
function Var:add(b) end
function Var:sub(b) end
function Var:mul(b) end
function Var:div(b) end
function Var:affine(scale, shift) end
function Var:relu() end
function Var:gelu() end
function Var:tanh() end
function Var:sigmoid() end
function Var:exp() end
function Var:log() end
function Var:softmax() end
function Var:log_softmax() end
function Var:dropout(rate) end
function Var:layer_norm(gain, bias, epsilon) end
function Var:batch_norm(gain, bias, mean, variance, momentum, epsilon) end
function Var:l2_normalize(epsilon) end
function Var:narrow(dim, start, length) end
function Var:reshape(...) end
function Var:sum(dim) end
function Var:mean(dim) end
function Var:csr_matmul(m, transposed) end
function Var:dot(b) end
function Var:embedding(codes) end
function Var:embedding_bag(codes, offsets, weights, mode) end
function Var:bag_distinct(offsets) end
function Var:bag_positions(offsets, limit) end
function Var:bag_softmax(offsets) end
function Var:bag_sum(offsets, weights) end
function Var:csr_product(starts, columns, values, width) end
function Var:keep_largest(k) end
function Var:csr_bag(columns, values, width, codes, offsets, weights) end
function Var:bag_first(offsets) end
function Var:fold_in(spectrum, codes, offsets, weights, options) end
function Var:causal_attention(k, v, offsets, heads, rate) end
function Var:mse(target, weights) end
function Var:bce(target, weights) end
function Var:bpr(negative) end

---@class Plan
local Plan = {}

--- Run the plan. A row's result has the same bits alone, in any batch, and on the tape.
---@param weights table<string, Tensor> parameters by name; others are ignored
---@param inputs table<string, Tensor>  inputs by name; others are ignored
---@return table<string, Tensor> outputs
function Plan:run(weights, inputs) end

--- The plan as JSON text.
---@return string
function Plan:json() end

--- Names of the inputs that it reads.
---@return string[]
function Plan:inputs() end

--- Names of the parameters that it reads.
---@return string[]
function Plan:weights() end

--- Names of what it gives.
---@return string[]
function Plan:outputs() end

function Plan:close() end

return autograd
