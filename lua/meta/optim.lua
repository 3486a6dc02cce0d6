---@meta recsys.optim
--- recsys.optim: optimisers over Parameters.
---
---     local opt = optim.adam(model.parameters, { learning_rate = 1e-3 })
---     tape:backward(loss)
---     opt:clip(1.0)
---     opt:step():zero_grad()
---
--- With w the value, g the gradient, t the step from 1, r the learning rate and d the weight decay; but for AdamW, g
--- first becomes g + d w. Parameters without a gradient are left alone, those that are not trainable are not taken.
---
--- A sparse parameter (an embedding table) is updated lazily: the touched rows get exactly what they would get as a
--- dense parameter of their own, with t counting all steps; value and state of the other rows stay as they are, so no
--- momentum moves them, their moments do not fade and weight decay does not shrink them. A code that a step uses
--- several times counts once, with the sum of its gradients. A table of bf16 is rounded at random when it is written,
--- by numbers that follow from `seed` (default 0), the table, the step and the row; its state is f32.

---@class Optim
local optim = {}

--- w -= r g; with momentum u: v = u v + g, w -= r v.
---@param parameters Parameter[] names must differ
---@param options? { learning_rate?: number, momentum?: number, weight_decay?: number,
---   seed?: integer } defaults 1e-2, 0, 0, 0
---@return Optimizer
function optim.sgd(parameters, options) end

--- s += g^2, w -= r g / (sqrt(s) + epsilon). Duchi, Hazan & Singer 2011, jmlr.org/papers/v12/duchi11a.html.
--- row_wise: matrices keep one s a row, s += mean(g^2) over the row.
---@param parameters Parameter[]
---@param options? { learning_rate?: number, epsilon?: number, weight_decay?: number, row_wise?: boolean,
---   seed?: integer }
---   defaults 1e-2, 1e-10, 0, false
---@return Optimizer
function optim.adagrad(parameters, options) end

--- m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
--- Kingma & Ba 2015, arXiv:1412.6980.
---@param parameters Parameter[]
---@param options? { learning_rate?: number, beta1?: number, beta2?: number, epsilon?: number, weight_decay?: number,
---   seed?: integer }
---   defaults 1e-3, 0.9, 0.999, 1e-8, 0
---@return Optimizer
function optim.adam(parameters, options) end

--- w -= r d w, then Adam without decay. Loshchilov & Hutter 2019, arXiv:1711.05101.
---@param parameters Parameter[]
---@param options? { learning_rate?: number, beta1?: number, beta2?: number, epsilon?: number, weight_decay?: number,
---   seed?: integer }
---   defaults 1e-3, 0.9, 0.999, 1e-8, 1e-2
---@return Optimizer
function optim.adamw(parameters, options) end

---@class Optimizer
local Optimizer = {}

--- Update all parameters that have a gradient. Raises for want of memory before anything has changed.
---@return Optimizer self
function Optimizer:step() end

--- Forget the gradients, and a clip.
---@return Optimizer self
function Optimizer:zero_grad() end

--- Let the next step scale all gradients by max_norm / norm when their global norm is greater than max_norm. The
--- gradients themselves stay. Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
---@param max_norm number greater than 0
---@return number norm the root of the sum of all squared gradients, before clipping; NaN when one is
function Optimizer:clip(max_norm) end

--- The root of the sum of all squared gradients; NaN or an infinity when one is.
---@return number
function Optimizer:norm() end

---@return number
function Optimizer:learning_rate() end

---@param rate number 0 or more
---@return Optimizer self
function Optimizer:set_learning_rate(rate) end

--- Steps taken.
---@return integer
function Optimizer:steps() end

--- The state by name, `parameter.velocity`, `.sum`, `.mean`, `.variance`, and `optimizer.step` (i64 [1]). The tensors
--- share the optimiser's memory: save or clone them before the next step.
---@return table<string, Tensor>
function Optimizer:state() end

--- Take over a saved state; the step goes on from there with the same bits. Raises, before anything changes, when a
--- tensor is missing or of another shape.
---@param state table<string, Tensor>
---@return Optimizer self
function Optimizer:load_state(state) end

--- Give the memory back now; fine on a closed optimiser.
function Optimizer:close() end

return optim
