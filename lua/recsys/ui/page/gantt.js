// gantt.js - a flow run's tasks over time, from the transitions of their states. Time in which nobody was at work on
// the run, between a process that ended and one that resumed it, is left out of the axis.

import { h, moment, span } from "./dom.js";
import { to } from "./place.js";
import { kind, mark, word } from "./states.js";
import { marks } from "./steps.js";

const FEW = 60; // elements of a map that are drawn
const GAP = 0.02; // share of the axis that stands for time in which nobody was at work

/** When the run had a process at work: [{ from, to, open: it is at work }], ms since 1970. */
export function episodes({ transitions, state, now }) {
  const list = [];
  let last = 0;
  for (const { number, state: next, at } of transitions) {
    const open = list.at(-1);
    if (number === undefined && next === "running") {
      if (open && open.to === undefined) open.to = last;
      list.push({ from: at });
    } else if (number === undefined && open) open.to ??= at;
    last = Math.max(last, at);
  }
  const open = list.at(-1);
  if (open) open.to ??= state === "running" ? Math.max(now, last) : last;
  const at = (one) => one === open && state === "running";
  return list.map((one) => ({ from: one.from, to: Math.max(one.from, one.to), open: at(one) }));
}

/** Where a moment lies on the axis, 0 to 1; .whole: ms of work, .gaps: where time is left out, .at(ms of work). */
export function axisOf(list) {
  const whole = list.reduce((sum, { from, to: end }) => sum + end - from, 0) || 1;
  const room = 1 - GAP * Math.max(0, list.length - 1);
  const at = (worked, i) => (worked / whole) * room + GAP * i;
  const begins = [];
  let sum = 0;
  for (const { from, to: end } of list) {
    begins.push(sum);
    sum += end - from;
  }
  const place = (ms) => {
    let i = 0;
    while (i + 1 < list.length && ms >= list[i + 1].from) i++;
    const { from, to: end } = list[i] || { from: ms, to: ms };
    return at((begins[i] || 0) + Math.min(Math.max(ms, from), end) - from, i);
  };
  place.whole = whole;
  place.gaps = begins.slice(1).map((worked, i) => at(worked, i));
  place.at = (worked) => at(worked, Math.max(0, begins.filter((begun) => begun <= worked).length - 1));
  return place;
}

const WORK = ["running", "retrying"];
const ENDS = ["completed", "failed", "timed_out", "cancelled", "crashed"];

/** The stretches of one task: [{ kind, from, to }]; what has no length is a tick, from = to. */
export function stretches(changes, list) {
  const found = [];
  changes.forEach(({ state, at, reason }, i) => {
    const next = changes[i + 1],
      within = list.findLast(({ from }) => at >= from) || { to: at };
    const end = Math.min(next ? next.at : within.to, within.to);
    const waits = /^waits for a place/.test(reason || "") && (!next || next.state === "running");
    if (waits) found.push({ kind: "waiting", from: at, to: Math.max(at, end) });
    else if (state === "running") {
      const known = next && next.state !== "running" ? next.state : next || !within.open ? "crashed" : "running";
      found.push({ kind: known === "retrying" ? "tried" : known, from: at, to: Math.max(at, end) });
    } else if (state === "retrying") found.push({ kind: "retrying", from: at, to: Math.max(at, end) });
    else if (state === "cached" || (ENDS.includes(state) && !WORK.includes(changes[i - 1]?.state)))
      found.push({ kind: state, from: at, to: at });
  });
  return found;
}

const groupKey = ({ number, element }) => `${number}/${element || 0}`;

/** The elements of a map that are drawn: all when they are few, else those first that are worth a look. */
export function fewOf(elements) {
  if (elements.length <= FEW) return elements;
  const plain = ({ state }) => ["completed", "cached", "pending"].includes(state);
  const worth = elements.filter((one) => !plain(one)).slice(0, FEW);
  const others = elements.filter(plain).slice(0, FEW - worth.length);
  return [...worth, ...others].sort((a, b) => a.element - b.element);
}

/** Rows of the timeline: [{ task, element, state, bars, seconds, attempts }], elements of a map below their task;
 * 'left' counts those of a task that are not drawn. With 'all' all are there. */
export function rowsOf(run, all = false) {
  const changes = new Map();
  for (const one of run.transitions) {
    if (one.number === undefined) continue;
    const key = groupKey(one);
    if (!changes.has(key)) changes.set(key, []);
    changes.get(key).push(one);
  }
  const list = episodes(run),
    place = axisOf(list);
  const row = (task, one) => {
    const mine = changes.get(groupKey({ number: task.number, element: one.element })) || [];
    const bars = stretches(mine, list);
    const working = bars.filter((bar) => !["waiting", "retrying", "cached"].includes(bar.kind) && bar.to > bar.from);
    return {
      task,
      element: one.element || 0,
      state: one.state,
      reason: one.reason,
      seconds: working.reduce((sum, bar) => sum + bar.to - bar.from, 0) / 1000,
      attempts: mine.filter(({ state }, i) => state === "running" && mine[i + 1]?.state !== "running").length,
      bars: bars.map((bar) => ({ ...bar, left: place(bar.from), right: place(bar.to) })),
    };
  };
  const rows = run.tasks.flatMap((task) => {
    const elements = (run.elements || []).filter(({ number }) => number === task.number),
      drawn = all ? elements : fewOf(elements);
    return [
      { ...row(task, task), left: elements.length - drawn.length },
      ...drawn.map((one) => row(task, one)),
    ];
  });
  return { rows, place };
}

const percent = (share) => `${(100 * share).toFixed(3)}%`;

const SHOWN = { tried: "failed, tried again", waiting: "waiting", retrying: "waiting to be tried again" };

function bar(one) {
  const said = `${SHOWN[one.kind] || word(one.kind)}, ${moment(one.from)}, ${span(one.to - one.from)}`;
  const class_ = one.kind === "tried" ? "tried" : kind(one.kind);
  return h("i", {
    class: one.to > one.from ? class_ : `${class_} tick`,
    title: said,
    style: { left: percent(one.left), width: `max(3px, ${percent(one.right - one.left)})` },
  });
}

function told(one) {
  if (one.state !== "completed") return word(one.state);
  return one.seconds > 0 ? span(one.seconds * 1000) : "completed";
}

/** The row of a task, or of an element of one, with a link to what it told. */
function rowFor(id, one) {
  const { task, element } = one;
  const name = element ? `${task.name} ${element}` : task.name;
  const more = one.attempts > 1 ? `${one.attempts} attempts` : "";
  return h(
    "li",
    { class: element ? "step element" : "step" },
    h(
      "span",
      { class: "cut" },
      h("a", { href: to(["flow", id, task.number, ...(element ? [element] : [])]), title: name }, name),
      one.left > 0 && h("small", {}, ` ${one.left} more elements`),
    ),
    h("span", { class: "track", "aria-hidden": "true" }, one.bars.map(bar)),
    h(
      "span",
      { class: `number mark ${kind(one.state)}`, title: [one.reason, more].filter(Boolean).join("\n") || undefined },
      more &&
        h(
          "small",
          {},
          h("span", { "aria-hidden": "true" }, `${one.attempts}× `),
          h("span", { class: "hidden" }, more),
        ),
      told(one),
      h("span", { "aria-hidden": "true" }, ` ${mark(one.state)}`),
    ),
  );
}

const label = (seconds) =>
  seconds === 0 ? "0" : seconds < 60 ? `${Number(seconds.toFixed(3))}s` : span(seconds * 1000);

const LEGEND = [
  ["completed", "at work, ended well"],
  ["running", "at work"],
  ["tried", "failed, tried again"],
  ["failed", "failed"],
  ["retrying", "waiting"],
  ["cached", "cached"],
  ["cancelled", "cut short"],
];
const LIKE = { waiting: "retrying", timed_out: "failed", crashed: "cancelled" };

/** The timeline of a run as an element. */
export function gantt(run) {
  const { rows, place } = rowsOf(run);
  const used = new Set(rows.flatMap(({ bars }) => bars.map((one) => LIKE[one.kind] || one.kind)));
  return h(
    "div",
    { class: "timeline gantt" },
    h(
      "div",
      { class: "step times", "aria-hidden": "true" },
      h("span"),
      h(
        "span",
        { class: "marks" },
        marks(place.whole / 1000).map((at) => h("small", { style: { left: percent(place.at(at * 1000)) } }, label(at))),
        place.gaps.map((at) => h("b", { title: "resumed", style: { left: percent(at) } })),
      ),
      h("span"),
    ),
    h(
      "ol",
      {},
      rows.map((one) => rowFor(run.id, one)),
    ),
    used.size > 0 &&
      h(
        "p",
        { class: "legend" },
        LEGEND.filter(([name]) => used.has(name)).map(([name, text]) =>
          h("span", {}, h("i", { class: name === "cached" ? "cached tick" : name, "aria-hidden": "true" }), text),
        ),
        place.gaps.length > 0 && h("span", {}, h("b", { "aria-hidden": "true" }), "resumed"),
      ),
  );
}
