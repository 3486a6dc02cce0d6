// cards.js - a card for each metric over a set of runs. Histories come sampled, those of all cards in sight in one
// request.
//
// In the address: x (step|time|relative|metric.NAME), logx, logy, smooth (0 to 0.99), inner (hide outliers), base,
// find (a regular expression over names), wide (the names of wide cards), cards (the names that people have put first,
// in their order).

import { api } from "./api.js";
import { card as frame } from "./card.js";
import { best, check, choose, h, isNeutral, later, number, show } from "./dom.js";
import { here, list, set } from "./place.js";
import { bars, curves, plot } from "./plot.js";
import { byRank } from "./series.js";
import { interval } from "./sets.js";
import { arranged, shortest } from "./sorting.js";

const SECTIONS = ["", "train", "valid", "test"]; // what comes first
const POINTS = 400; // of each curve
const FEW = 12; // metrics that stand together, whatever their prefixes

/** The settings of curves that the address holds. */
export function settings(fields) {
  return {
    axis: fields.get("x") || "step",
    logX: Boolean(fields.get("logx")),
    logY: Boolean(fields.get("logy")),
    smooth: Math.min(0.99, Math.max(0, Number(fields.get("smooth")) || 0)),
    outliers: Boolean(fields.get("inner")),
    baseline: fields.get("base") || "",
  };
}

/** The metric that is the x axis; "" when it is none. */
const abscissa = ({ axis }) => (axis.startsWith("metric.") ? axis.slice("metric.".length) : "");

/** The bar of these settings, into 'holder', for curves of these runs and metrics. */
export function settingsBar(holder, runs, metrics = []) {
  const { fields } = here();
  const now = settings(fields);
  if (
    holder.contains(document.activeElement) &&
    document.activeElement.matches("input[type=search], input[type=range]")
  )
    return;
  const quiet = { quiet: true };
  const shown = h("output", {}, now.smooth ? now.smooth.toFixed(2) : "off");
  const slide = later(60, (value) => set({ smooth: Number(value) ? value : "" }, quiet));
  show(
    holder,
    h("input", {
      type: "search",
      value: fields.get("find") || "",
      placeholder: "Metrics (regex)",
      "aria-label": "search metrics",
      oninput: later(150, (event) => set({ find: event.target.value }, quiet)),
    }),
    choose(
      "x",
      [
        ["step", "step"],
        ["time", "wall time"],
        ["relative", "relative time"],
        ...metrics.map((key) => [`metric.${key}`, key]),
      ],
      now.axis,
      (value) => set({ x: value === "step" ? "" : value }),
    ),
    h(
      "label",
      { class: "field" },
      h("span", {}, "smoothing"),
      h("input", {
        type: "range",
        min: 0,
        max: 0.99,
        step: 0.01,
        value: now.smooth,
        "aria-label": "smoothing",
        oninput: ({ target }) => {
          shown.textContent = Number(target.value) ? Number(target.value).toFixed(2) : "off";
          slide(target.value);
        },
      }),
      shown,
    ),
    check("log x", now.logX, (on) => set({ logx: on })),
    check("log y", now.logY, (on) => set({ logy: on })),
    check("hide outliers", now.outliers, (on) => set({ inner: on })),
    runs.length > 1 &&
      choose("baseline", [["", "none"], ...runs.map(({ id, name }) => [id, name])], now.baseline, (value) =>
        set({ base: value }),
      ),
  );
}

function matcher(text) {
  if (!text) return () => true;
  try {
    const form = new RegExp(text, "i");
    return (name) => form.test(name);
  } catch {
    return (name) => name.toLowerCase().includes(text.toLowerCase());
  }
}

/** The points of curves as rows of a CSV file. */
function rowsOf(lines) {
  const rows = [["run", "run_id", "step", "timestamp", "value"]];
  for (const { name, id, points } of lines) for (const point of points) rows.push([name, id, ...point]);
  return rows;
}

/** Lines of one group as one line: { ...group, members, points of all }. */
function together(lines) {
  const found = new Map();
  for (const line of lines) {
    const one = found.get(line.group.id) || { ...line.group, members: [], points: [], along: [] };
    one.members.push(line);
    one.points.push(...line.points);
    found.set(line.group.id, one);
  }
  return [...found.values()].sort((a, b) => a.index - b.index);
}

/** A bar: the value of a run with the interval that was logged beside it, or the mean of a group with its range. */
function barOf(line, key) {
  const { name, colour, about, points, members } = line;
  const values = (members || [{ points }]).map((one) => one.points[0]?.[2]).filter(Number.isFinite);
  const value = values.reduce((sum, one) => sum + one, 0) / values.length;
  const range = members ? [Math.min(...values), Math.max(...values)] : line.metrics && interval(line, key);
  return { name, colour, about, value, range: range?.every(Number.isFinite) ? range : null };
}

/** Cards in 'holder'. update({ runs: [{ id, name, colour, index, about, metrics, group? }], keys }) draws them, runs of
 * a group as one; refresh() fetches anew. */
export function cards(holder) {
  const found = new Map(); // key -> { element, chart, drawing, visible, lines }
  const known = new Map(), // key -> run id -> points
    folded = new Set(["system"]);
  let runs = [],
    keys = [],
    asked = new Set(),
    abort = new AbortController(),
    question = "";
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const card = found.get(target.dataset.key);
        if (card) card.visible = isIntersecting;
      }
      fetchSeen();
    },
    { rootMargin: "300px" },
  );

  const fetchSeen = later(20, async () => {
    const seen = [...found].filter(([, card]) => card.visible).map(([key]) => key);
    const x = abscissa(settings(here().fields));
    const wanted = [...new Set(x && seen.length ? [...seen, x] : seen)].filter((key) => !asked.has(key));
    for (const [key, card] of found) if (card.visible && known.has(key)) draw(key);
    if (wanted.length === 0 || runs.length === 0) return;
    wanted.forEach((key) => asked.add(key));
    await fetch(wanted);
  });

  async function fetch(wanted) {
    const mine = abort;
    try {
      const series = await api.histories(
        runs.map(({ id }) => id),
        wanted,
        POINTS,
        mine.signal,
      );
      if (mine !== abort) return;
      for (const key of wanted) known.set(key, new Map());
      for (const { run_id, key, points } of series) known.get(key)?.set(run_id, points);
      for (const [key, card] of found) if (card.visible && known.has(key)) draw(key);
    } catch (error) {
      if (error.name === "AbortError") return;
      wanted.forEach((key) => {
        asked.delete(key);
        const card = found.get(key);
        if (card) show(card.state, error.message);
      });
    }
  }

  function linesOf(key) {
    const series = known.get(key);
    const along = known.get(abscissa(settings(here().fields)));
    const lines = runs
      .filter(({ id }) => series.has(id))
      .map((run) => ({ ...run, points: series.get(run.id), along: along?.get(run.id) || [] }));
    return lines.length && lines[0].group ? together(lines) : lines;
  }

  function draw(key) {
    const card = found.get(key);
    if (!card || !card.visible) return;
    const lines = linesOf(key),
      now = settings(here().fields);
    const text = JSON.stringify([
      now,
      lines.map(({ id, name, points, along, members }) => [
        id,
        name,
        points.length,
        points[points.length - 1],
        along.length,
        members?.length,
      ]),
    ]);
    if (card.drawn === text) return;
    card.drawn = text;
    card.lines = lines;
    card.lone = runs.length === 1 && lines[0]?.points.length === 1;
    show(card.state, lines.length === 0 ? "none of these runs has it" : card.lone ? h("b", {}, figure(lines[0])) : "");
    show(card.value, values(key));
    if (card.lone) {
      card.chart?.close();
      card.chart = null;
      return;
    }
    card.chart ||= plot(card.holder);
    card.chart.draw(configOf(key, lines, now)).catch((error) => show(card.state, error.message));
  }

  const figure = ({ points }) => number(points[0][2]);

  function configOf(key, lines, now) {
    const single = lines.flatMap((line) => line.members || [line]);
    if (single.some(({ points }) => points.length > 1)) return curves(key, lines, now);
    const all = lines.map((line) => barOf(line, key));
    return bars(key, all, now);
  }

  function values(key) {
    if (runs.length !== 1 || !runs[0].metrics?.[key] || found.get(key)?.lone) return null;
    const metric = runs[0].metrics[key];
    return h(
      "span",
      { class: "quiet" },
      ` ${number(metric.last)}`,
      metric.min !== metric.max && !isNeutral(key) && ` · best ${number(best(key, metric))}`,
    );
  }

  function make(key) {
    const drawnIn = (area) => {
      const chart = plot(area);
      chart.draw(configOf(key, found.get(key).lines || [], settings(here().fields)));
      return chart;
    };
    const { element, area, value } = frame({
      name: () => key,
      wide: list(here().fields, "wide").includes(key),
      dataset: { key },
      draw: drawnIn,
      legend: () => found.get(key).lines || [],
      rows: () => rowsOf((found.get(key).lines || []).flatMap((line) => line.members || [line])),
      items: [["Wide or narrow", () => widen(key)]],
      moved: rearrange,
    });
    const state = h("p", { class: "state" });
    area.append(state);
    const card = { element, state, holder: area, value, visible: false };
    found.set(key, card);
    observer.observe(element);
    return card;
  }

  function widen(key) {
    const wide = list(here().fields, "wide");
    const on = !wide.includes(key);
    const now = on ? [...wide, key] : wide.filter((one) => one !== key);
    set({ wide: now.length ? JSON.stringify(now) : "" }, { still: true });
    found.get(key).element.classList.toggle("wide", on);
  }

  /** Keep the order of a section's cards as they stand now. */
  function rearrange(elements) {
    const now = elements.map(({ dataset }) => dataset.key);
    const others = list(here().fields, "cards").filter((key) => !now.includes(key));
    const all = [...others, ...shortest([...now].sort(byRank), now)];
    set({ cards: all.length ? JSON.stringify(all) : "" }, { still: true });
    holder.dataset.layout = outline().text;
  }

  function discard(key) {
    const card = found.get(key);
    observer.unobserve(card.element);
    card.chart?.close();
    found.delete(key);
  }

  /** What stands where: sections in order, their cards, and all of that as a text. */
  function outline() {
    const fits = matcher(here().fields.get("find"));
    const shown = keys.filter(fits);
    const sections = new Map();
    const prefix = (key) => (key.includes("/") ? key.slice(0, key.indexOf("/")) : "");
    const sizes = new Map();
    for (const key of shown) sizes.set(prefix(key), (sizes.get(prefix(key)) || 0) + 1);
    for (const key of shown) {
      const section = (shown.length > FEW && sizes.get(prefix(key)) > 2) || prefix(key) === "system" ? prefix(key) : "";
      sections.set(section, [...(sections.get(section) || []), key]);
    }
    const places = [...SECTIONS, "system"];
    const place = (section) => (places.includes(section) ? places.indexOf(section) : SECTIONS.length - 0.5);
    const order = [...sections.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
    const first = list(here().fields, "cards");
    for (const [section, members] of sections) sections.set(section, arranged(members.sort(byRank), first));
    const text = JSON.stringify(order.map((section) => [section, sections.get(section)]));
    return { order, sections, shown, text };
  }

  function layout() {
    const { order, sections, shown, text } = outline();
    for (const key of [...found.keys()]) if (!shown.includes(key)) discard(key);
    if (holder.dataset.layout === text) return;
    holder.dataset.layout = text;
    show(
      holder,
      order.map((section) =>
        h(
          "details",
          {
            open: !folded.has(section) || here().fields.get("find"),
            ontoggle: (event) => {
              if (event.target.open) folded.delete(section);
              else folded.add(section);
            },
          },
          h("summary", {}, section || "metrics", " ", h("small", {}, sections.get(section).length)),
          h(
            "div",
            { class: "cards" },
            sections.get(section).map((key) => (found.get(key) || make(key)).element),
          ),
        ),
      ),
      shown.length === 0 && h("p", { class: "empty" }, keys.length ? "No metric has such a name." : "No metrics yet."),
    );
  }

  return {
    open(section) {
      folded.delete(section);
    },
    update(next) {
      const text = JSON.stringify(next.runs.map(({ id }) => id).sort());
      if (text !== question) {
        abort.abort();
        abort = new AbortController();
        asked = new Set();
        question = text;
      }
      ({ runs, keys } = next);
      layout();
      for (const [key, card] of found) show(card.value, values(key));
      fetchSeen();
    },
    /** Fetch anew what is in sight. */
    async refresh() {
      const seen = [...found].filter(([, card]) => card.visible).map(([key]) => key);
      const x = abscissa(settings(here().fields));
      if (seen.length && runs.length) await fetch([...new Set(x ? [...seen, x] : seen)]);
    },
    close() {
      abort.abort();
      observer.disconnect();
      [...found.keys()].forEach(discard);
      delete holder.dataset.layout;
    },
  };
}
