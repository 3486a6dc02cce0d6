// study.js - the trials under one run: how the objective went, which parameters matter, where the good values lie.
// In the address: y (the objective, metrics.x or best.x), order (least|greatest), a, b (parameters of the contour), fx,
// fy (objectives of the front).
//
// Of very many trials the best are looked at, as the server orders them, and how many are left out is said.

import { api } from "./api.js";
import { card } from "./card.js";
import { cards, settingsBar } from "./cards.js";
import { button, choose, colour, duration, given, h, lowerIsBetter, number, show, span, status } from "./dom.js";
import * as grammar from "./grammar.js";
import { contour, parallel } from "./pictures.js";
import { go, here, ids, set, to } from "./place.js";
import { front } from "./front.js";
import { frontier, plot, progress, scatter } from "./plot.js";
import { importance, measures } from "./series.js";
import { coloured, differing, valueOf } from "./sets.js";
import { trialsOf } from "./rows.js";
import { isPruned, ranking, shares, unbeaten } from "./trials.js";

const MOST = 1000; // trials that are looked at
const CURVES = 20; // trials whose curves are drawn, and as many that were cut short
const SLICES = 24; // parameters that are drawn
const GREY = "#94a3b8";
const LIVE = 3000;

/** The metric that a study is about: what its tags say, else one of the test, of validation, any. */
function objectiveOf(parent, trials) {
  const told = parent.tags["recsys.study.metric"] || parent.tags["recsys.metric"];
  if (told) return `metrics.${told}`;
  const counts = new Map();
  for (const trial of trials) for (const key of Object.keys(trial.metrics)) counts.set(key, (counts.get(key) || 0) + 1);
  const score = (key) =>
    /valid.*(ndcg|recall|map|auc|mrr)/.test(key)
      ? 4
      : /ndcg|recall|map|auc|mrr/.test(key)
        ? 3
        : /valid/.test(key)
          ? 2
          : key.startsWith("system/")
            ? 0
            : 1;
  const key = [...counts.keys()].sort(
    (a, b) => score(b) - score(a) || counts.get(b) - counts.get(a) || (a < b ? -1 : 1),
  )[0];
  return key && `${/loss|ndcg|recall|map|auc|mrr/.test(key) ? "best" : "metrics"}.${key}`;
}

export function open(main) {
  let parent = null,
    trials = [], // in the order of their start
    total = 0, // of them, more than there are in 'trials' when these are the best alone
    standard, // the objective where the address names none
    asked = "", // the order of which they are the first, "" when they are all
    keys = [],
    names = [],
    study = {}, // what flow.db knows of it
    timer,
    charts = [];
  const head = h("div"),
    boxes = h("div", { class: "boxes" }),
    tools = h("div", { class: "toolbar settings" }),
    marks = h("div"),
    holder = h("div");
  const all = cards(holder);
  show(main, head, boxes, h("h2", {}, "Curves"), tools, marks, holder);

  const plain = (id) => id.slice(id.indexOf(".") + 1);
  const objective = () => here().fields.get("y") || standard;
  const least = () => (here().fields.get("order") || direction()) === "least";
  /** What is best where the address says nothing: as the study has it for its own objective, else by the name. */
  function direction() {
    const y = plain(objective() || ""),
      told = parent?.tags["recsys.study.direction"];
    if (told && y === parent.tags["recsys.study.metric"]) return told === "minimize" ? "least" : "greatest";
    return lowerIsBetter(y) ? "least" : "greatest";
  }
  const better = (a, b) => (least() ? a < b : a > b);

  /** The order of the objective, the best first; "" where nothing was measured. */
  function bestFirst() {
    const y = objective();
    if (!y) return "";
    const key = plain(y),
      value = y.startsWith("best.") ? (lowerIsBetter(key) ? ".min" : ".max") : "";
    return `${grammar.name("metrics", key)}${value} ${least() ? "ASC" : "DESC"}`;
  }

  function ranked() {
    const y = objective();
    return trials
      .map((trial) => ({ trial, y: y ? Number(valueOf(trial, y) ?? NaN) : NaN }))
      .sort(
        (a, b) => Number.isFinite(b.y) - Number.isFinite(a.y) || (better(a.y, b.y) ? -1 : better(b.y, a.y) ? 1 : 0),
      );
  }

  /** How many trials there are, and which of them are looked at. */
  function amount() {
    const count = (n) => n.toLocaleString("en");
    if (total <= trials.length) return `${count(trials.length)} trials`;
    return `${count(total)} trials, of which the ${asked ? "best" : "first"} ${count(trials.length)} are shown`;
  }

  function drawHead(order) {
    const y = objective(),
      top = order[0];
    const choices = [
      ...keys.map((key) => [`best.${key}`, `${key} (best)`]),
      ...keys.map((key) => [`metrics.${key}`, `${key} (last)`]),
    ];
    show(
      head,
      h(
        "p",
        { class: "crumbs" },
        h("a", { href: to(["runs"], { e: parent.info.experiment_id }) }, "runs"),
        " › ",
        h("a", { href: to(["run", parent.id]) }, parent.name),
      ),
      h(
        "div",
        { class: "toolbar" },
        h("h1", {}, "Study"),
        status(parent.info.status),
        h("span", { class: "quiet" }, `${amount()} · ${span(duration(parent))}`),
        h("span", { class: "space" }),
        choose("objective", choices, y, (value) => set({ y: value })),
        choose(
          "",
          [
            ["least", "least is best"],
            ["greatest", "greatest is best"],
          ],
          least() ? "least" : "greatest",
          (value) => set({ order: value }),
          { "aria-label": "direction" },
        ),
        button(
          "Compare the best",
          () =>
            go(
              to(["compare"], {
                runs: order
                  .slice(0, 5)
                  .map(({ trial }) => trial.id)
                  .join(","),
              }),
            ),
          { disabled: order.length < 2 },
        ),
      ),
      top &&
        Number.isFinite(top.y) &&
        h(
          "p",
          { class: "top" },
          "Best: ",
          h("a", { href: to(["run", top.trial.id]) }, top.trial.name),
          " with ",
          h("strong", {}, number(top.y)),
          ", ",
          names.slice(0, 8).map((name, i) => [i ? ", " : "", `${name} = ${given(top.trial.params[name]) ?? "–"}`]),
        ),
    );
  }

  function box(title, kind, ...nodes) {
    boxes.append(h("section", { class: `box ${kind}` }, h("h2", {}, title), nodes));
  }

  /** What the marks of trials mean; nothing where all are of one kind. */
  function legend(marks) {
    const cut = trials.some(isPruned);
    return (
      cut &&
      h(
        "p",
        { class: "legend" },
        marks.map(([kind, text]) => h("span", {}, h("i", { class: kind, "aria-hidden": "true" }), text)),
      )
    );
  }
  const DOTS = [
    ["dot done", "to its end"],
    ["cross", "pruned, its last value"],
  ];
  const LINES = [
    ["line", "to its end"],
    ["line dashed", "pruned"],
  ];

  /** A box with a chart, which can be shown over the whole screen and saved. */
  function chart(title, kind, build, fields, place = boxes) {
    const { element, area } = card({ name: () => title, draw: build, rows: rowsOf, items: [], fields });
    element.classList.add("box", ...kind.split(" ").filter(Boolean));
    place.append(element);
    charts.push(build(area));
  }

  /** All trials as rows of a CSV file. */
  function rowsOf() {
    const y = objective();
    return [
      ["trial", "run_id", "status", plain(y), ...names],
      ...trials.map((trial) => [
        trial.name,
        trial.id,
        isPruned(trial) ? "PRUNED" : trial.info.status,
        valueOf(trial, y),
        ...names.map((name) => trial.params[name]),
      ]),
    ];
  }

  function drawn(area, config) {
    const made = plot(area);
    made.draw(config).catch((error) => show(area, error.message));
    return made;
  }

  /** What the study itself tells of its objective: [] where it has too few trials, undefined for others. */
  function told() {
    const shares = study.importance?.[plain(objective()).replace(/^objective\//, "")];
    return shares && Object.keys(study.trials).length ? shares.map(({ name, share }) => [name, share]) : undefined;
  }

  function weights() {
    const y = objective();
    const known = trials
      .map((trial) => [trial, Number(valueOf(trial, y) ?? NaN)])
      .filter(([, value]) => Number.isFinite(value));
    if (known.length < 3) return [];
    return names
      .map((name) => [
        name,
        importance(
          known.map(([trial]) => trial.params[name]),
          known.map(([, value]) => value),
        ),
      ])
      .filter(([, weight]) => Number.isFinite(weight))
      .sort((a, b) => b[1] - a[1]);
  }

  const onopen = ({ id }) => {
    document.querySelector("dialog[open]")?.close();
    go(to(["run", id]));
  };

  const COLOURS = { FINISHED: colour(0), RUNNING: colour(2) };

  /** The trials with their objective as 'y'. */
  function itemsOf(y) {
    return trials.map((trial) => ({
      id: trial.id,
      name: trial.name,
      about: trial.about,
      params: trial.params,
      cross: isPruned(trial),
      colour: (!isPruned(trial) && COLOURS[trial.info.status]) || GREY,
      y: Number(valueOf(trial, y) ?? NaN),
    }));
  }

  /** The same for charts in which those that were cut short are crosses, at the last value that they told. */
  function withPruned(items, y) {
    const told = `metrics.${plain(y).replace(/^objective\//, "")}`;
    return items.map((item, i) =>
      item.cross && !Number.isFinite(item.y) ? { ...item, y: Number(valueOf(trials[i], told) ?? NaN) } : item,
    );
  }

  function drawBoxes(order) {
    const y = objective();
    charts.forEach((one) => one?.close?.());
    charts = [];
    show(boxes);
    if (!y) return;
    const items = itemsOf(y),
      known = told(),
      weight = known?.length ? known : weights();
    const marked = withPruned(items, y);
    const progressed = progress(`${plain(y)} by trial`, marked, { y: plain(y), better, onopen });
    chart("History", "first", (area) => drawn(area, progressed), legend(DOTS));
    if (study.metrics?.length > 1) fronts();
    if (weight.length) {
      importances(known || weight);
      allAtOnce(items, weight, y);
    }
    slices(marked, weight, y);
    if (weight.length) {
      const params = weight.map(([name]) => name);
      if (weight.length > 1) contours(items, params, y);
    }
    box("Trials", "wide", h("div", { class: "scroll" }, ranking(order, names, plain(y))));
  }

  function importances(weight) {
    box(
      "Importance",
      "second",
      h(
        "p",
        { class: "quiet" },
        weight.length
          ? "Share of the objective's variance that a parameter alone accounts for."
          : "It is told when more trials have come to their ends.",
      ),
      shares(weight),
    );
  }

  function allAtOnce(items, weight, y) {
    const axes = [...weight.slice(0, 6).map(([name]) => name), plain(y)];
    const logs = axes.map((name) => (study.space?.some((one) => one.name === name) ? isLog(name) : true));
    const strands = items.map((item) => ({ ...item, values: { ...item.params, [plain(y)]: item.y } }));
    chart("All at once", "wide", (area) => parallel(area, strands, axes, onopen, logs));
  }

  /** The objective over each parameter, those that matter most first. */
  function slices(items, weight, y) {
    const weighed = weight.map(([name]) => name);
    const all = [...weighed, ...names.filter((name) => !weighed.includes(name))];
    if (!all.length) return;
    const place = h("div", { class: "slices" });
    box(
      "Slices",
      "wide",
      h(
        "p",
        { class: "quiet" },
        `${plain(y)} over each parameter`,
        all.length > SLICES && `, the first ${SLICES} of ${all.length}`,
      ),
      place,
      legend(DOTS),
    );
    for (const name of all.slice(0, SLICES)) slice(items, name, y, place);
  }

  const isLog = (name) => !!study.space?.some((one) => one.name === name && one.log);

  function slice(items, name, y, place) {
    const placed = items
      .map((item) => ({ ...item, x: item.params[name] }))
      .filter((item) => item.x !== undefined && Number.isFinite(item.y));
    const logX = isLog(name) && placed.every(({ x }) => Number(x) > 0);
    const title = logX ? `${name} (logarithmic)` : name;
    const config = scatter(`${plain(y)} over ${name}`, placed, { x: title, y: "", logX, onopen });
    chart(name, "slice", (area) => drawn(area, config), null, place);
  }

  /** Several objectives: two of them against each other, and the trials that no other one beats. */
  function fronts() {
    const { fields } = here();
    const objectives = study.metrics.map((name) => `objective/${name}`);
    const less = study.metrics.map((_, i) => study.directions[i] === "minimize");
    const items = itemsOf(`metrics.${objectives[0]}`)
      .map((item, i) => ({ ...item, values: objectives.map((key) => Number(trials[i].metrics[key]?.last ?? NaN)) }))
      .filter(({ cross, values }) => !cross && values.every(Number.isFinite));
    const first = front(items, less);
    const pick = (name, otherwise) => Math.max(0, study.metrics.indexOf(fields.get(name) || study.metrics[otherwise]));
    const [a, b] = [pick("fx", 0), pick("fy", 1)];
    const picks =
      study.metrics.length > 2 &&
      h(
        "div",
        { class: "picks" },
        choose("x", study.metrics, study.metrics[a], (value) => set({ fx: value }, { quiet: true })),
        choose("y", study.metrics, study.metrics[b], (value) => set({ fy: value }, { quiet: true })),
      );
    const title = (i) => `${study.metrics[i]} (${less[i] ? "less" : "more"} is better)`;
    const placed = items.map((item) => ({
      ...item,
      x: item.values[a],
      y: item.values[b],
      first: first.some(({ id }) => id === item.id),
    }));
    const said = `Pareto front of ${study.metrics.join(", ")}`;
    const config = frontier(said, placed, { x: title(a), y: title(b), onopen });
    chart("Pareto front", "first", (area) => drawn(area, config), picks);
    const sorted = [...first].sort((one, other) => (one.values[0] - other.values[0]) * (less[0] ? 1 : -1));
    const rows = unbeaten(sorted, names, study.metrics);
    box("Trials that no other beats", "second", h("div", { class: "scroll" }, rows));
  }

  function contours(items, params, y) {
    const { fields } = here();
    const [a, b] = [fields.get("a") || params[0], fields.get("b") || params[1]];
    const picks = h(
      "div",
      { class: "picks" },
      choose("x", params, a, (value) => set({ a: value }, { quiet: true })),
      choose("y", params, b, (value) => set({ b: value }, { quiet: true })),
    );
    const placed = items.map((item) => ({ ...item, x: item.params[a], y: item.params[b], z: item.y }));
    const titles = { x: a, y: b, z: plain(y) };
    chart("Contour", "", (area) => contour(area, placed, titles, onopen), picks);
  }

  /** A trial with those of its parameters that the study has chosen: others, of which it has no value, are the
   * recipe's, which the trial does not go by. */
  function searched(run) {
    const values = study.trials?.[run.name];
    if (!values) return run;
    const params = { ...run.params };
    for (const { name } of study.space) if (!(name in values)) delete params[name];
    return { ...run, params };
  }

  /** The trials, or the best of them when there are more than MOST. */
  async function ask(what) {
    const known = asked && bestFirst();
    let page = await api.runs({ ...what, order: known || "attributes.start_time ASC" }, 0, MOST);
    asked = known;
    if (!known || page.total <= MOST) standard = objectiveOf(parent, page.runs);
    if (page.total <= MOST) asked = "";
    else if (!known && bestFirst()) {
      asked = bestFirst();
      page = await api.runs({ ...what, order: asked }, 0, MOST);
    }
    return page;
  }

  async function fetch(id) {
    if (parent?.id !== id) asked = "";
    [parent, study] = await Promise.all([api.run(id), api.study(id).catch(() => ({}))]);
    const filter = parent.tags["recsys.study"] // not the run that trained the best one again
      ? grammar.all(trialsOf(id), "attributes.run_name LIKE 'trial_%'")
      : trialsOf(id);
    const page = await ask({ experiments: [parent.info.experiment_id], filter });
    total = page.total;
    trials = coloured(
      page.runs.map(searched).sort((a, b) => a.info.start_time - b.info.start_time || (a.id < b.id ? -1 : 1)),
    );
    names = differing(trials);
    keys = measures(
      [...new Set(trials.flatMap((trial) => Object.keys(trial.metrics)))]
        .filter((key) => !key.startsWith("system/"))
        .sort(),
    );
  }

  let last = "";
  async function draw() {
    const order = ranked();
    const { fields } = here();
    drawHead(order);
    const text = JSON.stringify([
      objective(),
      least(),
      fields.get("a"),
      fields.get("b"),
      fields.get("fx"),
      fields.get("fy"),
      trials.map(({ id, info, metrics }) => [id, info.status, metrics]),
    ]);
    if (text !== last) drawBoxes(order);
    last = text;
    const whole = order.filter(({ trial }) => !isPruned(trial)).slice(0, CURVES),
      cut = order.filter(({ trial }) => isPruned(trial)).slice(0, CURVES);
    const top = [
      ...cut.map(({ trial }) => ({ ...trial, index: 0, colour: GREY, dashed: true, name: `${trial.name} (pruned)` })),
      ...whole.map(({ trial }, i) => ({ ...trial, index: i, colour: colour(i), dashed: false })),
    ];
    settingsBar(tools, top, keys);
    show(marks, legend(LINES) || "");
    const hidden = ids(fields, "hide");
    all.update({ runs: top.filter(({ id }) => !hidden.includes(id)), keys });
  }

  function live() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (
        !document.hidden &&
        (parent?.info.status === "RUNNING" || trials.some(({ info }) => info.status === "RUNNING"))
      ) {
        await fetch(parent.id)
          .then(draw)
          .then(() => all.refresh())
          .catch(() => {});
      }
      live();
    }, LIVE);
  }

  async function update({ path }) {
    if (parent?.id !== path[1] || (total > trials.length && asked !== bestFirst())) await fetch(path[1]);
    document.title = `${parent.name} · recsys-run`;
    if (trials.length === 0) {
      show(head, h("h1", {}, parent.name), h("p", { class: "empty" }, "No trials stand under this run."));
      return;
    }
    await draw();
    live();
  }

  return {
    update,
    close: () => {
      clearTimeout(timer);
      charts.forEach((one) => one?.close?.());
      all.close();
    },
  };
}
