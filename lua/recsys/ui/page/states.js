// states.js - the states of flow runs and their tasks: each has a mark, a word and a colour of its own, so that none is
// told by colour alone.

import { h, span } from "./dom.js";

const MARKS = {
  pending: "○",
  running: "▶",
  retrying: "↻",
  waiting: "…",
  cached: "◆",
  completed: "✓",
  failed: "✗",
  refused: "✗",
  timed_out: "⧗",
  cancelled: "■",
  skipped: "–",
  crashed: "⚡",
};

export const STATES = ["running", "completed", "failed", "refused", "cancelled", "crashed"];

export const word = (state) => String(state).replace("_", " ");
export const mark = (state) => MARKS[state] || "?";
/** The class that gives a state its colour; nothing of what the server says becomes a class. */
export const kind = (state) => (Object.hasOwn(MARKS, state) ? state : "unknown");

/** "✓ completed". */
export const stateOf = (state, text = word(state)) =>
  h("span", { class: `mark ${kind(state)}` }, h("span", { "aria-hidden": "true" }, mark(state)), ` ${text}`);

/** "8 completed, 2 cached" as marks with words for those who listen. */
export function counts(tasks) {
  return Object.keys(MARKS)
    .filter((state) => tasks[state])
    .map((state) =>
      h(
        "span",
        { class: `mark ${state}`, title: `${tasks[state]} ${word(state)}` },
        h("span", { "aria-hidden": "true" }, mark(state)),
        ` ${tasks[state]}`,
        h("span", { class: "hidden" }, ` ${word(state)} `),
      ),
    );
}

/** How long a run or a task took, or has taken until now; "" where it has not begun. */
export function took(one, now) {
  const end = one.ended ?? (["running", "retrying"].includes(one.state) ? now : undefined);
  return one.started && end !== undefined ? span(Math.max(0, end - one.started)) : "";
}
