// cards.js - a card for each metric over a set of runs. Histories come sampled, those of all cards in sight in one
// request.
//
// In the address: x (step|time|relative), logx, logy, smooth (0 to 0.99), inner (hide outliers), base (a run id),
// find (a regular expression over names), wide (the names of enlarged cards).

import { api } from "./api.js";
import { best, button, check, choose, download, h, later, number, show } from "./dom.js";
import { here, list, set } from "./place.js";
import { bars, curves, plot } from "./plot.js";
import { byRank } from "./series.js";

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

/** The bar of these settings, into 'holder'. */
export function settingsBar(holder, runs) {
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

const quoted = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

function csvOf(lines) {
  const rows = [["run", "run_id", "step", "timestamp", "value"]];
  for (const { name, id, points } of lines) for (const point of points) rows.push([name, id, ...point]);
  return new Blob([rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n"], { type: "text/csv" });
}

/** Cards in 'holder'. update({ runs: [{ id, name, colour, index, about, metrics }], keys }) draws them; refresh()
 * fetches anew. */
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
    const wanted = [...found].filter(([key, card]) => card.visible && !asked.has(key)).map(([key]) => key);
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
      wanted.forEach(draw);
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
    return runs.filter(({ id }) => series.has(id)).map((run) => ({ ...run, points: series.get(run.id) }));
  }

  function draw(key) {
    const card = found.get(key);
    if (!card || !card.visible) return;
    const lines = linesOf(key),
      now = settings(here().fields);
    const text = JSON.stringify([
      now,
      lines.map(({ id, name, points }) => [id, name, points.length, points[points.length - 1]]),
    ]);
    if (card.drawn === text) return;
    card.drawn = text;
    show(card.state, lines.length === 0 ? "none of these runs has it" : "");
    card.chart ||= plot(card.holder);
    const steps = lines.some(({ points }) => points.length > 1);
    card.lines = lines;
    card.chart
      .draw(
        steps
          ? curves(key, lines, now)
          : bars(
              key,
              lines.map(({ name, colour, points, about }) => ({ name, colour, about, value: points[0]?.[2] })),
              now,
            ),
      )
      .catch((error) => show(card.state, error.message));
  }

  function values(key) {
    if (runs.length !== 1 || !runs[0].metrics?.[key]) return null;
    const metric = runs[0].metrics[key];
    return h(
      "span",
      { class: "quiet" },
      ` ${number(metric.last)}`,
      metric.min !== metric.max && ` · best ${number(best(key, metric))}`,
    );
  }

  function make(key) {
    const wide = list(here().fields, "wide").includes(key);
    const state = h("p", { class: "state" });
    const area = h("div", { class: "plot" }, state);
    const value = h("span");
    const element = h(
      "article",
      { class: wide ? "card wide" : "card", dataset: { key } },
      h(
        "header",
        {},
        h("h3", { title: key }, key),
        value,
        h("span", { class: "space" }),
        button("⤢", () => enlarge(key), { class: "plain", title: "enlarge", "aria-label": `enlarge ${key}` }),
        button("PNG", () => found.get(key).chart?.png(`${key.replaceAll("/", "_")}.png`), { class: "plain small" }),
        button("CSV", () => download(csvOf(found.get(key).lines || []), `${key.replaceAll("/", "_")}.csv`), {
          class: "plain small",
        }),
      ),
      area,
    );
    const card = { element, state, holder: area, value, visible: false };
    found.set(key, card);
    observer.observe(element);
    return card;
  }

  function enlarge(key) {
    const wide = list(here().fields, "wide");
    const on = !wide.includes(key);
    set(
      { wide: JSON.stringify(on ? [...wide, key] : wide.filter((one) => one !== key)).replace(/^\[\]$/, "") },
      { still: true },
    );
    found.get(key).element.classList.toggle("wide", on);
  }

  function discard(key) {
    const card = found.get(key);
    observer.unobserve(card.element);
    card.chart?.close();
    found.delete(key);
  }

  function layout() {
    const fits = matcher(here().fields.get("find"));
    const shown = keys.filter(fits);
    for (const key of [...found.keys()]) if (!shown.includes(key)) discard(key);
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
    for (const members of sections.values()) members.sort(byRank);
    const text = JSON.stringify([order, shown]);
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
      const text = JSON.stringify(next.runs.map(({ id }) => id));
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
      if (seen.length && runs.length) await fetch(seen);
    },
    close() {
      abort.abort();
      observer.disconnect();
      [...found.keys()].forEach(discard);
      delete holder.dataset.layout;
    },
  };
}
