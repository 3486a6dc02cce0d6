--- `recsys-run doctor`: what the runtime stands on, and whether something is wrong with it.

local exit = require "recsys.exit"
local host = require "recsys.host"

local doctor = { about = "Show versions, CPU, threads and memory, and look for trouble" }

--- The value after "name :" in a file such as /proc/cpuinfo; nil when it is not there.
local function proc_field(path, name)
  local file = io.open(path)
  if not file then return nil end
  local value = file:read "a":match("%f[^\n\0]" .. name .. "%s*:%s*([^\n]*)")
  file:close()
  return value
end

local function cpu()
  local flags, features = " " .. (proc_field("/proc/cpuinfo", "flags") or "") .. " ", {}
  for _, name in ipairs { "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx_vnni", "amx_tile", "sha_ni" } do
    if flags:find(" " .. name .. " ", 1, true) then features[#features + 1] = name end
  end
  local uv = require "luv"
  return { model = proc_field("/proc/cpuinfo", "model name") or "unknown", cores = uv.available_parallelism(),
    features = features }
end

local function memory()
  local function mib(name)
    local kib = (proc_field("/proc/meminfo", name) or ""):match "%d+"
    return kib and math.tointeger(kib) // 1024
  end
  return { total_mib = mib "MemTotal", available_mib = mib "MemAvailable" }
end

--- Versions of the Lua libraries, false for one that cannot be loaded.
local function lua_libraries()
  local function version(name, read)
    local ok, library = pcall(require, name)
    return ok and tostring(read(library) or "present")
  end
  return {
    cjson = version("cjson", function(cjson) return cjson._VERSION end),
    luv = version("luv", function(uv) return "libuv " .. uv.version_string() end),
    lfs = version("lfs", function(lfs) return lfs._VERSION end),
    argparse = version("argparse", function(argparse) return argparse.version end),
  }
end

--- Whether files can be made in ./artifacts, or it can be made itself.
local function artifacts()
  local uv = require "luv"
  local folder = uv.fs_stat "artifacts" and "artifacts" or "."
  return { path = uv.fs_realpath(folder) .. (folder == "." and "/artifacts" or ""),
    writable = uv.fs_access(folder, "W") and true or false }
end

--- What is wrong, as sentences.
local function troubles(report)
  local list = {}
  local function trouble(format, ...) list[#list + 1] = format:format(...) end
  if report.blas.parallel ~= "openmp" then
    trouble("the BLAS in use (%s) is the %s build: its threads fight with ours; install libopenblas0-openmp",
      report.blas.library, report.blas.parallel)
  end
  local features = table.concat(report.cpu.features, " ")
  if features:find "avx2" and features:find "fma" and report.blas.core:find "^Prescott" then
    trouble("OpenBLAS runs its slowest kernels (%s) on this CPU; set OPENBLAS_CORETYPE=Haswell", report.blas.core)
  end
  for name, version in pairs(report.lua) do
    if not version then trouble("the Lua library %s cannot be loaded; install its package (lua-%s)", name, name) end
  end
  if not report.artifacts.writable then trouble("%s cannot be written", report.artifacts.path) end
  table.sort(list)
  return list
end

--- All that doctor knows.
---@return table
function doctor.report()
  local core = require "recsys.core"
  local report = { build = core.doctor.build(), libraries = core.doctor.libraries(), blas = core.doctor.blas(),
    lua = lua_libraries(), cpu = cpu(), memory = memory(), threads = core.base.threads(), artifacts = artifacts(),
    root = host.root }
  report.troubles = troubles(report)
  return report
end

local function sorted_lines(values)
  local lines = {}
  for name, value in pairs(values) do
    lines[#lines + 1] = ("  %-14s %s"):format(name, value ~= false and tostring(value) or "missing")
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

--- The report for people.
---@return string
function doctor.text(report)
  local build = report.build
  local lines = {
    ("recsys-run %s, commit %s, %s build by %s"):format(build.version, build.commit, build.type, build.compiler),
    "sources        " .. report.root,
    "",
    ("CPU            %s, %d cores"):format(report.cpu.model, report.cpu.cores),
    "features       " .. table.concat(report.cpu.features, " "),
    ("threads        %d"):format(report.threads),
    ("memory         %s MiB, %s MiB of it free"):format(report.memory.total_mib, report.memory.available_mib),
    ("BLAS           %s, %s kernels, %s"):format(report.blas.parallel, report.blas.core, report.blas.library),
    ("artifacts      %s, %s"):format(report.artifacts.path, report.artifacts.writable and "writable" or "not writable"),
    "",
    "C libraries", sorted_lines(report.libraries),
    "Lua libraries", sorted_lines(report.lua),
    "",
  }
  for _, trouble in ipairs(report.troubles) do lines[#lines + 1] = "wrong: " .. trouble end
  if #report.troubles == 0 then lines[#lines + 1] = "nothing is wrong" end
  return table.concat(lines, "\n") .. "\n"
end

function doctor.options(parser)
  parser:flag("--json", "Put the report on stdout as one JSON object")
end

function doctor.run(args)
  local report = doctor.report()
  if args.json then
    local json = require "recsys.json"
    json.list(report.troubles)
    json.list(report.cpu.features)
    print(json.encode(report))
  else
    io.stdout:write(doctor.text(report))
  end
  return #report.troubles == 0 and exit.done or exit.failed
end

return doctor
