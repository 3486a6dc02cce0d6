// sets.js - many runs at once: what one of them has under a column's id, in what they differ, colours, and groups.

import { best, colour } from "./dom.js";

/** What a run has under params.x, tags.x, metrics.x (last) or best.x. */
export function valueOf(run, id) {
  const key = id.slice(id.indexOf(".") + 1);
  if (id.startsWith("params.")) return run.params[key];
  if (id.startsWith("tags.")) return run.tags[key];
  const metric = run.metrics[key];
  return metric && (id.startsWith("best.") ? best(key, metric) : metric.last);
}

/** The interval that was logged with a metric: x_low and x_high, or x_lower and x_upper, beside x. */
export function interval(run, key) {
  for (const [low, high] of [
    ["_low", "_high"],
    ["_lower", "_upper"],
    ["/low", "/high"],
  ]) {
    const [a, b] = [run.metrics[key + low], run.metrics[key + high]];
    if (a && b) return [a.last, b.last];
  }
  return null;
}

/** The parameters in which runs differ. */
export function differing(runs) {
  const names = new Set(runs.flatMap((run) => Object.keys(run.params)));
  return [...names].filter((name) => new Set(runs.map((run) => run.params[name])).size > 1).sort();
}

/** Runs with a colour each, and what tells them apart. */
export function coloured(runs) {
  const names = differing(runs).slice(0, 5);
  return runs.map((run, index) => ({
    ...run,
    index,
    colour: colour(index),
    about: names.map((name) => `${name} = ${String(run.params[name] ?? "").slice(0, 40)}`).join("\n"),
  }));
}

/** Runs with the group that each is in by a column's id, { id, name, colour, index, about }, and those groups. */
export function inGroups(runs, by) {
  const known = grouped(runs.map((run) => ({ run, x: valueOf(run, by) })));
  const left = runs.filter((run) => !known.some(({ items }) => items.some((item) => item.run === run)));
  if (left.length) known.push({ name: "not set", items: left.map((run) => ({ run })) });
  const groups = known.map(({ name, items }, index) => ({
    id: `group-${index}`,
    name: `${name} (${items.length})`,
    colour: colour(index),
    index,
    about: items.map(({ run }) => run.name).slice(0, 12).join("\n"),
  }));
  const placed = known.flatMap(({ items }, i) => items.map(({ run }) => ({ ...run, group: groups[i] })));
  return { groups, runs: placed };
}

const SINGLE = 12; // values that each make a group of their own
const PARTS = 6; // groups of numbers of which there are more

/** Groups of items { x, ... } by x: [{ name, items }] in order; numbers of many values by ranges that hold equally
 * many items. */
export function grouped(items) {
  const present = items.filter(({ x }) => x !== undefined && x !== null && x !== "");
  const numeric = present.every(({ x }) => Number.isFinite(Number(x)));
  const values = [...new Set(present.map(({ x }) => String(x)))];
  if (numeric) values.sort((a, b) => Number(a) - Number(b));
  else values.sort();
  if (!numeric || values.length <= SINGLE)
    return values.map((value) => ({ name: value, items: present.filter(({ x }) => String(x) === value) }));
  const parts = Array.from({ length: PARTS }, (_, i) =>
    values.slice(Math.round((i * values.length) / PARTS), Math.round(((i + 1) * values.length) / PARTS)),
  );
  return parts.map((part) => ({
    name: `${part[0]} … ${part[part.length - 1]}`,
    items: present.filter(({ x }) => part.includes(String(x))),
  }));
}
