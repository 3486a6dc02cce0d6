// plot.js - charts drawn by Chart.js, in the colours of the page. It is fetched from the server with the first chart.

import { h, moment, number, span } from "./dom.js";
import * as series from "./series.js";

let loading = null;

/** Chart.js, once. */
function library() {
  loading ||= new Promise((resolve, reject) => {
    const script = h("script", {
      src: "chart.js/chart.min.js",
      onload: () => resolve(globalThis.Chart),
      onerror: () => reject(new Error("Chart.js is not there: install the package libjs-chart.js")),
    });
    document.head.append(script);
  });
  return loading;
}

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Ticks and tooltips of an axis; one that is a metric has its numbers. */
const axisText = { step: number, time: (x) => moment(x, true), relative: (x) => span(x * 1000) };
const words = (axis) => axisText[axis] || number;

/** Of a logarithmic axis powers of ten have their numbers, on a short one 2 and 5 times them, too. */
function isLabelled(value, { min, max }) {
  const lead = Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9));
  return lead === 1 || lead === 10 || (max / min < 50 && (lead === 2 || lead === 5));
}

function scale(text, log, format, range, whole) {
  return {
    type: log ? "logarithmic" : "linear",
    title: { display: Boolean(text), text, color: token("--quiet"), font: { size: 11 } },
    grid: { color: token("--line"), drawBorder: false, tickColor: "transparent" },
    ticks: {
      color: token("--quiet"),
      font: { size: 11 },
      maxRotation: 0,
      autoSkipPadding: 14,
      maxTicksLimit: 7,
      precision: whole ? 0 : undefined,
      callback(value) {
        return log && !isLabelled(value, this) ? "" : format(value);
      },
    },
    ...(range ? { min: range[0], max: range[1] } : {}),
  };
}

function tooltip(footer) {
  return {
    backgroundColor: token("--raised"),
    titleColor: token("--text"),
    bodyColor: token("--text"),
    footerColor: token("--quiet"),
    borderColor: token("--line"),
    borderWidth: 1,
    padding: 8,
    boxPadding: 3,
    footerFont: { weight: "normal", size: 11 },
    filter: ({ dataset }) => !dataset.ghost,
    callbacks: footer,
  };
}

const base = () => ({
  responsive: true,
  maintainAspectRatio: false,
  animation: false,
  parsing: false,
  layout: { padding: { right: 4 } },
});

/** A chart in 'holder' that can be drawn again: draw(config). */
export function plot(holder) {
  let chart = null,
    config = null,
    closed = false;
  const canvas = h("canvas", { role: "img", "aria-label": "chart" });
  holder.append(canvas);

  async function draw(next) {
    config = next;
    canvas.setAttribute("aria-label", next.label);
    const Chart = await library();
    if (closed || config !== next) return;
    const { type, data, options, plugins } = next.build();
    if (chart && chart.config.type === type) {
      chart.data = data;
      chart.options = options;
      chart.update("none");
    } else {
      chart?.destroy();
      chart = new Chart(canvas, { type, data, options, plugins });
    }
  }

  const again = () => config && draw({ ...config });
  addEventListener("themechange", again);
  return {
    draw,
    close() {
      closed = true;
      removeEventListener("themechange", again);
      chart?.destroy();
      canvas.remove();
    },
  };
}

const dash = (i) => (i < 12 ? [] : i < 24 ? [6, 3] : [2, 2]);

/** The band of a group's curve, from the least to the greatest of its runs. */
function band(line, curve, smooth) {
  const edge = (name, fill) => ({
    label: line.name,
    ghost: true,
    data: series.smooth(
      curve.map((point) => ({ x: point.x, y: point[name] })),
      smooth,
    ),
    fill,
    backgroundColor: `${line.colour}26`,
    borderWidth: 0,
    pointRadius: 0,
    pointHoverRadius: 0,
  });
  return [edge("low", false), edge("high", "-1")];
}

/** Curves: lines are { name, colour, index, points, along, about }, or with members: lines whose mean is drawn, in a
 * band from the least to the greatest; settings { axis, logX, logY, smooth, outliers, baseline }. */
export function curves(label, lines, settings) {
  const { axis = "step", logX, logY, smooth, outliers } = settings;
  const metric = axis.startsWith("metric.") ? axis.slice("metric.".length) : "";
  const placed = ({ points, along }) => series.along(points, axis, along);
  const raw = lines.map((line) =>
    line.members ? series.pooled(line.members.map((one) => series.ordered(placed(one)))) : placed(line),
  );
  const base_ = lines.findIndex(({ id }) => id === settings.baseline);
  const sorted = metric ? series.ordered : (curve) => curve;
  const ready = base_ < 0 ? raw : raw.map((curve) => series.minus(curve, sorted(raw[base_])));
  const kept = ready.map((curve) => series.positive(curve, logX, logY && base_ < 0));
  const smoothed = kept.map((curve) => sorted(series.smooth(curve, smooth)));
  const clean = kept.map(sorted);
  const range = outliers ? series.inner(clean) : null;
  return {
    label,
    build: () => ({
      type: "line",
      data: {
        datasets: lines.flatMap((line, i) => {
          const lone = clean[i].length < 2;
          const drawn = {
            label: line.name,
            about: line.about,
            data: smoothed[i],
            borderColor: line.colour,
            backgroundColor: line.colour,
            borderWidth: 1.8,
            borderDash: line.dashed ? [5, 4] : line.dashed === false ? [] : dash(line.index),
            pointRadius: lone ? 3 : 0,
            pointHoverRadius: 4,
            tension: 0,
          };
          if (line.members) return [drawn, ...band(line, clean[i], smooth)];
          const ghost = {
            ...drawn,
            ghost: true,
            data: clean[i],
            borderColor: `${line.colour}40`,
            borderWidth: 1,
            pointHoverRadius: 0,
          };
          return smooth > 0 && !lone ? [drawn, ghost] : [drawn];
        }),
      },
      options: {
        ...base(),
        interaction: { mode: "nearest", axis: "x", intersect: false },
        scales: {
          x: scale(metric, logX, words(axis), null, axis === "step"),
          y: scale(base_ < 0 ? "" : `difference to ${lines[base_].name}`, logY && base_ < 0, number, range),
        },
        plugins: {
          legend: { display: false },
          tooltip: tooltip({
            title: ([item]) => (item ? `${axis === "step" ? "step" : metric} ${words(axis)(item.parsed.x)}` : ""),
            label: ({ dataset, parsed }) => `${dataset.label}: ${number(parsed.y)}`,
            footer: (items) => (items.length === 1 ? items[0].dataset.about || "" : ""),
          }),
        },
      },
    }),
  };
}

/** The ends of a bar's range as places of the chart, and its middle: { x, low, high }; null when it has none. */
export function whisker(chart, bar, i) {
  const { range } = chart.data.datasets[0].data[i];
  if (!range) return null;
  const [low, high] = range.map((value) => chart.scales.y.getPixelForValue(value));
  return { x: bar.x, low, high };
}

const whiskers = {
  id: "whiskers",
  afterDatasetsDraw(chart) {
    const pen = chart.ctx;
    pen.save();
    pen.strokeStyle = token("--text");
    pen.lineWidth = 1.2;
    chart.getDatasetMeta(0).data.forEach((bar, i) => {
      const at = whisker(chart, bar, i);
      if (!at) return;
      pen.beginPath();
      for (const y of [at.low, at.high]) {
        pen.moveTo(at.x - 4, y);
        pen.lineTo(at.x + 4, y);
      }
      pen.moveTo(at.x, at.low);
      pen.lineTo(at.x, at.high);
      pen.stroke();
    });
    pen.restore();
  },
};

/** A bar for each of { name, value, colour, about, range? }, the range [low, high] as a whisker. */
export function bars(label, items, { logY } = {}) {
  const alike = new Set(items.map(({ name }) => name.slice(0, 17))).size < items.length; // the ends tell them apart
  const short = (name) => (name.length <= 18 ? name : alike ? `…${name.slice(-17)}` : `${name.slice(0, 17)}…`);
  const ends = items.flatMap(({ range }) => range || []);
  const y = () => ({ ...scale("", logY, number), suggestedMin: Math.min(...ends), suggestedMax: Math.max(...ends) });
  const told = ({ value, range }) =>
    range ? `${number(value)} (${number(range[0])} … ${number(range[1])})` : number(value);
  return {
    label,
    build: () => ({
      type: "bar",
      plugins: [whiskers],
      data: {
        labels: items.map(({ name }) => name),
        datasets: [
          {
            data: items.map(({ value, range }, x) => ({ x, y: value, range })),
            backgroundColor: items.map(({ colour }) => colour),
            maxBarThickness: 46,
          },
        ],
      },
      options: {
        ...base(),
        indexAxis: "x",
        scales: {
          x: {
            grid: { display: false },
            ticks: {
              color: token("--quiet"),
              font: { size: 11 },
              maxRotation: 30,
              autoSkip: true,
              callback: (i) => short(items[i]?.name || ""),
            },
          },
          y: ends.length ? y() : scale("", logY, number),
        },
        plugins: {
          legend: { display: false },
          tooltip: tooltip({
            title: (list) => items[list[0]?.dataIndex]?.name,
            label: ({ dataIndex }) => told(items[dataIndex]),
            footer: (list) => items[list[0]?.dataIndex]?.about || "",
          }),
        },
      },
    }),
  };
}

/** Crosses for the items that have one instead of a dot. */
function shapes(items) {
  if (!items.some(({ cross }) => cross)) return {};
  return {
    pointStyle: items.map(({ cross }) => (cross ? "crossRot" : "circle")),
    borderColor: items.map(({ colour }) => colour),
    borderWidth: items.map(({ cross }) => (cross ? 2 : 0)),
  };
}

/** A point for each of { name, x, y, colour }; words on an axis are set side by side. */
export function scatter(label, unsorted, { x, y, logX, logY, onopen }) {
  const items = [...unsorted];
  const wordsOf = (key) =>
    items.every((item) => Number.isFinite(Number(item[key])))
      ? null
      : [...new Set(items.map((item) => String(item[key])))].sort();
  const xWords = wordsOf("x"),
    yWords = wordsOf("y");
  const place = (words, value) => (words ? words.indexOf(String(value)) : Number(value));
  const text = (words) => (words ? (i) => words[i] ?? "" : number);
  items.sort((a, b) => place(xWords, a.x) - place(xWords, b.x)); // Chart.js takes the ends of the axis from the ends
  return {
    label,
    build: () => ({
      type: "scatter",
      data: {
        datasets: [
          {
            data: items.map((item) => ({ x: place(xWords, item.x), y: place(yWords, item.y) })),
            backgroundColor: items.map(({ colour }) => `${colour}cc`),
            ...shapes(items),
            pointRadius: items.length > 300 ? 2.5 : 4.5,
            pointHoverRadius: 7,
          },
        ],
      },
      options: {
        ...base(),
        onClick: (event, found) => found[0] && onopen?.(items[found[0].index]),
        scales: { x: scale(x, logX && !xWords, text(xWords)), y: scale(y, logY && !yWords, text(yWords)) },
        plugins: {
          legend: { display: false },
          tooltip: tooltip({
            label: ({ dataIndex }) => items[dataIndex].name,
            footer: ([item]) =>
              item ? `${x}: ${text(xWords)(item.parsed.x)}\n${y}: ${text(yWords)(item.parsed.y)}` : "",
          }),
        },
      },
    }),
  };
}

/** Steps of a study: a point a trial and the best so far as a line. */
export function progress(label, items, { y, logY, better, onopen }) {
  let top;
  const line = items.map((item, x) => {
    if (!item.cross && Number.isFinite(item.y) && (top === undefined || better(item.y, top))) top = item.y;
    return { x: x + 1, y: top ?? NaN };
  });
  return {
    label,
    build: () => ({
      type: "scatter",
      data: {
        datasets: [
          {
            label: "trial",
            data: items.map((item, x) => ({ x: x + 1, y: item.y })),
            backgroundColor: items.map(({ colour }) => `${colour}dd`),
            ...shapes(items),
            pointRadius: 4,
            pointHoverRadius: 7,
          },
          {
            label: "best so far",
            type: "line",
            ghost: true,
            stepped: true,
            data: line,
            borderColor: token("--accent"),
            borderWidth: 1.8,
            pointRadius: 0,
            pointHoverRadius: 0,
          },
        ],
      },
      options: {
        ...base(),
        onClick: (event, found) => found[0] && onopen?.(items[found[0].index]),
        scales: { x: scale("trial", false, number), y: scale(y, logY, number) },
        plugins: {
          legend: { display: false },
          tooltip: tooltip({
            label: ({ dataIndex, parsed }) => `${items[dataIndex].name}: ${number(parsed.y)}`,
            footer: ([item]) => (item && items[item.dataIndex].about) || "",
          }),
        },
      },
    }),
  };
}

/** Trials { name, x, y, about, first } by two objectives, those of the front joined by a line. */
export function frontier(label, unsorted, { x, y, onopen }) {
  const items = [...unsorted].sort((a, b) => a.x - b.x);
  const first = items.filter((item) => item.first);
  return {
    label,
    build: () => ({
      type: "scatter",
      data: {
        datasets: [
          {
            data: items.map((item) => ({ x: item.x, y: item.y })),
            backgroundColor: items.map((item) => (item.first ? token("--accent") : `${item.colour}99`)),
            pointRadius: items.map((item) => (item.first ? 6 : 4)),
            pointStyle: items.map((item) => (item.first ? "rectRot" : "circle")),
            pointHoverRadius: 8,
          },
          {
            type: "line",
            ghost: true,
            data: first.map((item) => ({ x: item.x, y: item.y })),
            borderColor: token("--accent"),
            borderWidth: 1.4,
            borderDash: [4, 3],
            pointRadius: 0,
            pointHoverRadius: 0,
          },
        ],
      },
      options: {
        ...base(),
        onClick: (event, found) => found[0] && onopen?.(items[found[0].index]),
        scales: { x: scale(x, false, number), y: scale(y, false, number) },
        plugins: {
          legend: { display: false },
          tooltip: tooltip({
            label: ({ dataIndex }) => items[dataIndex].name,
            footer: ([item]) => (item && items[item.dataIndex].about) || "",
          }),
        },
      },
    }),
  };
}
