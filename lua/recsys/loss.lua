--- The losses over a catalogue (recsys.nn), chosen by name and fed from a training step: which columns there are, which
--- of them hold whose positives, how often a sampled one is met. For models/*.lua.

local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local loss = {}

local function softmax(config)
  return nn.catalogue_softmax, { smoothing = config.smoothing, rivals = config.negatives > 0 and "negatives" or nil }
end

local function bilateral(config)
  return nn.bilateral_softmax, { emphasis = config.emphasis, rivals = config.rivals,
    positive_temperature = config.positive_temperature and config.positive_temperature / config.temperature }
end

local function contrastive(config)
  return nn.cosine_contrastive, { margin = config.margin, emphasis = config.emphasis }
end

--- beta of gBCE, by which scores are calibrated as if all items were negatives. Petrov & Macdonald 2023.
---@param share number        of the negatives among all other items, in (0, 1]
---@param calibration number  0: as binary cross-entropy, 1: calibrated
function loss.gbce_beta(share, calibration)
  return share * (calibration * (1 - 1 / share) + 1 / share)
end

--- Where all columns stand for k drawn ones, each counts k / columns: instead, positives count by so much more.
local function gbce(config, step)
  local share = config.negatives > 0 and math.min(1, config.negatives / (step.items:rows() - 1)) or 1
  local beta = loss.gbce_beta(share, config.calibration or 0.75)
  return nn.gbce, { beta = config.sampling == "expected" and beta / share or beta }
end

local kinds = { softmax = softmax, bilateral = bilateral, contrastive = contrastive, gbce = gbce }

--- The names that `config.loss` may have.
loss.names = { "softmax", "bilateral", "contrastive", "gbce" }

--- log of how often a drawn column of each row is expected: k draws from a share q each.
local function log_expected(config, step, rows)
  local k = config.negatives
  if config.sampling == "popularity" then return step.log_shares:index_select(rows) + math.log(k) end
  return tensor.full(math.log(k / #step.pool), #rows)
end

local function draw(config, step)
  if config.sampling == "popularity" then
    return step.met:index_select(step.stream:integers(config.negatives, #step.met))
  end
  return step.pool:index_select(step.stream:integers(config.negatives, #step.pool))
end

--- The columns of a step: the whole catalogue, or the batch's positives and negatives drawn once for all its users.
--- A loss over what a batch shares is noisy: an item is drawn against all its users or none.
local function columns_of(config, step, positives)
  if config.negatives == 0 or config.sampling == "expected" then
    local log_q = config.loss == "bilateral" and config.sampling == "popularity" and step.log_shares * -1 or nil
    return { rows = tensor.arange(0, step.items:rows(), "i64"), log_q = log_q }
  end
  local own, drawn = positives:unique(), draw(config, step)
  local columns = { rows = tensor.concat { own, drawn }, first = #own + 1 }
  columns.codes = columns.rows
  columns.log_q = config.loss == "softmax"
    and tensor.concat { tensor.zeros(#own), log_expected(config, step, drawn) } or nil
  return columns
end

--- The logarithm of the odds against an average pair under gBCE, for each column: scores are trained less it.
local function centre(config, step, columns, beta)
  local negatives = config.negatives > 0 and config.sampling ~= "expected" and config.negatives or step.items:rows()
  columns.log_q = tensor.full(math.log(negatives / beta), #columns.rows)
end

--- A weight for each pair, 1 on average: its row's own, times how many positives its user has in the batch, to the
--- power of -balance, times what recency makes of how many of them are later; nil where all count alike.
local function weights_of(config, starts, own)
  local balance, recency = config.balance or 0, config.recency
  if balance == 0 and not recency then return own end
  local n = #starts - 1
  local begins, ends = starts:narrow(1, 1, n), starts:narrow(1, 2, n)
  local place = tensor.arange(0, ends:get(n), "i64")
  local of = ends:search_sorted(place, true)
  local weights = ((ends - begins):to "f32":log() * -balance):exp():index_select(of)
  if recency then
    local later = (ends:index_select(of) - place - 1):to "f32"
    weights = weights * ((later * (-1 / recency.span)):exp() * (1 - recency.floor) + recency.floor)
  end
  if own then weights = weights * own end
  return weights:mul_(1 / weights:mean())
end

--- The loss that a model's parameters choose.
---@param config { loss: string, temperature: number, negatives: integer, sampling?: string, ... }
---   loss: of loss.names; temperature: what the user vectors are divided by already; negatives: 0 for the whole
---   catalogue, else how many items are drawn for a batch; sampling: "uniform" over the items that training met
---   (default) or "popularity", as often as they are in training, which the softmax corrects for; of gbce "expected":
---   all items count as much as `negatives` drawn ones do on average, which takes the noise of the draw away; of
---   bilateral with the whole catalogue, "popularity" has each item count as often as training meets it; balance: from
---   0, all pairs count alike (default), to 1, all users do; recency: { span, floor }, a positive with k later ones of
---   its user weighs floor + (1 - floor) exp(-k / span); rivals: of bilateral, "negatives" (default) or, over all
---   items, "all", a user's positives among them, as the authors' program draws; centred: of gbce, scores are trained
---   less the logarithm of the odds against an average pair, a constant that ranks nothing, without which the first
---   epochs do no more than push all vectors one way; smoothing, emphasis, margin, positive_temperature, calibration:
---   of the loss in question
---@param step table  what model:loss is given
---@param users Var   [n, d], a row for each of the step's users
---@param items fun(rows: Tensor): Var  the vectors of catalogue rows
---@return Var scalar
function loss.catalogue(config, step, users, items)
  local kind = kinds[config.loss]
  if not kind then
    error({ code = "usage", message = ("model.loss is '%s'; there are %s"):format(tostring(config.loss),
      table.concat(loss.names, ", ")) }, 0)
  end
  if config.sampling == "expected" and config.loss ~= "gbce" then
    error({ code = "usage", message = ("model.sampling is 'expected', which is of model.loss 'gbce': with '%s' take "
      .. "'uniform' or 'popularity', or all items by model.negatives = 0"):format(config.loss) }, 0)
  end
  if config.rivals == "all" and (config.loss ~= "bilateral" or config.negatives > 0) then
    error({ code = "usage", message = "model.rivals is 'all', which is of model.loss 'bilateral' over all items, with "
      .. "model.negatives = 0" }, 0)
  end
  local positives = step.positives or step.item_rows
  local columns = columns_of(config, step, positives)
  local make, options = kind(config, step)
  if config.centred and config.loss == "gbce" then centre(config, step, columns, options.beta) end
  options.users, options.items = users, items(columns.rows)
  options.starts, options.positives = step.starts or tensor.arange(0, #positives + 1, "i64"), positives
  options.weights = weights_of(config, options.starts, step.weights) or nil
  options.codes, options.first, options.log_q = columns.codes, columns.first, columns.log_q
  return make(options)
end

return loss
