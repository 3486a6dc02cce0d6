// trials.js - what the view of a study lists: its trials by rank, those that no other beats, parameters by weight.

import { duration, given, h, number, span, status } from "./dom.js";
import { to } from "./place.js";

const MOST = 100; // rows

export const isPruned = (trial) => trial.tags["recsys.trial.state"] === "pruned";

/** A table with a head of { word, isNumber } and rows of cells. */
function ranked(head, rows) {
  return h(
    "table",
    { class: "list ranking" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head.map(({ word, isNumber }) => h("th", { scope: "col", class: isNumber ? "number" : "" }, word)),
      ),
    ),
    h("tbody", {}, rows.slice(0, MOST).map((cells) => h("tr", {}, cells))),
  );
}

const words = (names) => names.map((word) => ({ word }));
const numbers = (names) => names.map((word) => ({ word, isNumber: true }));
const valuesOf = (names, params) => names.map((name) => h("td", { title: params[name] }, given(params[name]) ?? ""));

/** Trials in the order of the objective: [{ trial, y }]. */
export function ranking(order, names, objective) {
  const shown = names.slice(0, 8);
  return ranked(
    [...numbers(["#"]), ...words(["Trial", "Status"]), ...numbers([objective]), ...words(shown), ...numbers(["Took"])],
    order.map(({ trial, y }, i) => [
      h("td", { class: "number line" }, i + 1),
      h("td", { class: "name" }, h("a", { href: to(["run", trial.id]) }, trial.name)),
      h("td", {}, status(trial.info.status), isPruned(trial) && h("span", { class: "quiet" }, " pruned")),
      h("td", { class: "number" }, number(y)),
      valuesOf(shown, trial.params),
      h("td", { class: "number" }, span(duration(trial))),
    ]),
  );
}

/** Trials with a value of each objective: [{ id, name, values, params }]. */
export function unbeaten(list, names, objectives) {
  const shown = names.slice(0, 4);
  return ranked(
    [...words(["Trial"]), ...numbers(objectives), ...words(shown)],
    list.map((item) => [
      h("td", { class: "line" }, h("a", { href: to(["run", item.id]) }, item.name)),
      item.values.map((value) => h("td", { class: "number" }, number(value))),
      valuesOf(shown, item.params),
    ]),
  );
}

/** Parameters by their share: [[name, share]]. */
export function shares(weight) {
  return weight
    .slice(0, 10)
    .map(([name, share]) =>
      h(
        "div",
        { class: "share" },
        h("span", { class: "cut", title: name }, name),
        h("span", { class: "track" }, h("i", { style: { width: `${Math.round(share * 100)}%` } })),
        h("span", { class: "number" }, share.toFixed(2)),
      ),
    );
}
