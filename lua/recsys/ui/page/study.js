// study.js - the trials under one run: how the objective went, which parameters matter, where the good values lie.
// In the address: y (the objective, metrics.x or best.x), order (least|greatest), a, b (parameters of the contour).

import { api } from "./api.js";
import { cards, settingsBar } from "./cards.js";
import { button, choose, colour, duration, given, h, lowerIsBetter, number, show, span, status } from "./dom.js";
import { contour, parallel } from "./pictures.js";
import { go, here, ids, set, to } from "./place.js";
import { plot, progress, scatter } from "./plot.js";
import { importance, measures } from "./series.js";
import { coloured, differing, valueOf } from "./sets.js";
import { trialsOf } from "./rows.js";

const MOST = 1000; // trials that are looked at
const CURVES = 20; // trials whose curves are drawn
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
    trials = [],
    keys = [],
    names = [],
    timer,
    charts = [];
  const head = h("div"),
    boxes = h("div", { class: "boxes" }),
    tools = h("div", { class: "toolbar settings" }),
    holder = h("div");
  const all = cards(holder);
  show(main, head, boxes, h("h2", {}, "Curves"), tools, holder);

  const plain = (id) => id.slice(id.indexOf(".") + 1);
  const objective = () => here().fields.get("y") || objectiveOf(parent, trials);
  const least = () =>
    (here().fields.get("order") || (lowerIsBetter(plain(objective() || "")) ? "least" : "greatest")) === "least";
  const better = (a, b) => (least() ? a < b : a > b);

  function ranked() {
    const y = objective();
    return trials
      .map((trial) => ({ trial, y: y ? Number(valueOf(trial, y) ?? NaN) : NaN }))
      .sort(
        (a, b) => Number.isFinite(b.y) - Number.isFinite(a.y) || (better(a.y, b.y) ? -1 : better(b.y, a.y) ? 1 : 0),
      );
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
        h("span", { class: "quiet" }, `${trials.length} trials · ${span(duration(parent))}`),
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

  function box(title, build, wide = false) {
    const area = h("div", { class: "plot" });
    boxes.append(h("section", { class: wide ? "box wide" : "box" }, h("h2", {}, title), area));
    build(area);
  }

  function drawn(area, config) {
    const chart = plot(area);
    charts.push(chart);
    chart.draw(config).catch((error) => show(area, error.message));
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

  function drawBoxes(order) {
    const y = objective();
    charts.forEach((chart) => chart.close());
    charts = [];
    show(boxes);
    if (!y) return;
    const open_ = ({ id }) => go(to(["run", id]));
    const items = trials.map((trial) => ({
      id: trial.id,
      name: trial.name,
      about: trial.about,
      colour: trial.info.status === "FINISHED" ? "#2563eb" : trial.info.status === "RUNNING" ? "#16a34a" : "#94a3b8",
      y: Number(valueOf(trial, y) ?? NaN),
    }));
    box("History", (area) =>
      drawn(area, progress(`${plain(y)} by trial`, items, { y: plain(y), better, onopen: open_ })),
    );
    const weight = weights();
    if (weight.length) {
      box("Importance", (area) =>
        show(
          area,
          h("p", { class: "quiet" }, "Share of the objective's variance that a parameter alone accounts for."),
          weight
            .slice(0, 10)
            .map(([name, share]) =>
              h(
                "div",
                { class: "share" },
                h("span", { class: "cut", title: name }, name),
                h("span", { class: "track" }, h("i", { style: { width: `${Math.round(share * 100)}%` } })),
                h("span", { class: "number" }, share.toFixed(2)),
              ),
            ),
        ),
      );
      const axes = [...weight.slice(0, 6).map(([name]) => name), plain(y)];
      box(
        "All at once",
        (area) =>
          parallel(
            area,
            items.map((item, i) => ({ ...item, values: { ...trials[i].params, [plain(y)]: item.y } })),
            axes,
            open_,
          ),
        true,
      );
      for (const [name] of weight.slice(0, 4)) {
        box(name, (area) =>
          drawn(
            area,
            scatter(
              `${plain(y)} over ${name}`,
              items
                .map((item, i) => ({ ...item, x: trials[i].params[name] }))
                .filter((item) => item.x !== undefined && Number.isFinite(item.y)),
              { x: name, y: plain(y), onopen: open_ },
            ),
          ),
        );
      }
      if (weight.length > 1)
        contours(
          items,
          weight.map(([name]) => name),
          y,
          open_,
        );
    }
    box(
      "Trials",
      (area) => {
        area.className = "scroll";
        show(
          area,
          h(
            "table",
            { class: "list" },
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["#", "Trial", "Status", plain(y), ...names.slice(0, 8), "Took"].map((word) => h("th", {}, word)),
              ),
            ),
            h(
              "tbody",
              {},
              order.slice(0, 100).map(({ trial, y: value }, i) =>
                h(
                  "tr",
                  {},
                  h("td", {}, i + 1),
                  h("td", { class: "name" }, h("a", { href: to(["run", trial.id]) }, trial.name)),
                  h("td", {}, status(trial.info.status)),
                  h("td", { class: "number" }, number(value)),
                  names
                    .slice(0, 8)
                    .map((name) => h("td", { title: trial.params[name] }, given(trial.params[name]) ?? "")),
                  h("td", {}, span(duration(trial))),
                ),
              ),
            ),
          ),
        );
      },
      true,
    );
  }

  function contours(items, params, y, onopen) {
    const { fields } = here();
    const [a, b] = [fields.get("a") || params[0], fields.get("b") || params[1]];
    box("Contour", (area) => {
      area.before(
        h(
          "div",
          { class: "picks" },
          choose("x", params, a, (value) => set({ a: value }, { quiet: true })),
          choose("y", params, b, (value) => set({ b: value }, { quiet: true })),
        ),
      );
      contour(
        area,
        items.map((item, i) => ({ ...item, x: trials[i].params[a], y: trials[i].params[b], z: item.y })),
        { x: a, y: b, z: plain(y) },
        onopen,
      );
    });
  }

  async function fetch(id) {
    parent = await api.run(id);
    const page = await api.runs(
      { experiments: [parent.info.experiment_id], filter: trialsOf(id), order: "attributes.start_time ASC" },
      0,
      MOST,
    );
    trials = coloured(page.runs);
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
      trials.map(({ id, info, metrics }) => [id, info.status, metrics]),
    ]);
    if (text !== last) drawBoxes(order);
    last = text;
    const top = order.slice(0, CURVES).map(({ trial }, i) => ({ ...trial, index: i, colour: colour(i) }));
    settingsBar(tools, top, keys);
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
    if (parent?.id !== path[1]) await fetch(path[1]);
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
      charts.forEach((chart) => chart.close());
      all.close();
    },
  };
}
