// series.js - curves as numbers: what is done to the points of a history before they are drawn. No elements here.
// A history is [[step, timestamp, value], ...] by step; a curve [{ x, y }, ...].

/** x of a point: step, ms of the clock, seconds since the history's first point, or the value that another history,
 * 'other', has at its step: then in the order of steps, which need not be that of x. */
export function along(points, axis, other = []) {
  if (axis.startsWith("metric.")) {
    const values = along(other, "step").filter(({ y }) => Number.isFinite(y));
    return points.map(([step, , y]) => ({ x: at(values, step), y })).filter(({ x }) => Number.isFinite(x));
  }
  if (axis !== "time" && axis !== "relative") return points.map(([step, , y]) => ({ x: step, y }));
  const inTime = [...points].sort((a, b) => a[1] - b[1]); // a run that went on anew may repeat steps
  const start = axis === "relative" && inTime.length ? inTime[0][1] : 0;
  return inTime.map(([, time, y]) => ({ x: axis === "relative" ? (time - start) / 1000 : time, y }));
}

/** The curve in the order of x. */
export const ordered = (curve) => [...curve].sort((a, b) => a.x - b.x);

const MOST = 400; // points of a pooled curve

/** The mean of curves that are in order of x, with the least and the greatest: [{ x, y, low, high }]. A curve counts
 * where it has values, by straight lines between them. */
export function pooled(curves) {
  const all = [...new Set(curves.flatMap((curve) => curve.map(({ x }) => x)))].sort((a, b) => a - b);
  const xs = all.length <= MOST ? all : Array.from({ length: MOST }, (_, i) => quantile(all, i / (MOST - 1)));
  return xs.flatMap((x) => {
    const values = curves.map((curve) => at(curve, x)).filter(Number.isFinite);
    if (values.length === 0) return [];
    const y = values.reduce((sum, value) => sum + value, 0) / values.length;
    return [{ x, y, low: Math.min(...values), high: Math.max(...values) }];
  });
}

/** Exponential moving average with the bias of its start taken out; 'weight' 0 (none) to 1. A gap or NaN stays one. */
export function smooth(curve, weight) {
  if (!(weight > 0)) return curve;
  let average = 0,
    count = 0;
  return curve.map(({ x, y }) => {
    if (!Number.isFinite(y)) return { x, y };
    average = average * weight + (1 - weight) * y;
    count++;
    return { x, y: average / (1 - weight ** count) };
  });
}

/** The curve's value at x by straight lines, NaN outside. The curve is in order of x. */
export function at(curve, x) {
  let low = 0,
    high = curve.length - 1;
  if (high < 0 || x < curve[0].x || x > curve[high].x) return NaN;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (curve[middle].x <= x) low = middle;
    else high = middle;
  }
  const a = curve[low],
    b = curve[high];
  return a.x === b.x ? b.y : a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x);
}

/** The curve minus a baseline, where that has values. */
export const minus = (curve, baseline) =>
  curve
    .map(({ x, y, low, high }) => {
      const base = at(baseline, x);
      return { x, y: y - base, ...(low === undefined ? {} : { low: low - base, high: high - base }) };
    })
    .filter(({ y }) => !Number.isNaN(y));

export function quantile(sorted, q) {
  if (sorted.length === 0) return NaN;
  const place = q * (sorted.length - 1),
    low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

/** [low, high] that hold what lies between the 5th and 95th of a hundred values of all curves, with a margin; null:
 * all. */
export function inner(curves) {
  const values = curves
    .flatMap((curve) => curve.map(({ y }) => y))
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  if (values.length < 5) return null;
  const low = quantile(values, 0.05),
    high = quantile(values, 0.95);
  const margin = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - margin, high + margin];
}

/** What a logarithmic axis can show. */
export const positive = (curve, logX, logY) =>
  curve.filter(({ x, y }) => (!logX || x > 0) && (!logY || y > 0 || Number.isNaN(y)));

const BOUND = /(_low|_high|_lower|_upper|\/low|\/high)$/;

/** The names of metrics without those that are the bounds of another's interval, x_low and x_high beside x. */
export function measures(names) {
  const all = new Set(names);
  return names.filter((name) => !(BOUND.test(name) && all.has(name.replace(BOUND, ""))));
}

const QUALITY = ["ndcg", "recall", "auc", "map", "mrr", "hit", "rmse", "accuracy", "loss"];
const PARTS = ["test", "valid", "train", ""];

/** Orders names of metrics, those that people look at first first: of the model before those of baselines, segments and
 * the machine, of ranking before others, of the test before validation and training. */
export function byRank(a, b) {
  const rank = (name) => {
    const part = PARTS.indexOf(name.includes("/") ? name.slice(0, name.indexOf("/")) : "");
    const quality = QUALITY.findIndex((word) => name.includes(word));
    const last = QUALITY.length + 1;
    return (part < 0 ? last : quality < 0 ? QUALITY.length : quality) * PARTS.length + Math.max(part, 0);
  };
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/** Ranks from 1, ties their mean. */
function ranks(values) {
  const order = values.map((value, i) => [value, i]).sort((a, b) => a[0] - b[0]);
  const out = new Array(values.length);
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j < order.length && order[j][0] === order[i][0]) j++;
    for (let k = i; k < j; k++) out[order[k][1]] = (i + j + 1) / 2;
    i = j;
  }
  return out;
}

/** Spearman's rank correlation of two lists, NaN where one of them is constant. */
export function rankCorrelation(a, b) {
  const x = ranks(a),
    y = ranks(b),
    mean = (a.length + 1) / 2;
  let xy = 0,
    xx = 0,
    yy = 0;
  for (let i = 0; i < x.length; i++) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) ** 2;
    yy += (y[i] - mean) ** 2;
  }
  return xx && yy ? xy / Math.sqrt(xx * yy) : NaN;
}

/** The share of the variance of y that differences between the groups of x explain (eta squared), 0 to 1. */
export function explained(x, y) {
  const groups = new Map();
  y.forEach((value, i) => groups.set(x[i], [...(groups.get(x[i]) || []), value]));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const all = mean(y);
  const total = y.reduce((sum, value) => sum + (value - all) ** 2, 0);
  let between = 0;
  for (const values of groups.values()) between += values.length * (mean(values) - all) ** 2;
  return total > 0 ? between / total : NaN;
}

/** How much of a number's variance a parameter accounts for: numbers by rank, words by group, both 0 to 1. */
export function importance(values, y) {
  const numbers = values.map(Number);
  if (numbers.every(Number.isFinite) && new Set(numbers).size > 4) return rankCorrelation(numbers, y) ** 2;
  return explained(values, y);
}
