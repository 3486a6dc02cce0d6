--- The variables SM_... that SageMaker's training toolkit sets, for recipes and hooks that read them: names and values
--- are the toolkit's (environment.py, mapping.py). The service itself sets none of them.

local json = require "recsys.json"
local parameters = require "recsys.sagemaker.parameters"
local tree = require "recsys.sagemaker.tree"
local uv = require "luv"

local variables = {}

-- The service's hyper-parameters that are not handed on as SM_FRAMEWORK_PARAMS.
local known = { sagemaker_program = true, sagemaker_submit_directory = true, sagemaker_enable_cloudwatch_metrics = true,
  sagemaker_region = true, sagemaker_container_log_level = true, sagemaker_job_name = true,
  _tuning_objective_metric = true, sagemaker_s3_output = true }

-- The service's hyper-parameters that let several processes work together: with one, the own group takes part.
local together = { "sagemaker_mpi_enabled", "sagemaker_parameter_server_enabled",
  "sagemaker_distributed_dataparallel_enabled", "sagemaker_pytorch_ddp_enabled",
  "sagemaker_pytorch_xla_multi_worker_enabled", "sagemaker_multi_worker_mirrored_strategy_enabled",
  "sagemaker_torch_distributed_enabled" }

--- A value as text: texts as they are, nothing as "", all else as JSON in ASCII with sorted keys.
local function shown(value)
  if value == nil or value == json.null then return "" end
  if type(value) == "string" then return value end
  return (json.encode(value):gsub(utf8.charpattern, function(character)
    local code = #character > 1 and utf8.codepoint(character)
    if not code then return nil end
    if code < 0x10000 then return ("\\u%04x"):format(code) end
    return ("\\u%04x\\u%04x"):format(0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code - 0x10000 & 0x3FF))
  end))
end

--- What Python's str() makes of a value, for SM_USER_ARGS.
local function argument(value, inside)
  if value == json.null then return inside and "None" or "" end
  if value == true then return "True" elseif value == false then return "False" end
  if type(value) == "string" then return inside and ("'%s'"):format(value) or value end
  if type(value) ~= "table" then return json.encode(value) end
  local parts = {}
  if json.is_list(value) then
    for i, one in ipairs(value) do parts[i] = argument(one, true) end
    return "[" .. table.concat(parts, ", ") .. "]"
  end
  for i, name in ipairs(tree.names(value)) do parts[i] = ("%s=%s"):format(name, argument(value[name])) end
  return table.concat(parts, ",")
end

--- "--key", "value", ... in the order of the keys; one dash for keys of a letter.
local function arguments(hyperparameters)
  local words = json.list {}
  for _, name in ipairs(tree.names(hyperparameters)) do
    words[#words + 1] = (#name > 1 and "--" or "-") .. name
    words[#words + 1] = argument(hyperparameters[name])
  end
  return words
end

--- The groups of instances, as the toolkit calls them, and the group that takes part in what several processes do
--- together, where the service's hyper-parameters say so.
local function groups_of(resources, service)
  local own = resources.current_group_name or "homogeneousCluster"
  local names, by_name, part = json.list {}, {}, json.list {}
  for i, group in ipairs(resources.instance_groups or {}) do
    names[i], by_name[group.instance_group_name] = group.instance_group_name, group
  end
  for _, name in ipairs(together) do
    if service[name] then part[1] = own end
  end
  local mine = by_name[own]
  return { current_instance_group = own, current_instance_group_hosts = mine and mine.hosts or json.list {},
    instance_groups = names, instance_groups_dict = by_name, is_hetero = #names > 1,
    distribution_instance_groups = service.sagemaker_distribution_instance_groups or part }
end

--- The hosts of the groups that take part.
local function distribution_hosts(groups, hosts)
  if #groups.instance_groups == 0 then return hosts end
  local all = json.list {}
  for _, name in ipairs(groups.distribution_instance_groups) do
    for _, host in ipairs((groups.instance_groups_dict[name] or {}).hosts or {}) do all[#all + 1] = host end
  end
  return all
end

local function folders_of(folders, service)
  return { input_dir = folders.input, input_config_dir = folders.config, model_dir = folders.model,
    module_dir = tostring(service.sagemaker_submit_directory or folders.code), output_dir = folders.output,
    output_data_dir = folders.output_data, output_intermediate_dir = folders.intermediate }
end

local function merge(into, ...)
  for _, values in ipairs { ... } do
    for name, value in pairs(values) do into[name] = value end
  end
  return into
end

--- What the toolkit's environment consists of: SM_TRAINING_ENV.
local function environment(folders, job, hyperparameters, service)
  local resources, channel_dirs = job.resources, {}
  for name in pairs(job.channels) do channel_dirs[name] = folders.data .. "/" .. name end
  local hosts = resources.hosts or json.list { resources.current_host or "localhost" }
  local groups, host = groups_of(resources, service), resources.current_host or hosts[1]
  local taking_part, others = distribution_hosts(groups, hosts), {}
  for name, value in pairs(service) do
    if not known[name] then others[name] = value end
  end
  local program = service.sagemaker_program or json.null
  return merge({ additional_framework_parameters = others, channel_input_dirs = channel_dirs, current_host = host,
    current_instance_type = resources.current_instance_type or "local", distribution_hosts = taking_part,
    framework_module = os.getenv "SAGEMAKER_TRAINING_MODULE" or json.null, hosts = hosts,
    hyperparameters = hyperparameters, input_data_config = job.channels,
    is_master = host == (taking_part[1] or hosts[1]),
    is_modelparallel_enabled = json.null, is_smddpmprun_installed = false, is_smddprun_installed = false,
    job_name = os.getenv "TRAINING_JOB_NAME" or json.null, log_level = service.sagemaker_container_log_level or 20,
    master_hostname = taking_part[1] or hosts[1],
    module_name = program == json.null and "None" or (program:gsub("%.py$", "")),
    network_interface_name = resources.network_interface_name or "eth0", num_cpus = #uv.cpu_info(), num_gpus = 0,
    num_neurons = 0, resource_config = resources, sagemaker_s3_output = service.sagemaker_s3_output,
    topology = resources.topology or json.list {}, user_entry_point = program }, groups, folders_of(folders, service))
end

-- Of SM_TRAINING_ENV, what is a variable of its own.
local alone = { "current_host", "current_instance_group", "current_instance_group_hosts", "current_instance_type",
  "distribution_instance_groups", "framework_module", "hosts", "input_config_dir", "input_data_config", "input_dir",
  "instance_groups", "instance_groups_dict", "is_hetero", "log_level", "model_dir", "module_dir", "module_name",
  "network_interface_name", "num_cpus", "num_gpus", "num_neurons", "output_data_dir", "output_dir",
  "output_intermediate_dir", "resource_config", "user_entry_point" }

--- All variables: name -> text.
---@param folders SageMakerTree
---@param job table  of tree.read
---@return table<string, string>
function variables.of(folders, job)
  local given, service = {}, {}
  for name, value in pairs(job.hyperparameters) do
    local is_service = name:find "^sagemaker_" or name == "_tuning_objective_metric"
    local into = is_service and service or given
    into[name] = parameters.decoded(value)
  end
  local training = environment(folders, job, given, service)
  local values = { hps = given, framework_params = training.additional_framework_parameters,
    channels = json.list(tree.names(job.channels)), training_env = training, user_args = arguments(given),
    topology = job.resources.topology }
  for _, name in ipairs(alone) do values[name] = training[name] end
  for name, folder in pairs(training.channel_input_dirs) do values["channel_" .. name] = folder end
  for name, value in pairs(given) do values["hp_" .. name] = value end
  local all = {}
  for name, value in pairs(values) do all["SM_" .. name:upper()] = shown(value) end
  return all
end

--- Set them for this process and those that it starts.
---@param folders SageMakerTree
---@param job table
function variables.set(folders, job)
  for name, value in pairs(variables.of(folders, job)) do
    if not name:find "[=%z]" and not value:find "%z" then uv.os_setenv(name, value) end
  end
end

--- Whether a folder is a channel of this job: what lies there is read as it is.
---@param folder string
---@return boolean
function variables.is_channel(folder)
  for name, value in pairs(uv.os_environ()) do
    if value == folder and name:find "^SM_CHANNEL_" then return true end
  end
  return false
end

return variables
