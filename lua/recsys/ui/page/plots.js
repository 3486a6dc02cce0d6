// plots.js - the charts that people add: scatter, bars, boxes by group, parallel coordinates and contours, over all
// runs that match. In the address: plots.

import { boxplot } from "./boxes.js";
import { settings } from "./cards.js";
import { card } from "./card.js";
import { attempt, button, choose, dialog, h, note, show } from "./dom.js";
import { contour, parallel, ramp } from "./pictures.js";
import { go, here, set, to } from "./place.js";
import { bars, plot, scatter } from "./plot.js";
import { differing, grouped, valueOf } from "./sets.js";

const KINDS = {
  scatter: "scatter",
  bar: "bars",
  box: "boxes by group",
  parallel: "parallel coordinates",
  contour: "contour",
};
const FIELDS = { scatter: ["x", "y"], bar: ["y"], box: ["x", "y"], parallel: ["y"], contour: ["x", "y", "z"] };

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
      ...keys.tags.filter((key) => !key.startsWith("mlflow.")).map((key) => [`tags.${key}`, `tag ${key}`]),
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
      box: { x: param, y: metric },
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

  function itemsOf(one, runs) {
    return runs.map((run) => ({
      id: run.id,
      name: run.name,
      colour: run.colour,
      about: run.about,
      x: valueOf(run, one.x || ""),
      y: valueOf(run, one.y || ""),
      z: valueOf(run, one.z || ""),
    }));
  }

  const onopen = ({ id }) => {
    document.querySelector("dialog[open]")?.close();
    go(to(["run", id]));
  };

  function parallelIn(one, area, runs) {
    const axes = axesOf(one, runs);
    const values = (run) => Object.fromEntries(axes.map((id) => [title(id), valueOf(run, id)]));
    parallel(
      area,
      runs.map((run) => ({ id: run.id, name: run.name, values: values(run) })),
      axes.map(title),
      onopen,
    );
  }

  function chartIn(one, area, items) {
    const chart = plot(area),
      now = settings(here().fields);
    const ys = items.map(({ y }) => Number(y)).filter(Number.isFinite);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const shaded = items
      .filter(({ y }) => y !== undefined)
      .map((item) => ({ ...item, colour: item.colour || hex(ramp((item.y - low) / (high - low || 1))) }));
    const options = { x: title(one.x), y: title(one.y), logX: now.logX, logY: now.logY, onopen };
    const whole =
      one.kind === "bar"
        ? bars(
            title(one.y),
            shaded.slice(0, 100).map((item) => ({ ...item, value: Number(item.y) })),
            now,
          )
        : scatter(
            name(one),
            shaded.filter(({ x }) => x !== undefined),
            options,
          );
    chart.draw(whole).catch((error) => note(error.message, true));
    return chart;
  }

  /** Draw one of them; what it gives wants to be closed, if it gives something. */
  function fill(one, area, runs) {
    const items = itemsOf(one, runs);
    if (one.kind === "parallel") return parallelIn(one, area, runs);
    if (one.kind === "contour")
      return contour(area, items, { x: title(one.x), y: title(one.y), z: title(one.z) }, onopen);
    if (one.kind !== "box") return chartIn(one, area, items);
    const measured = items.filter(({ y }) => Number.isFinite(Number(y)) && y !== "");
    const groups = grouped(measured.map((item) => ({ ...item, y: Number(item.y) })));
    return boxplot(area, groups, { x: title(one.x), y: title(one.y) }, onopen);
  }

  const name = (one) =>
    ({
      scatter: `${title(one.y)} over ${title(one.x)}`,
      bar: title(one.y),
      box: `${title(one.y)} by ${title(one.x)}`,
      parallel: `parallel coordinates of ${title(one.y)}`,
      contour: `${title(one.z)} over ${title(one.x)} and ${title(one.y)}`,
    })[one.kind];

  function rowsOf(one, runs) {
    const columns =
      one.kind === "parallel" ? axesOf(one, runs) : FIELDS[one.kind].map((field) => one[field]).filter(Boolean);
    return [
      ["run", "run_id", ...columns.map(title)],
      ...runs.map((run) => [run.name, run.id, ...columns.map((id) => valueOf(run, id))]),
    ];
  }

  const label = (field, kind) =>
    kind === "parallel" ? "colour" : kind === "box" && field === "x" ? "group by" : field;

  function made(one, i, runs) {
    const remove = () => write(plotsOf(here().fields).filter((_, k) => k !== i));
    const fields = h(
      "div",
      { class: "picks" },
      FIELDS[one.kind].map((field) => pick(label(field, one.kind), one, i, field)),
      one.kind === "parallel" &&
        button("Axes", () => attempt(() => pickAxes(one, i, axesOf(one, runs))), { class: "plain" }),
    );
    return {
      one,
      ...card({
        name: () => name(one),
        fields,
        kind: one.kind === "box" ? "boxplot" : one.kind,
        wide: one.kind === "parallel",
        dataset: { plot: i },
        draw: (area) => fill(one, area, runs),
        rows: () => rowsOf(one, runs),
        items: [["Remove", remove]],
        moved: (cards) => {
          const all = plotsOf(here().fields);
          write(cards.map((element) => all[Number(element.dataset.plot)]));
        },
      }),
    };
  }

  function close() {
    drawn.forEach((chart) => chart?.close?.());
    drawn = [];
  }

  return {
    add,
    wanted: () => plotsOf(here().fields).length > 0,
    update(runs) {
      const focused = holder.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
      close();
      const list_ = plotsOf(here().fields).map((one, i) => made(one, i, runs));
      show(
        holder,
        list_.map(({ element }) => element),
      );
      drawn = list_.map(({ one, area }) => fill(one, area, runs));
      if (focused) holder.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
    },
    close,
  };
}

const hex = (rgb) =>
  `#${rgb
    .match(/\d+/g)
    .map((c) => Number(c).toString(16).padStart(2, "0"))
    .join("")}`;
