// charts.js - the charts of the runs page: a legend of the runs, a card for each metric, and plots that people add
// (scatter, bars, parallel coordinates, contours) over all runs that match.
//
// In the address beside the fields of cards.js: many (runs drawn while none is selected), hide (run ids), plots.

import { api } from "./api.js";
import { cards, settings, settingsBar } from "./cards.js";
import { attempt, best, button, choose, colour, dialog, h, note, show } from "./dom.js";
import { literal } from "./grammar.js";
import { go, here, ids, set, to } from "./place.js";
import { contour, parallel, ramp } from "./pictures.js";
import { bars, plot, scatter } from "./plot.js";
import { measures } from "./series.js";

const PLOTTED = 1000; // runs in a scatter plot and its like
const KINDS = { scatter: "scatter", bar: "bars", parallel: "parallel coordinates", contour: "contour" };

/** What a run has under params.x, metrics.x (last) or best.x. */
export function valueOf(run, id) {
  const key = id.slice(id.indexOf(".") + 1);
  if (id.startsWith("params.")) return run.params[key];
  const metric = run.metrics[key];
  return metric && (id.startsWith("best.") ? best(key, metric) : metric.last);
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

/** The legend: a chip for each run, which hides and shows it. */
export function legend(holder, runs, hidden) {
  show(
    holder,
    runs.map((run) =>
      h(
        "span",
        { class: hidden.includes(run.id) ? "chip off" : "chip" },
        h(
          "button",
          {
            type: "button",
            title: run.about || run.name,
            "aria-pressed": hidden.includes(run.id) ? "false" : "true",
            onclick: () =>
              set(
                {
                  hide: (hidden.includes(run.id) ? hidden.filter((id) => id !== run.id) : [...hidden, run.id]).join(
                    ",",
                  ),
                },
                { quiet: true },
              ),
          },
          h("i", { style: { background: run.colour } }),
          h("span", { class: "cut" }, run.name),
        ),
        h("a", { href: to(["run", run.id]), "aria-label": `open ${run.name}`, title: "open" }, "›"),
      ),
    ),
  );
}

const plotsOf = (fields) => {
  try {
    const value = JSON.parse(fields.get("plots") || "[]");
    return Array.isArray(value) ? value.filter(({ kind }) => kind in KINDS) : [];
  } catch {
    return [];
  }
};

/** Plots people added, in 'holder': update(runs, keys). */
export function plots(holder, keysNow) {
  let drawn = [];

  const fieldsOf = () => {
    const keys = keysNow();
    return [
      ...keys.params.map((key) => [`params.${key}`, key]),
      ...keys.metrics.map((key) => [`metrics.${key}`, key]),
      ...keys.metrics.map((key) => [`best.${key}`, `${key} (best)`]),
    ];
  };
  const first = (entity) =>
    entity === "params"
      ? keysNow().params[0] && `params.${keysNow().params[0]}`
      : keysNow().metrics[0] && `metrics.${keysNow().metrics[0]}`;

  const write = (list_) => set({ plots: list_.length ? JSON.stringify(list_) : "" });

  async function add() {
    const made = await dialog("Add a chart", (finish) =>
      h(
        "div",
        { class: "choices" },
        Object.entries(KINDS).map(([kind, text]) => button(text, () => finish(kind))),
      ),
    );
    if (!made) return;
    const [param, metric] = [first("params"), first("metrics")];
    const second = keysNow().params[1] ? `params.${keysNow().params[1]}` : param;
    const fresh = {
      scatter: { x: param || metric, y: metric },
      bar: { y: metric },
      parallel: { axes: null, y: metric },
      contour: { x: param, y: second, z: metric },
    }[made];
    write([...plotsOf(here().fields), { kind: made, ...fresh }]);
  }

  function pick(label, one, i, name) {
    return choose(label, fieldsOf(), one[name], (value) => {
      const all = plotsOf(here().fields);
      all[i] = { ...all[i], [name]: value };
      write(all);
    });
  }

  async function pickAxes(one, i, now) {
    const { choose: chooseColumns } = await import("./columns.js");
    const chosen = await chooseColumns({ params: keysNow().params, metrics: keysNow().metrics, tags: [] }, now);
    if (chosen === undefined) return;
    const all = plotsOf(here().fields);
    all[i] = { ...all[i], axes: chosen && chosen.filter((id) => !id.startsWith("info.")) };
    write(all);
  }

  function axesOf(one, runs) {
    return one.axes?.length
      ? one.axes
      : [
          ...differing(runs)
            .slice(0, 6)
            .map((key) => `params.${key}`),
          one.y,
        ].filter(Boolean);
  }

  const title = (id) => (id || "").replace(/^\w+\./, "") + (/^best\./.test(id || "") ? " (best)" : "");

  function fill(one, area, runs) {
    const onopen = ({ id }) => go(to(["run", id]));
    const items = runs.map((run) => ({
      id: run.id,
      name: run.name,
      colour: run.colour,
      about: run.about,
      x: valueOf(run, one.x || ""),
      y: valueOf(run, one.y || ""),
      z: valueOf(run, one.z || ""),
    }));
    const now = settings(here().fields);
    if (one.kind === "parallel") {
      const axes = axesOf(one, runs);
      parallel(
        area,
        runs.map((run) => ({
          id: run.id,
          name: run.name,
          values: Object.fromEntries(axes.map((id) => [title(id), valueOf(run, id)])),
        })),
        axes.map(title),
        onopen,
      );
    } else if (one.kind === "contour")
      contour(area, items, { x: title(one.x), y: title(one.y), z: title(one.z) }, onopen);
    else {
      const chart = plot(area);
      drawn.push(chart);
      const ys = items.map(({ y }) => Number(y)).filter(Number.isFinite);
      const [low, high] = [Math.min(...ys), Math.max(...ys)];
      const shaded = items
        .filter(({ y }) => y !== undefined)
        .map((item) => ({ ...item, colour: item.colour || hex(ramp((item.y - low) / (high - low || 1))) }));
      const whole =
        one.kind === "bar"
          ? bars(
              title(one.y),
              shaded.slice(0, 100).map((item) => ({ ...item, value: Number(item.y) })),
              now,
            )
          : scatter(
              `${title(one.y)} over ${title(one.x)}`,
              shaded.filter(({ x }) => x !== undefined),
              { x: title(one.x), y: title(one.y), logX: now.logX, logY: now.logY, onopen },
            );
      chart.draw(whole).catch((error) => note(error.message, true));
    }
  }

  function card(one, i, runs) {
    const area = h("div", { class: `plot ${one.kind}` });
    const remove = () => write(plotsOf(here().fields).filter((_, k) => k !== i));
    const fields = { scatter: ["x", "y"], bar: ["y"], parallel: ["y"], contour: ["x", "y", "z"] }[one.kind];
    const element = h(
      "article",
      { class: one.kind === "parallel" ? "card wide" : "card" },
      h(
        "header",
        { class: "picks" },
        fields.map((name) => pick(name === "y" && one.kind === "parallel" ? "colour" : name, one, i, name)),
        one.kind === "parallel" &&
          button("Axes", () => attempt(() => pickAxes(one, i, axesOf(one, runs))), { class: "plain" }),
        h("span", { class: "space" }),
        button("×", remove, { class: "plain", "aria-label": "remove the chart" }),
      ),
      area,
    );
    return { element, area, one };
  }

  return {
    add,
    wanted: () => plotsOf(here().fields).length > 0,
    update(runs) {
      drawn.forEach((chart) => chart.close());
      drawn = [];
      const list_ = plotsOf(here().fields).map((one, i) => card(one, i, runs));
      show(
        holder,
        list_.map(({ element }) => element),
      );
      for (const { one, area } of list_) fill(one, area, runs);
    },
    close: () => drawn.forEach((chart) => chart.close()),
  };
}

const hex = (rgb) =>
  `#${rgb
    .match(/\d+/g)
    .map((c) => Number(c).toString(16).padStart(2, "0"))
    .join("")}`;

/** The charts view in 'body': update(), refresh(), close(). */
export function chartsOf(body, { keys, question, selected, complain }) {
  const bar = h("div", { class: "toolbar settings" }),
    chips = h("div", { class: "chips" }),
    extra = h("div", { class: "cards" }),
    grid = h("div");
  const all = cards(grid);
  const added = plots(extra, keys);
  let asked = "",
    runs = [],
    matching = [];
  show(body, bar, chips, extra, grid);

  async function fetch() {
    const { fields } = here();
    const chosen = selected();
    const many = Number(fields.get("many")) || 10;
    const what = question();
    const text = JSON.stringify([what, chosen, many, added.wanted()]);
    if (text === asked) return;
    const narrowed = chosen.length
      ? { ...what, filter: `attributes.run_id IN (${chosen.map((id) => literal(id)).join(", ")})`, view: "ALL" }
      : what;
    const page = await api.runs(narrowed, 0, added.wanted() && !chosen.length ? PLOTTED : chosen.length || many);
    asked = text;
    matching = page.runs;
    const ordered = chosen.length
      ? chosen.map((id) => page.runs.find((run) => run.id === id)).filter(Boolean)
      : page.runs.slice(0, many);
    runs = coloured(ordered);
    complain(null);
  }

  return {
    async update() {
      try {
        await fetch();
      } catch (error) {
        if (error.name === "AbortError") return;
        complain(error);
        return;
      }
      const { fields } = here();
      const hidden = ids(fields, "hide");
      settingsBar(bar, runs);
      if (!bar.querySelector(".add")) {
        bar.append(button("Add chart", () => attempt(added.add), { class: "add" }));
        if (!selected().length) {
          bar.append(
            choose("first", ["10", "20", "50", "100"], fields.get("many") || "10", (value) => set({ many: value })),
          );
        }
      }
      legend(chips, runs, hidden);
      const seen = runs.filter(({ id }) => !hidden.includes(id));
      const names = measures(keys().metrics).filter((key) => runs.some((run) => run.metrics[key]));
      all.update({ runs: seen, keys: names });
      added.update(matching.length > runs.length ? matching : seen);
    },
    async refresh() {
      if (runs.some(({ info }) => info.status === "RUNNING")) {
        asked = "";
        await this.update();
        await all.refresh();
      }
    },
    close() {
      all.close();
      added.close();
    },
  };
}
