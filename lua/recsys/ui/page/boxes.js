// boxes.js - box plots of groups of runs, as SVG: the quartiles, whiskers to the last value within 1.5 times their
// distance, and each run as a dot.

import { h, number, s, show } from "./dom.js";
import { axis } from "./pictures.js";
import { quantile } from "./series.js";

/** { low, q1, median, q3, high } of numbers: the ends of whiskers, and quartiles. */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [q1, median, q3] = [0.25, 0.5, 0.75].map((q) => quantile(sorted, q));
  const reach = 1.5 * (q3 - q1);
  return {
    low: sorted.find((value) => value >= q1 - reach),
    q1,
    median,
    q3,
    high: sorted.findLast((value) => value <= q3 + reach),
  };
}

/** Where the i-th dot stands beside the middle of its box, -1 to 1: spread, and always the same. */
const aside = (i) => ((i * 0.618034) % 1) * 2 - 1;

function box({ low, q1, median, q3, high }, x, half, y) {
  const flat = (at, half_) => s("line", { x1: x - half_, x2: x + half_, y1: y(at), y2: y(at), class: "whisker" });
  return [
    s("line", { x1: x, x2: x, y1: y(low), y2: y(q1), class: "whisker" }),
    s("line", { x1: x, x2: x, y1: y(q3), y2: y(high), class: "whisker" }),
    flat(low, half / 2),
    flat(high, half / 2),
    s("rect", { x: x - half, y: y(q3), width: 2 * half, height: Math.max(1, y(q1) - y(q3)), class: "quartiles" }),
    s("line", { x1: x - half, x2: x + half, y1: y(median), y2: y(median), class: "median" }),
  ];
}

/** Box plots in 'holder': groups are [{ name, items: [{ name, y }] }]; a click on a dot opens its run. */
export function boxplot(holder, groups, { x, y: title }, onopen) {
  const full = groups.filter(({ items }) => items.length > 0);
  if (full.length === 0) return show(holder, h("p", { class: "empty" }, "No run has both of these."));
  const width = Math.max(holder.clientWidth, 90 + full.length * 40),
    height = Math.max(holder.clientHeight || 0, 240);
  const [left, right, top, bottom] = [58, 10, 12, 44];
  const values = full.flatMap(({ items }) => items.map(({ y }) => y));
  const scale = axis(values, false);
  const room = (width - left - right) / full.length,
    half = Math.min(26, room * 0.32);
  const up = (value) => height - bottom - (0.04 + 0.92 * scale.place(value)) * (height - top - bottom);
  const middle = (i) => left + (i + 0.5) * room;
  const about = ({ name, items }, { q1, median, q3 }) =>
    `${name}: ${items.length} runs\nmedian ${number(median)}\nquartiles ${number(q1)} … ${number(q3)}`;
  return show(
    holder,
    h(
      "div",
      { class: "scroll" },
      s(
        "svg",
        {
          width,
          height,
          viewBox: `0 0 ${width} ${height}`,
          role: "img",
          "aria-label": `${title} by ${x}: ${full.length} boxes of ${values.length} runs`,
        },
        scale.ticks.map(([share, text]) => {
          const at = height - bottom - (0.04 + 0.92 * share) * (height - top - bottom);
          return [
            s("line", { x1: left, x2: width - right, y1: at, y2: at, class: "rule" }),
            s("text", { x: left - 7, y: at + 4, class: "tick", "text-anchor": "end" }, text),
          ];
        }),
        full.map((group, i) => {
          const found = summary(group.items.map(({ y }) => y));
          return s(
            "g",
            { class: "box-of" },
            s("title", {}, about(group, found)),
            box(found, middle(i), half, up),
            group.items.map((item, k) =>
              s(
                "circle",
                {
                  cx: middle(i) + aside(k + 1) * half * 0.7,
                  cy: up(item.y),
                  r: 3,
                  class: "dot",
                  onclick: () => onopen?.(item),
                },
                s("title", {}, `${item.name}\n${title}: ${number(item.y)}`),
              ),
            ),
            s(
              "text",
              { x: middle(i), y: height - bottom + 16, "text-anchor": "middle" },
              group.name.slice(0, Math.max(4, room / 6)),
            ),
          );
        }),
        s("text", { x: (left + width) / 2, y: height - 8, class: "title", "text-anchor": "middle" }, x),
      ),
    ),
  );
}
