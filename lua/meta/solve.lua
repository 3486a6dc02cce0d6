---@meta recsys.solve
--- recsys.solve: what models have that no gradient trains: least squares in closed form, one row after another, and the
--- nearest neighbours of rows.
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

---@class Weighing  what an entry of a sparse matrix counts when its rows are compared
---@field weighting? "cosine"|"tfidf"|"bm25"  default "cosine"
---@field K1? number  of bm25: 0 or more, default 1.2
---@field B? number   of bm25: from 0 to 1, default 0.75

--- A sparse matrix with its entries weighed. With N the rows that have an entry, df the rows that a column is in,
--- idf = ln N - ln(1 + df), x an entry and l the sum of its row:
---
---     cosine  x
---     tfidf   sqrt(x) idf                                     Sparck Jones 1972, doi:10.1108/eb026526
---     bm25    x (K1 + 1) / (x + K1 (1 - B + B l / mean l)) idf   Robertson & Zaragoza 2009, doi:10.1561/1500000019
---
--- These are the definitions of implicit 0.7.3 (Frederickson 2016). Raises for entries that are not finite, and of
--- tfidf and bm25 for such below 0.
---@param m Csr  rows are the documents, columns the terms: items by users, or users by items
---@param options? { weighting?: string, K1?: number, B?: number, unit?: boolean }  unit: then divide each row by its
---   length; default false
---@return Csr   f32
function solve.weigh(m, options) end

--- The k nearest neighbours of each row a among the rows b: <a, b> / (|a|^(2 alpha) |b|^(2 - 2 alpha) + shrink) of rows
--- as solve.weigh weighs them, with alpha 0.5 the cosine, above it kinder to long b, which many have (Aiolli 2013,
--- doi:10.1145/2507157.2507189); with bm25 <a, b>, for which both are refused. A row itself is left out, and so are
--- similarities of 0 and below; of equal ones the lower row counts as nearer. Deshpande & Karypis 2004,
--- doi:10.1145/963770.963776; the shrink: Dacrema, Cremonesi & Jannach 2019, doi:10.1145/3298689.3347058.
---@param m Csr  entries in any order, each column once a row; all 1 takes the least time
---@param k integer  1 or more
---@param options? { weighting?: string, K1?: number, B?: number, alpha?: number, shrink?: number,
---   normalize?: boolean }  alpha: from 0 to 1, default 0.5; shrink: 0 or more, default 0; normalize: then divide the
---   similarities of each row by their sum, default false
---@return Csr   f32 [rows, rows], columns rising, at most k a row
function solve.neighbours(m, k, options) end

--- Each column of a matrix as a sparse combination of the others, SLIM (Ning & Karypis 2011,
--- doi:10.1109/ICDM.2011.134): column j's weights w minimise |a_j - sum of w_k a_k|^2 / 2 + l2 |w|^2 / 2 + l1 |w|_1
--- without itself, by coordinate descent. Only the columns of the largest cosine with it take part. scikit-learn's
--- ElasticNet without intercept has the same with alpha = (l1 + l2) / rows and l1_ratio = l1 / (l1 + l2). Columns are
--- solved side by side by all threads; any number of them gives the same bits. Raises for options out of range and for
--- values below 0.
---@param m Csr  f32 [rows, n], values of 0 or more
---@param options? { l1?: number, l2?: number, neighbours?: integer, sweeps?: integer, tolerance?: number,
---   positive?: boolean }  defaults 1, 1, 100 columns that take part, 100 sweeps at most, 1e-4 (a column is done when
---   no weight moves by more than that times its largest), true: no weight is below 0
---@return Csr  f32 [n, n]: row k, column j is w_k of column j, so that a row of m times it is what m should be there
function solve.elastic_net(m, options) end

return solve
