// steps.js - the timeline of a recipe's steps, from tasks.json among the artifacts of its run: a list of
// { name, state, seconds, start?, peak_mib? }. Steps ran one after the other; 'start' (seconds) where it is known.

import { api } from "./api.js";
import { h, span } from "./dom.js";

const FILE = "tasks.json";
const MOST = 200;

const finite = (value) => (Number.isFinite(value) && value >= 0 ? value : 0);

/** The steps with where each begins, in seconds; null for what is no such list. */
export function timeline(list) {
  if (!Array.isArray(list)) return null;
  let clock = 0;
  return list.slice(0, MOST).map((task) => {
    const seconds = finite(task?.seconds);
    const start = Number.isFinite(task?.start) ? finite(task.start) : clock;
    clock = start + seconds;
    return {
      name: String(task?.name ?? ""),
      state: String(task?.state ?? ""),
      seconds,
      start,
      mib: finite(task?.peak_mib),
    };
  });
}

function bar({ name, state, seconds, start, mib }, whole) {
  const about = `${name}: ${state}, ${span(seconds * 1000)}${mib ? `, at most ${Math.round(mib)} MiB` : ""}`;
  return h(
    "div",
    { class: "step", title: about },
    h("span", { class: "cut" }, name),
    h(
      "span",
      { class: "track" },
      h("i", {
        class: state === "failed" ? "bad" : "",
        style: { marginLeft: `${(100 * start) / whole}%`, width: `max(2px, ${(100 * seconds) / whole}%)` },
      }),
    ),
    h("span", { class: "number" }, span(seconds * 1000)),
  );
}

/** The timeline of a run as an element; null when its recipe left none. */
export async function steps(run_id) {
  const files = await api.artifacts(run_id, "");
  if (!files.some(({ path }) => path === FILE)) return null;
  let list;
  try {
    list = timeline(JSON.parse(await (await api.artifact(run_id, FILE)).text()));
  } catch (error) {
    if (error instanceof SyntaxError) return null; // it is being written
    throw error;
  }
  if (!list?.length) return null;
  const whole = Math.max(...list.map(({ start, seconds }) => start + seconds)) || 1;
  return h(
    "div",
    {},
    list.map((step) => bar(step, whole)),
  );
}
