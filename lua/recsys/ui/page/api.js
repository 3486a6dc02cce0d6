// api.js - what the page asks the server for; nothing else fetches.
//
// MLflow's own calls go to /ajax-api/2.0/mlflow/. Ours, under /api/recsys/, answer a whole view in one request:
//
//   GET  runs?experiment_ids=1,2&filter=&order_by=&offset=&limit=&view=ACTIVE_ONLY|DELETED_ONLY|ALL&top=1
//        -> { total, runs: [{ info, params: { k: v }, tags: { k: v },
//             metrics: { name: { last, min, max, step } }, children }] }
//        'filter' is MLflow's grammar, 'order_by' one of its clauses, and also metrics.x.min or metrics.x.max, the best
//        value that a metric ever had; 'children' counts the runs whose tag mlflow.parentRunId names this one (absent:
//        not known); with top=1 only runs that stand under no other that is found
//   GET  runs.csv?(the same)                -> text/csv, every matching run
//   GET  keys?experiment_ids=1,2            -> { metrics: [name], params: [name], tags: [name] }
//   GET  groups?experiment_ids=&filter=&view=&by=params.x | tags.x
//        -> { groups: [{ value, count, metrics: { name: { mean, min, max, count } } }] } over last values; 404: the
//        page groups the runs that it pages through itself
//   POST histories { run_ids, keys, points }
//        -> { series: [{ run_id, key, points: [[step, timestamp, value], ...] }] }, at most 'points' each, minima and
//        maxima kept; no keys: all of the runs'
//   GET  log?run_id=&offset=                -> { text, offset, running }; 'offset' is where to read on
//   GET  promote?name=&version=&alias=&gates= -> { holder, passed, gate: [verdict], refusal, damaged }: what the gate
//        says; a verdict is { metric, gate, candidate, holder, difference, bound, least, passed, short, why, overlap }
//   POST promote { name, version, alias, gates, reason, no_gate } -> { event }; 409 with a message when it is refused
//   GET  rollback?name=&alias= -> { alias, from, to }: what a rollback would do
//   POST rollback { name, alias, reason } -> { event }
//   GET  flows?recipe=&state=&offset=&limit= -> { total, runs: [{ id, name, label, recipe, state, reason, started,
//        ended, tasks: { state: count } }], recipes: [name], now }; missing: there is no flow.db
//   GET  flow?id= -> a run with tasks, transitions, notes, progress, 'tracked' (run id), 'here' (its folder is there)
//   GET  flow?run_id= -> { id }: the flow of a tracked run, if it has one
//   GET  flow/log?id=&task=&element=&offset= -> { text, offset, running }
//   GET  flow/file?id=&note= -> the bytes of a note's file
//   GET  study?run_id= -> { metrics, directions, space: [{ name, kind, low, high, log }] } of a study, {} of other runs
//   GET  schedules -> { schedules: [{ name, cron, zone, state, next, due, code, recipe }] }, moments in seconds
//
// Numbers that JSON lacks come as "NaN", "Infinity", "-Infinity" and leave this file as numbers. An error is
// { error_code, message } with a status >= 400.

const MLFLOW = "ajax-api/2.0/mlflow/";
const OURS = "api/recsys/";

/** A refusal: message for people, code of MLflow's list, HTTP status (0: no answer). */
export class Refusal extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

let askToken = async () => null;

/** Who asks the user for the token when the server wants one: a function that resolves to a string or null. */
export function onToken(ask) {
  askToken = ask;
}

function headers(body) {
  const list = { Accept: "application/json" };
  const token = sessionStorage.getItem("token");
  if (token) list.Authorization = `Bearer ${token}`;
  if (body !== undefined) list["Content-Type"] = "application/json";
  return list;
}

async function refusal(response) {
  const text = await response.text().catch(() => "");
  try {
    const { message, error_code: code } = JSON.parse(text);
    return new Refusal(message || text, code || "", response.status);
  } catch {
    return new Refusal(text.slice(0, 300) || `${response.status} ${response.statusText}`, "", response.status);
  }
}

let asking = null;

/** Whether there is another token than the one that was refused: many calls ask the user once. */
async function newToken(refused) {
  if (sessionStorage.getItem("token") !== refused) return true;
  asking ||= askToken().finally(() => {
    asking = null;
  });
  const token = await asking;
  if (token) sessionStorage.setItem("token", token);
  return Boolean(token);
}

async function send(method, path, body, signal) {
  const sent = sessionStorage.getItem("token");
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headers(body),
      signal,
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("the server does not answer", "", 0);
  }
  if (response.status === 401 && (await newToken(sent))) return send(method, path, body, signal);
  if (!response.ok) throw await refusal(response);
  return response;
}

/** "?a=1&b=2&b=3"; empty values are left out. */
export function query(fields) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") all.append(name, one);
    }
  }
  const text = all.toString();
  return text && `?${text}`;
}

const get = async (path, fields = {}, signal) => (await send("GET", path + query(fields), undefined, signal)).json();
const write = async (method, path, body, signal) => (await send(method, path, body, signal)).json();

const WORDS = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

/** A number of the wire: MLflow's stand-ins for infinity become infinite. */
export function numberOf(value) {
  if (value === null || value === undefined) return NaN;
  if (typeof value === "string") return value in WORDS ? WORDS[value] : Number(value);
  if (Math.abs(value) >= 1.7976931348623157e308) return value > 0 ? Infinity : -Infinity;
  return value;
}

function readRun(run) {
  for (const metric of Object.values(run.metrics || {})) {
    for (const field of ["last", "min", "max"]) metric[field] = numberOf(metric[field]);
  }
  run.params ||= {};
  run.tags ||= {};
  run.metrics ||= {};
  run.id = run.info.run_id;
  run.name = run.info.run_name || run.tags["mlflow.runName"] || run.id.slice(0, 8);
  return run;
}

const pairs = (list) => Object.fromEntries((list || []).map(({ key, value }) => [key, value]));

/** A run as MLflow tells it, in the form of ours. */
function fromMlflow({ info, data = {}, inputs = {} }) {
  const metrics = {};
  for (const { key, value, step } of data.metrics || []) metrics[key] = { last: value, min: value, max: value, step };
  return readRun({ info, params: pairs(data.params), tags: pairs(data.tags), metrics, inputs });
}

const selection = ({ experiments, filter, order, view, top }) => ({
  experiment_ids: (experiments || []).join(","),
  filter,
  order_by: order,
  view,
  top: top ? "1" : "",
});

export const api = {
  async experiments() {
    const list = [];
    let page_token;
    do {
      const page = await write("POST", `${MLFLOW}experiments/search`, {
        max_results: 1000,
        view_type: "ALL",
        page_token,
      });
      list.push(...(page.experiments || []));
      page_token = page.next_page_token;
    } while (page_token);
    return list;
  },
  createExperiment: (name) => write("POST", `${MLFLOW}experiments/create`, { name }),
  renameExperiment: (experiment_id, new_name) =>
    write("POST", `${MLFLOW}experiments/update`, { experiment_id, new_name }),
  deleteExperiment: (experiment_id) => write("POST", `${MLFLOW}experiments/delete`, { experiment_id }),
  restoreExperiment: (experiment_id) => write("POST", `${MLFLOW}experiments/restore`, { experiment_id }),
  setExperimentTag: (experiment_id, key, value) =>
    write("POST", `${MLFLOW}experiments/set-experiment-tag`, { experiment_id, key, value }),

  /** { total, runs } of what, from 'offset' on. */
  async runs(what, offset, limit, signal) {
    const page = await get(`${OURS}runs`, { ...selection(what), offset: String(offset), limit: String(limit) }, signal);
    return { total: page.total, runs: (page.runs || []).map(readRun) };
  },
  keys: (experiments, signal) => get(`${OURS}keys`, { experiment_ids: experiments.join(",") }, signal),
  async csv(what) {
    return (await send("GET", `${OURS}runs.csv${query(selection(what))}`)).blob();
  },
  async groups(what, by, signal) {
    const { groups } = await get(`${OURS}groups`, { ...selection(what), by }, signal);
    for (const { metrics } of groups) {
      for (const metric of Object.values(metrics)) {
        for (const field of ["mean", "min", "max"]) metric[field] = numberOf(metric[field]);
      }
    }
    return groups;
  },
  async histories(run_ids, keys, points, signal) {
    if (run_ids.length === 0) return [];
    const { series } = await write("POST", `${OURS}histories`, { run_ids, keys, points }, signal);
    for (const one of series) {
      for (const point of one.points) point[2] = numberOf(point[2]);
    }
    return series;
  },
  log: (run_id, offset, signal) => get(`${OURS}log`, { run_id, offset: String(offset) }, signal),

  /** The run with best values where our endpoint knows it, and its data sets. */
  async run(run_id) {
    const [{ run }, page] = await Promise.all([
      get(`${MLFLOW}runs/get`, { run_id }),
      get(`${OURS}runs`, { filter: `attributes.run_id = '${run_id}'`, view: "ALL", offset: "0", limit: "1" }).catch(
        () => null,
      ),
    ]);
    const whole = fromMlflow(run);
    const ours = page && page.runs && page.runs.find(({ info }) => info.run_id === run_id);
    if (ours) Object.assign(whole, { metrics: readRun(ours).metrics, children: ours.children });
    return whole;
  },
  updateRun: (run_id, fields) => write("POST", `${MLFLOW}runs/update`, { run_id, ...fields }),
  deleteRun: (run_id) => write("POST", `${MLFLOW}runs/delete`, { run_id }),
  restoreRun: (run_id) => write("POST", `${MLFLOW}runs/restore`, { run_id }),
  setTag: (run_id, key, value) => write("POST", `${MLFLOW}runs/set-tag`, { run_id, key, value }),
  deleteTag: (run_id, key) => write("POST", `${MLFLOW}runs/delete-tag`, { run_id, key }),

  async artifacts(run_id, path) {
    const files = [];
    let page_token;
    do {
      const page = await get(`${MLFLOW}artifacts/list`, { run_id, path, page_token });
      files.push(...(page.files || []));
      page_token = page.next_page_token;
    } while (page_token);
    return files;
  },
  async artifact(run_id, path) {
    return (await send("GET", `get-artifact${query({ path, run_uuid: run_id })}`)).blob();
  },

  async models() {
    const list = [];
    let page_token;
    do {
      const page = await get(`${MLFLOW}registered-models/search`, { max_results: "1000", page_token });
      list.push(...(page.registered_models || []));
      page_token = page.next_page_token;
    } while (page_token);
    return list;
  },
  model: async (name) => (await get(`${MLFLOW}registered-models/get`, { name })).registered_model,
  async versions(filter) {
    const page = await get(`${MLFLOW}model-versions/search`, { filter, max_results: "10000" });
    return page.model_versions || [];
  },
  createModel: (name) => write("POST", `${MLFLOW}registered-models/create`, { name }),
  createVersion: (fields) => write("POST", `${MLFLOW}model-versions/create`, fields),
  describeModel: (name, description) => write("PATCH", `${MLFLOW}registered-models/update`, { name, description }),
  describeVersion: (name, version, description) =>
    write("PATCH", `${MLFLOW}model-versions/update`, { name, version, description }),
  setAlias: (name, alias, version) => write("POST", `${MLFLOW}registered-models/alias`, { name, alias, version }),
  deleteAlias: (name, alias) => write("DELETE", `${MLFLOW}registered-models/alias`, { name, alias }),
  gate: (request, signal) => get(`${OURS}promote`, request, signal),
  promote: (request) => write("POST", `${OURS}promote`, request),
  before: (name, alias) => get(`${OURS}rollback`, { name, alias }),
  rollback: (request) => write("POST", `${OURS}rollback`, request),

  flows: (what) => get(`${OURS}flows`, what),
  flow: (id) => get(`${OURS}flow`, { id }),
  flowOf: async (run_id) => (await get(`${OURS}flow`, { run_id })).id,
  flowLog: (id, task, element, offset) => get(`${OURS}flow/log`, { id, task, element, offset: String(offset) }),
  async flowFile(id, note) {
    return (await send("GET", `${OURS}flow/file${query({ id, note })}`)).blob();
  },
  study: (run_id) => get(`${OURS}study`, { run_id }),
  schedules: async () => (await get(`${OURS}schedules`)).schedules,
};
