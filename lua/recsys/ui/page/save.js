// save.js - a chart as a file: SVG made from what Chart.js has laid out, or from the page's own SVG with its styles
// written in; PNG is that SVG, painted at twice its size. Both bear the chart's title and the names of its curves.

import { download, s } from "./dom.js";
import { whisker } from "./plot.js";

const EDGE = 14,
  TITLE = 30,
  LINE = 18;
const FONT = "system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif";
const STYLES = [
  "fill",
  "stroke",
  "stroke-width",
  "paint-order",
  "opacity",
  "font-size",
  "font-weight",
  "text-anchor",
];

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const round = (x) => Math.round(x * 100) / 100;

const text = (x, y, words, more = {}) =>
  s("text", { x: round(x), y: round(y), fill: token("--quiet"), ...more }, words);

/** The grid, the ticks and the title of an axis. */
function axis(scale, area) {
  const nodes = [];
  const flat = scale.isHorizontal();
  scale.ticks.forEach((tick, i) => {
    const at = round(scale.getPixelForTick(i));
    const words = Array.isArray(tick.label) ? tick.label.join(" ") : String(tick.label ?? "");
    const ends = flat ? [at, area.top, at, area.bottom] : [area.left, at, area.right, at];
    if (scale.options.grid.display)
      nodes.push(s("line", { x1: ends[0], y1: ends[1], x2: ends[2], y2: ends[3], stroke: token("--line") }));
    if (!flat) nodes.push(text(area.left - 6, at + 4, words, { "text-anchor": "end" }));
    else if (scale.labelRotation > 0) {
      const transform = turned(-scale.labelRotation, at, area.bottom + 14);
      nodes.push(text(at, area.bottom + 14, words, { "text-anchor": "end", transform }));
    } else nodes.push(text(at, area.bottom + 16, words, { "text-anchor": "middle" }));
  });
  const { display, text: words } = scale.options.title;
  if (!display) return nodes;
  const middle = flat ? (area.left + area.right) / 2 : (area.top + area.bottom) / 2;
  const transform = flat ? undefined : turned(-90, scale.left + 10, middle);
  const [x, y] = flat ? [middle, scale.bottom - 4] : [scale.left + 10, middle];
  nodes.push(text(x, y, words, { "text-anchor": "middle", transform }));
  return nodes;
}

const turned = (degrees, x, y) => `rotate(${round(degrees)} ${round(x)} ${round(y)})`;

/** The path of a curve; a gap begins anew. */
function path(points, stepped) {
  let words = "",
    pen = false,
    last = 0;
  for (const { x, y, skip } of points) {
    if (skip || !Number.isFinite(x) || !Number.isFinite(y)) {
      pen = false;
      continue;
    }
    if (pen && stepped) words += `H${round(x)}V${round(y)}`;
    else words += `${pen ? "L" : "M"}${round(x)} ${round(y)}`;
    pen = true;
    last = y;
  }
  return Number.isFinite(last) ? words : "";
}

/** What lies between two curves. */
function filled(upper, lower, fill) {
  const points = [...upper, ...[...lower].reverse()].filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  return s("polygon", { points: points.map(({ x, y }) => `${round(x)},${round(y)}`).join(" "), fill });
}

/** The path of a whisker. */
function ends({ x, low, high }) {
  const [left, right] = [round(x - 4), round(x + 4)];
  return `M${left} ${round(low)}H${right}M${left} ${round(high)}H${right}M${round(x)} ${round(low)}V${round(high)}`;
}

/** A data set of a chart, as it was laid out. */
function drawn(chart, i) {
  const { data: elements, type } = chart.getDatasetMeta(i);
  const set = chart.data.datasets[i];
  if (type === "bar") {
    return elements.map((one, k) => {
      const { x, y, base, width } = one.getProps(["x", "y", "base", "width"], true);
      const corner = { x: round(x - width / 2), y: round(Math.min(y, base)) };
      const size = { width: round(width), height: round(Math.abs(base - y)) };
      const range = whisker(chart, one, k);
      return [
        s("rect", { ...corner, ...size, fill: one.options.backgroundColor }),
        range && s("path", { d: ends(range), stroke: token("--text"), fill: "none" }),
      ];
    });
  }
  const dots = elements
    .filter(({ options, skip, x, y }) => options.radius > 0 && !skip && Number.isFinite(x) && Number.isFinite(y))
    .map(({ x, y, options }) =>
      s("circle", { cx: round(x), cy: round(y), r: options.radius, fill: options.backgroundColor }),
    );
  if (type !== "line") return dots;
  if (set.fill === "-1") return filled(elements, chart.getDatasetMeta(i - 1).data, set.backgroundColor);
  if (!set.borderWidth) return dots;
  const line = s("path", {
    d: path(elements, set.stepped),
    fill: "none",
    stroke: set.borderColor,
    "stroke-width": set.borderWidth,
    "stroke-dasharray": set.borderDash?.length ? set.borderDash.join(" ") : undefined,
    "stroke-linejoin": "round",
  });
  return [line, ...dots];
}

/** A chart of Chart.js: { width, height, nodes }. */
function ofChart(chart) {
  const { chartArea: area, width, height } = chart;
  const inside = { x: area.left - 4, y: area.top - 4, width: area.width + 8, height: area.height + 8 };
  const viewBox = Object.values(inside).map(round).join(" "); // an SVG within one cuts off what leaves it
  const order = chart.data.datasets.map((_, i) => i).reverse(); // the first lies on top, as in the chart
  const axes = Object.values(chart.scales).map((scale) => axis(scale, area));
  const marks = order.map((i) => drawn(chart, i));
  return { width, height, nodes: [axes, s("svg", { ...inside, viewBox }, marks)] };
}

/** A copy of a drawing of the page with the styles that its sheet gives it. */
function styled(node) {
  const copy = node.cloneNode(false);
  if (node.nodeType !== Node.ELEMENT_NODE) return copy;
  const style = getComputedStyle(node);
  for (const name of STYLES) copy.setAttribute(name, style.getPropertyValue(name));
  copy.removeAttribute("class");
  for (const child of node.childNodes) copy.append(styled(child));
  return copy;
}

/** The page's own drawing, and the field of colours under it: { width, height, nodes }. */
function ofDrawing(area) {
  const svg = area.querySelector("svg"),
    field = area.querySelector("canvas.field");
  const under =
    field &&
    s("image", {
      href: field.toDataURL("image/png"),
      x: parseFloat(field.style.left),
      y: parseFloat(field.style.top),
      width: field.width,
      height: field.height,
    });
  return {
    width: Number(svg.getAttribute("width")),
    height: Number(svg.getAttribute("height")),
    nodes: [under, [...svg.childNodes].map(styled)],
  };
}

/** The names of curves in rows below a chart: { nodes, height }. */
function legendOf(list, width, top) {
  const nodes = [];
  let x = 0,
    y = top;
  for (const { name, colour } of list) {
    const words = name.length > 48 ? `${name.slice(0, 47)}…` : name;
    const room = words.length * 7 + 32;
    if (x > 0 && x + room > width) {
      x = 0;
      y += LINE;
    }
    nodes.push(s("rect", { x, y: y - 9, width: 10, height: 10, rx: 3, fill: colour }));
    nodes.push(text(x + 15, y, words));
    x += room;
  }
  return { nodes, height: list.length ? y - top + LINE : 0 };
}

/** What is drawn in 'area' as an SVG element; null when nothing is. */
export function vector(area, title, legend = []) {
  const canvas = area.querySelector("canvas:not(.field)");
  const chart = canvas && globalThis.Chart?.getChart(canvas);
  if (!chart && !area.querySelector("svg")) return null;
  const { width, height, nodes } = chart ? ofChart(chart) : ofDrawing(area);
  const names = legendOf(legend, width, TITLE + height + LINE);
  const [w, h] = [Math.ceil(width + 2 * EDGE), Math.ceil(height + TITLE + names.height + 2 * EDGE)];
  return s(
    "svg",
    { width: w, height: h, viewBox: `0 0 ${w} ${h}`, "font-family": FONT, "font-size": "11px" },
    s("rect", { width: w, height: h, fill: token("--raised") }),
    s(
      "g",
      { transform: `translate(${EDGE} ${EDGE})` },
      text(0, 14, title, { fill: token("--text"), "font-size": "14px", "font-weight": "600" }),
      s("g", { transform: `translate(0 ${TITLE})` }, nodes),
      names.nodes,
    ),
  );
}

const fileOf = (svg) => new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });

/** The same, painted. */
function painted(svg) {
  const address = URL.createObjectURL(fileOf(svg));
  const [width, height] = ["width", "height"].map((name) => Number(svg.getAttribute(name)));
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * width, 2 * height];
      canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))));
    };
    image.onerror = () => reject(new Error("the picture cannot be painted"));
    image.src = address;
  }).finally(() => URL.revokeObjectURL(address));
}

const fileName = (title, ending) => `${title.replace(/[^\w.-]+/g, "_").slice(0, 100) || "chart"}.${ending}`;

/** Hand out what is drawn in 'area': kind is "png" or "svg". */
export async function save(kind, area, title, legend) {
  const svg = vector(area, title, legend);
  if (!svg) throw new Error("there is nothing drawn to save");
  download(kind === "svg" ? fileOf(svg) : await painted(svg), fileName(title, kind));
}

const quoted = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : (value ?? ""));

/** Hand out rows as CSV. */
export const saveRows = (rows, title) =>
  download(
    new Blob([rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n"], { type: "text/csv" }),
    fileName(title, "csv"),
  );
