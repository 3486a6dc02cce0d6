---@meta recsys.nn

--- Tower layers over the tape: parameters under a name, and a forward. Whether dropout drops and batch norm tracks
--- follows from the tape (`train = true`). Parameters start from random streams keyed by (seed, parameter name), so
--- adding a layer does not change how the others start. An option that is not known raises.
local nn = {}

---@class Layer
local Layer = {}

--- Apply the layer to one to four vars of one tape; how many and which is said at each constructor.
---@param ... Var
---@return Var
function Layer:forward(...) end

--- Training mode, in which a layer begins: dropout drops and batch norm follows the batch while the tape trains.
---@param on? boolean  default true; false is eval()
---@return Layer self
function Layer:train(on) end

--- Evaluation mode: dropout passes on and batch norm keeps to its running statistics on a training tape, too.
---@return Layer self
function Layer:eval() end

--- The layer's parameters and buffers.
---@return Parameter[]
function Layer:parameters() end

--- The parameter or buffer of this name. Raises when the layer has none.
---@param name string  its whole name, such as "user.0.weight"
---@return Parameter
function Layer:parameter(name) end

---@return string
function Layer:name() end

--- y = activation(x W^T + b); x [n, inputs] -> [n, outputs]. W starts uniform in +-sqrt(6 / (inputs + outputs))
--- (Glorot & Bengio 2010), b at zero. Parameters `name.weight` [outputs, inputs] and `name.bias` [outputs].
---@param options { name: string, inputs: integer, outputs: integer, bias?: boolean, activation?: string,
---   seed?: integer, dtype?: string }
---   activation: "none" (default), "relu", "gelu", "tanh", "sigmoid"; dtype: "f32" (default) or "f64"
---@return Layer
function nn.linear(options) end

--- Rows of a table: codes i32 [n] -> [n, width]. Gradients are row-sparse. Row 0 is "unknown or missing" and is trained
--- like the others. Starts normal with standard deviation `scale` (default 0.1; 0: all zero). One parameter, `name`.
--- Raises in forward for a code outside 0 .. rows - 1. dtype "bf16" stores the table in half the memory: what is looked
--- up, gradients and the optimiser's state are f32, and an update rounds at random, without bias (docs/models.md).
---@param options { name: string, rows: integer, width: integer, scale?: number, seed?: integer, dtype?: string }
---@return Layer
function nn.embedding(options) end

--- Sums or means of rows of another embedding's table: codes i32 [total], offsets i64 [n + 1] and, optionally, weights
--- [total] -> [n, width]. An empty bag is zero. No parameter of its own.
---@param options { table: Layer, mode?: string }  mode: "mean" (default) or "sum"
---@return Layer
function nn.embedding_bag(options) end

--- Normalises each row, then a learned gain and bias [width]. Ba, Kiros & Hinton 2016, arXiv:1607.06450.
---@param options { name: string, width: integer, epsilon?: number, seed?: integer, dtype?: string }
---@return Layer
function nn.layer_norm(options) end

--- Normalises each column by the batch in training, by running statistics in evaluation. Ioffe & Szegedy 2015,
--- arXiv:1502.03167. Buffers `name.mean` and `name.variance`; running += momentum * (batch - running).
---@param options { name: string, width: integer, momentum?: number, epsilon?: number, seed?: integer, dtype?: string }
---@return Layer
function nn.batch_norm(options) end

--- In training each element is 0 with probability `rate`, in [0, 1), else divided by 1 - rate. Srivastava et al. 2014.
---@param options { name: string, rate?: number }  rate: default 0.5
---@return Layer
function nn.dropout(options) end

---@class Tower
local Tower = {}

--- The tower over a batch: a table name -> Tensor with all its inputs, others are ignored. [n, width].
---@param tape Tape
---@param batch table<string, Tensor>
---@param vars? table<string, Var>  inputs without a layer that other layers made: Var [n, width] in place of a tensor
---@return Var
function Tower:forward(tape, batch, vars) end

--- Training mode for all its layers, as Layer:train.
---@param on? boolean  default true; false is eval()
---@return Tower self
function Tower:train(on) end

--- Evaluation mode for all its layers, as Layer:eval: a tower that is to stay as it was.
---@return Tower self
function Tower:eval() end

--- All parameters and buffers, those of the inputs' tables included, each once.
---@return Parameter[]
function Tower:parameters() end

--- The parameter or buffer of this name, those of the inputs' tables included. Raises when there is none.
---@param name string  its whole name, such as "user.0.weight"
---@return Parameter
function Tower:parameter(name) end

--- Width of what forward gives.
---@return integer
function Tower:width() end

--- Named inputs -> their layers -> concat -> hidden stages -> output -> optional L2 normalisation of rows. A stage is
--- linear, norm, activation, dropout. Without `hidden` and `outputs` the tower is the concatenation alone. An input is
--- { name, layer = an Embedding or EmbeddingBag } or { name, width } for numbers and for what forward is given;
--- a bag also reads `name.offsets` and, with a field `weights`, the input of that name: a number beside each code.
---@param options { name: string, inputs: table[], hidden?: integer[], outputs?: integer, activation?: string,
---   norm?: string, dropout?: number, normalize?: boolean, seed?: integer, dtype?: string }
---   activation: "relu" (default) as in linear; norm: "none" (default), "layer", "batch"
---@return Tower
function nn.tower(options) end

--- The sampled softmax loss with the batch's own items as negatives, over its distinct users and items. With logits
--- s_ij = <user_i, item_j> / temperature - log_q_j the loss of an event is log(the sum of exp s_ij over the columns
--- left to it) - s_t, s_t its positive's; the value is the mean over the events, by their weights. Equal users and
--- items are computed once: event t is (rows_t, columns_t), and a column counts as often as events have it as theirs
--- (once where none has: it was drawn, and has a log_q of its own). The value is that of a row and a column for every
--- event, which is what rows and columns mean when they are left out. A column is left out of an event
--- - when its code is that of the positive (an accidental hit; the event's own is kept once), unless `hits` is "kept";
--- - unless from_j <= now_i < to_j;
--- - when its code is in the user's list of codes to leave out; a user's own positives stay for their own events.
--- The convention is all columns and the positive less log_q, with duplicates (no `codes`, or hits = "kept"). The
--- other one in use is masked hits with an uncorrected positive: `codes`, and positive = "uncorrected".
--- With `smoothing` e the positive's logit counts 1 - e, and the mean over the columns left and the positive e.
--- The tensors are data: no gradient. Bengio & Senecal 2008; Yi et al. 2019, doi:10.1145/3298689.3346996; drawn
--- columns among the batch's: Yang et al. 2020, doi:10.1145/3366424.3386195. The r x m logits never exist as a whole.
--- Raises when shapes do not fit.
---@param options { users: Var, items: Var, rows?: Tensor, columns?: Tensor, temperature?: number, log_q?: Tensor,
---   positive?: string, codes?: Tensor, hits?: string, now?: Tensor, from?: Tensor, to?: Tensor, left_out?: table,
---   weights?: Tensor, smoothing?: number, beside?: Var }
---   users [r, d]; items [m, d]; rows, columns: i64 [n], rows of users and of items, from 0, default: event t is row t,
---   column t; temperature: default 1; log_q [m] of their dtype; positive: "corrected" (default) or "uncorrected";
---   codes i64 [m]; hits: "masked" (default with codes) or "kept"; now i64 [r] with from and to i64 [m], all three or
---   none; left_out: { starts = i64 [r], lengths = i32 [r], values = i32 } of codes; weights: of the users' dtype, [n],
---   0 or more; smoothing: in [0, 1), default 0; beside: [r, h], with a gradient: logits of columns that a row has for
---   itself, such as what its user was shown and left; part of each of its events' sums, -infinity where there is none
---@return Var scalar
function nn.in_batch_softmax(options) end

--- Exponentials a second that all threads take with the kernel of the softmax losses, of rows of `n` numbers: the
--- fastest of some rounds. What a softmax can be measured by, beside machine.sgemm.
---@param n? integer       default 4096: within the first-level cache
---@param rounds? integer  default 3
---@return number
function nn.exponential_rate(n, rounds) end

--- Losses of users against a whole table of items: all there are, or a sample that the batch shares. A row is a user
--- with several positives; the loss is the mean over all pairs of a user u and one of its positives p. Users x items
--- never exist as a whole. With s_uj = <user_u, item_j> / temperature - log_q_j, catalogue_softmax is
--- log(sum exp s_uj) - s_up, the sum over all columns j (`rivals = "all"`: a true probability) or over p and the
--- columns that are no positives of u (`"negatives"`). Columns that hold one of u's excluded items are left out.
--- The tensors are data: no gradient. Raises when shapes do not fit or a positive is in no column.
---@param options { users: Var, items: Var, starts: Tensor, positives: Tensor, weights?: Tensor, log_q?: Tensor,
---   codes?: Tensor, first?: integer, excluded_starts?: Tensor, excluded?: Tensor, temperature?: number,
---   rivals?: string, smoothing?: number }
---   users [n, d]; items [m, d]; starts i64 [n + 1] from 0: row u has the positives starts[u] .. starts[u + 1] - 1;
---   positives i64 [pairs]: items by code, without `codes` the column, from 0; weights [pairs] of the users' dtype, the
---   mean still divides by the pairs; log_q [m] of that dtype; codes i64 [m]: the item that a column holds; first: the
---   first column that may be a negative, default 1, above only with negatives as rivals; excluded_starts and excluded
---   as the positives; temperature: default 1; rivals: "all" (default) or "negatives"; smoothing: the share of the
---   target that is spread evenly over the sum's columns, default 0
---@return Var scalar
function nn.catalogue_softmax(options) end

--- Bilateral softmax: for each row -log(mean over its positives of exp(<u, p> / positive_temperature)) + emphasis *
--- log(sum over the rivals of exp s_uj), times the number of its positives. Wu et al. 2024, arXiv:2312.12882, whose
--- program draws its negatives from all items, the row's positives among them.
---@param options { users: Var, items: Var, starts: Tensor, positives: Tensor, weights?: Tensor, log_q?: Tensor,
---   codes?: Tensor, first?: integer, excluded_starts?: Tensor, excluded?: Tensor, temperature?: number,
---   rivals?: string, positive_temperature?: number, emphasis?: number }
---   as in catalogue_softmax; rivals: default "negatives"; positive_temperature: default temperature; emphasis: default
---   temperature / positive_temperature, which is the paper's loss divided by positive_temperature
---@return Var scalar
function nn.bilateral_softmax(options) end

--- Cosine contrastive loss, of normalised vectors: 1 - s_up + emphasis * (mean over the negatives of
--- max(0, s_uj - margin)). Mao et al. 2021 (SimpleX), arXiv:2109.12613.
---@param options { users: Var, items: Var, starts: Tensor, positives: Tensor, weights?: Tensor, log_q?: Tensor,
---   codes?: Tensor, first?: integer, excluded_starts?: Tensor, excluded?: Tensor, margin?: number, emphasis?: number }
---   as in catalogue_softmax, the rivals always the negatives; margin: default 0; emphasis: default 1
---@return Var scalar
function nn.cosine_contrastive(options) end

--- Generalised binary cross-entropy: (beta c_p softplus(-s_up) + sum over the negatives of c_j softplus(s_uj)) divided
--- by the number of negatives + 1, with a weight c for each column, or 1. Petrov & Macdonald 2023 (gSASRec),
--- arXiv:2308.07192, where beta = a (t (1 - 1/a) + 1/a) for a share a of all items as negatives and a calibration t in
--- [0, 1]. With beta 1 it is binary cross-entropy; with weights by degree UltraGCN's constraint loss, Mao et al. 2021,
--- arXiv:2110.15114.
---@param options { users: Var, items: Var, starts: Tensor, positives: Tensor, weights?: Tensor, log_q?: Tensor,
---   codes?: Tensor, first?: integer, excluded_starts?: Tensor, excluded?: Tensor, temperature?: number,
---   beta?: number, column_weights?: Tensor }
---   as in catalogue_softmax, the rivals always the negatives; beta: default 1; column_weights: [m] of the users' dtype
---@return Var scalar
function nn.gbce(options) end

--- BPR of matrix factorisation, straight on the rows of two tables: the mean over rows r of
--- log(1 + exp(s(u_r, j_r) - s(u_r, i_r))), s(u, i) the dot product of row u of `users` and row i of `items`; with
--- `decay` each row adds decay / 2 times the squared norms of its three rows. What lookups, dot products and
--- autograd.bpr compose gives the same, slower. Rendle et al. 2009, arXiv:1205.2618.
---@param options { users: Var, items: Var, user_codes: Tensor, positives: Tensor, negatives: Tensor, decay?: number }
---   users [n_users, d] and items [n_items, d]: tables, as tape:parameter gives them; codes i32 [n] of their rows, data
---@return Var scalar
function nn.bpr(options) end

--- WARP: for each row items of `pool` are drawn, all alike, until one comes within `margin` of the positive's score.
--- Found at the t-th of N, the row's loss is L(k) (margin - s(u, i) + s(u, j)), k = floor((N - 1) / t) its estimated
--- rank, L(k) = 1 + 1/2 + ... + 1/k. Rows without such an item among `tries` have no loss and touch no table. The mean
--- over all rows. Draws follow the tape's seed, epoch and step. Weston, Bengio & Usunier 2011.
---@param options { users: Var, items: Var, user_codes: Tensor, positives: Tensor, pool: Tensor, seen?: Csr,
---   margin?: number, tries?: integer, decay?: number }
---   tables and codes as in bpr; pool i32 [N], N >= 2, item codes; seen [n_users, any]: what each user code chose,
---   columns ascending, is never drawn; margin: default 1; tries 1 to 4096, default 32: those that meet what is not
---   drawn count, too; decay as in bpr, of rows with a loss
---@return Var scalar
function nn.warp(options) end

return nn
