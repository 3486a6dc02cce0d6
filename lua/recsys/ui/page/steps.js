// steps.js - the timeline of a recipe's steps, from tasks.json among the artifacts of its run: a list of
// { name, state, started (ms since 1970), seconds, after: [names], peak_mib }, written when a step begins and when it
// ends. Runs of before that know only how long each step took, one after the other.

import { api } from "./api.js";
import { h, moment, span } from "./dom.js";

const FILE = "tasks.json";
const MOST = 200;
const STATES = ["planned", "running", "done", "failed", "cached", "skipped"];
const WORDS = { pending: "planned", completed: "done", timed_out: "failed", cancelled: "failed", crashed: "failed" };

const finite = (value) => (Number.isFinite(value) && value >= 0 ? value : 0);
const texts = (list) => (Array.isArray(list) ? list.map(String) : []);

/** The steps with where each begins, in seconds from the first one's beginning; null for what is no such list. A step
 * that runs lasts until 'now' (ms), unless its run has ended: then it was cut short. */
export function timeline(list, { now = Date.now(), running = false } = {}) {
  if (!Array.isArray(list)) return null;
  const tasks = list.slice(0, MOST).filter((task) => task && typeof task === "object");
  const begins = tasks.map(({ started }) => started).filter(Number.isFinite);
  const origin = begins.length ? Math.min(...begins) : 0;
  let clock = 0;
  return tasks.map((task) => {
    const known = Number.isFinite(task.started);
    const start = known ? (task.started - origin) / 1000 : clock;
    const word = Object.hasOwn(WORDS, task.state) ? WORDS[task.state] : task.state;
    const told = STATES.includes(word) ? word : "";
    const state = told === "running" && !running ? "killed" : told;
    const seconds = told === "running" && known ? finite((now - task.started) / 1000) : finite(task.seconds);
    clock = Math.max(clock, start + seconds);
    return {
      name: String(task.name ?? ""),
      state,
      start,
      seconds,
      at: known ? task.started : 0,
      after: texts(task.after),
      mib: finite(task.peak_mib),
    };
  });
}

/** Marks of an axis of 'whole' seconds: some four round numbers. */
export function marks(whole) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const wanted = whole / 4;
  const step =
    wanted < 1
      ? [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((one) => one >= wanted)
      : (steps.find((one) => one >= wanted) ?? Math.ceil(wanted / 86400) * 86400);
  const list = [];
  for (let i = 0; i * step <= whole && i < 12; i++) list.push(i * step);
  return list;
}

function about({ name, state, seconds, at, after, mib }) {
  return [
    `${name}: ${state || "unknown"}, ${span(seconds * 1000)}`,
    at ? `began ${moment(at)}` : "",
    after.length ? `after ${after.join(", ")}` : "",
    mib ? `at most ${Math.round(mib)} MiB so far` : "",
  ]
    .filter(Boolean)
    .join("\n");
}

function row(step, whole) {
  const word = step.state === "done" ? span(step.seconds * 1000) : step.state;
  return h(
    "li",
    { class: "step", title: about(step) },
    h("span", { class: "cut" }, step.name),
    h(
      "span",
      { class: "track", "aria-hidden": "true" },
      !["planned", "skipped"].includes(step.state) &&
        h("i", {
          class: step.state,
          style: { left: `${(100 * step.start) / whole}%`, width: `max(3px, ${(100 * step.seconds) / whole}%)` },
        }),
    ),
    h("span", { class: `number ${step.state === "done" ? "" : step.state}` }, word),
  );
}

const label = (seconds) =>
  seconds === 0 ? "0" : seconds < 60 ? `${Number(seconds.toFixed(3))}s` : span(seconds * 1000);

const axis = (whole) =>
  h(
    "div",
    { class: "step times", "aria-hidden": "true" },
    h("span"),
    h(
      "span",
      { class: "marks" },
      marks(whole).map((mark) => h("small", { style: { left: `${(100 * mark) / whole}%` } }, label(mark))),
    ),
    h("span"),
  );

/** The timeline of a run as an element; null when its recipe left none. */
export async function steps(run) {
  const files = await api.artifacts(run.id, "");
  if (!files.some(({ path }) => path === FILE)) return null;
  let list;
  try {
    const text = await (await api.artifact(run.id, FILE)).text();
    list = timeline(JSON.parse(text), { running: run.info.status === "RUNNING" });
  } catch (error) {
    if (error instanceof SyntaxError) return null; // it is no such list
    throw error;
  }
  if (!list?.length) return null;
  const whole = Math.max(...list.map(({ start, seconds }) => start + seconds)) || 1;
  return h(
    "div",
    { class: "timeline" },
    axis(whole),
    h(
      "ol",
      {},
      list.map((step) => row(step, whole)),
    ),
  );
}
