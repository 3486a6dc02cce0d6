---@meta recsys.solve
--- recsys.solve: what models have that no gradient trains: least squares in closed form, one row after another.
---
---     solve.implicit { pairs = by_user, factors = items, into = users, unobserved = 0.3, regularization = 0.007,
---       scaling = 1 }
---
--- Rows are solved side by side by all threads, each from its own pairs in their order: any number of threads gives the
--- same bits. Failures raise, naming the row where there is one.

---@class Solve
local solve = {}

--- y' y, the sums in f32 over fixed chunks of rows and added up in f64.
---@param factors Tensor  f32 [n, d]
---@return Tensor  f64 [d, d]
function solve.gram(factors) end

--- The axes on which factors have a diagonal Gramian: factors times `turn` has diag(spectrum). Vectors of both sides
--- turned alike have the same scalar products.
---@param factors Tensor  f32 [n, d]; finite
---@return Tensor spectrum  f32 [d], rising, none below 0
---@return Tensor turn      f32 [d, d], orthonormal; column k is the axis of spectrum k
function solve.basis(factors) end

---@class ImplicitSweep
---@field pairs Csr             f32 [rows, n]: who has what, and what each pair weighs (0 or more)
---@field factors Tensor        f32 [n, d]: the other side's vectors
---@field into Tensor           f32 [rows, d], contiguous: this side's vectors, changed in place
---@field unobserved? number    what a pair of any two weighs, whose target is 0; default 1
---@field regularization? number  above 0; default 0.01
---@field scaling? number       of the penalty with the pairs of a row, 0 to 16; default 0: one penalty for all rows
---@field others? integer       how many of the other side count in the penalty; 0, the default: all
---@field confidence? boolean   pairs have the weight unobserved + w and the target 1, as in Hu, Koren & Volinsky 2008
---  (doi:10.1109/ICDM.2008.22); default false: a pair's term (w, target 1) stands beside that of any two, as in Rendle
---  et al. 2022 (doi:10.1145/3523227.3548486)
---@field steps? integer        of conjugate gradients from what the rows were (Takacs, Pilaszy & Tikk 2011,
---  doi:10.1145/2043932.2043987); 0, the default: exactly, by Cholesky

--- Half a sweep of alternating least squares on implicit feedback: each row of `into` minimises
--- sum of w (x' y - 1)^2 over its pairs, unobserved times the sum of (x' y)^2 over all of the other side, and
--- regularization (pairs + unobserved others)^scaling |x|^2. A row without pairs becomes 0. Raises for tensors that do
--- not fit each other, options out of range, weights below 0, and when a row has no finite solution; `into` is then
--- spoilt.
---@param sweep ImplicitSweep
---@return Tensor  `into`
function solve.implicit(sweep) end

--- What sweeps of both sides make smaller: the terms above of all rows, and the penalties of `factors`, whose pairs are
--- those of the transposed matrix. `steps` says nothing here.
---@param sweep ImplicitSweep
---@return number
function solve.implicit_loss(sweep) end

return solve
