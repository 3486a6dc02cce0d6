--- The way from local mode to the real service, as commands of Docker and of AWS's command line.

local json = require "recsys.json"

local commands = {}

local function quoted(word) return word:find "^[%w%-_./:=@]+$" and word or "'" .. word:gsub("'", "'\\''") .. "'" end

--- A command of AWS: options with texts, or with values that are written as JSON.
local function aws(service, operation, options)
  local words = { "aws", service, operation }
  for _, option in ipairs(options) do
    words[#words + 1] = "--" .. option[1]
    if option[2] ~= nil then
      words[#words + 1] = quoted(type(option[2]) == "table" and json.encode(option[2]) or tostring(option[2]))
    end
  end
  return table.concat(words, " ")
end

local function prefix(uri)
  return { S3DataSource = { S3DataType = "S3Prefix", S3Uri = uri, S3DataDistributionType = "FullyReplicated" } }
end

local function of_image(p, registry)
  local image = ("%s/%s:latest"):format(registry, p.image)
  return { about = "The image, for folders that belong to root", image = image, commands = {
    aws("ecr", "create-repository", { { "repository-name", p.image }, { "region", p.region } }),
    ("%s | docker login --username AWS --password-stdin %s"):format(
      aws("ecr", "get-login-password", { { "region", p.region } }), registry),
    ("docker build --build-arg RUN_AS=root -t %s ."):format(image), "docker push " .. image } }
end

local function of_training(p, image, definitions, hyperparameters)
  local place = "s3://" .. p.bucket
  return { about = "A training job, on spot instances", commands = {
    ("aws s3 sync DATA %s/data"):format(place),
    aws("sagemaker", "create-training-job", { { "training-job-name", p.name }, { "role-arn", p.role },
      { "algorithm-specification", { TrainingImage = image, TrainingInputMode = "File",
        MetricDefinitions = json.list(definitions) } },
      { "hyper-parameters", hyperparameters },
      { "input-data-config", json.list { { ChannelName = "training", DataSource = prefix(place .. "/data") } } },
      { "output-data-config", { S3OutputPath = place .. "/jobs" } },
      { "resource-config", { InstanceType = p.training_instance, InstanceCount = 1, VolumeSizeInGB = 30 } },
      { "enable-managed-spot-training" },
      { "checkpoint-config", { S3Uri = ("%s/checkpoints/%s"):format(place, p.name) } },
      { "stopping-condition", { MaxRuntimeInSeconds = 86400, MaxWaitTimeInSeconds = 172800 } },
      { "region", p.region } }),
    ("aws sagemaker wait training-job-completed-or-stopped --training-job-name %s --region %s"):format(p.name,
      p.region) } }
end

local function of_endpoint(p, image)
  local model = ("s3://%s/jobs/%s/output/model.tar.gz"):format(p.bucket, p.name)
  return { about = "The model as an endpoint. The training job has left it there; instead of it one that was trained "
    .. "elsewhere:\n# aws s3 cp model.tar.gz " .. model, commands = {
    aws("sagemaker", "create-model", { { "model-name", p.name }, { "execution-role-arn", p.role },
      { "primary-container", { Image = image, ModelDataUrl = model } }, { "region", p.region } }),
    aws("sagemaker", "create-endpoint-config", { { "endpoint-config-name", p.name },
      { "production-variants", json.list { { VariantName = "main", ModelName = p.name, InitialInstanceCount = 1,
        InstanceType = p.serving_instance } } }, { "region", p.region } }),
    aws("sagemaker", "create-endpoint", { { "endpoint-name", p.name }, { "endpoint-config-name", p.name },
      { "region", p.region } }),
    ("aws sagemaker wait endpoint-in-service --endpoint-name %s --region %s"):format(p.name, p.region),
    aws("sagemaker-runtime", "invoke-endpoint", { { "endpoint-name", p.name }, { "content-type", "application/json" },
      { "body", '{"user":"u1","k":10}' }, { "cli-binary-format", "raw-in-base64-out" }, { "region", p.region } })
      .. " answer.json" } }
end

local function of_transform(p)
  local place = "s3://" .. p.bucket
  return { about = "A batch transform of a file with a request a line", commands = {
    ("aws s3 cp requests.jsonl %s/requests/"):format(place),
    aws("sagemaker", "create-transform-job", { { "transform-job-name", p.name }, { "model-name", p.name },
      { "batch-strategy", "MultiRecord" },
      { "transform-input", { DataSource = { S3DataSource = { S3DataType = "S3Prefix", S3Uri = place .. "/requests" } },
        ContentType = "application/jsonlines", SplitType = "Line" } },
      { "transform-output", { S3OutputPath = place .. "/answers", Accept = "application/jsonlines",
        AssembleWith = "Line" } },
      { "transform-resources", { InstanceType = p.serving_instance, InstanceCount = 1 } }, { "region", p.region } }) } }
end

--- All commands, in their order.
---@param p { account: string, region: string, bucket: string, role: string, image: string, name: string,
---   training_instance: string, serving_instance: string }
---@param definitions { Name: string, Regex: string }[]  MetricDefinitions
---@param hyperparameters table<string, string>
---@return { about: string, commands: string[] }[]
function commands.list(p, definitions, hyperparameters)
  local image = of_image(p, ("%s.dkr.ecr.%s.amazonaws.com"):format(p.account, p.region))
  return { image, of_training(p, image.image, definitions, hyperparameters), of_endpoint(p, image.image),
    of_transform(p) }
end

--- The same for people and shells: what a group is for as a comment above its commands.
---@return string
function commands.text(...)
  local lines = { "The same with the real service:" }
  for _, group in ipairs(commands.list(...)) do
    lines[#lines + 1] = "\n# " .. group.about
    for _, command in ipairs(group.commands) do lines[#lines + 1] = command end
  end
  return table.concat(lines, "\n") .. "\n"
end

return commands
