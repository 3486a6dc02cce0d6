// pictures.js - the charts that Chart.js has not: parallel coordinates and contours, as SVG and canvas.

import { h, number, s, show } from "./dom.js";

const RAMP = [
  [108, 74, 160],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
]; // viridis, from where it shows on black

/** The colour of a share of 0 to 1. */
export function ramp(share) {
  const place = Math.max(0, Math.min(1, share)) * (RAMP.length - 1),
    low = Math.min(Math.floor(place), RAMP.length - 2);
  const mix = RAMP[low].map((c, i) => Math.round(c + (RAMP[low + 1][i] - c) * (place - low)));
  return `rgb(${mix.join(",")})`;
}

/** An axis over values: numbers by size (or, where 'logs', by logarithm when they span decades), words side by side.
 * place(v) is 0 to 1. */
export function axis(values, logs = true) {
  const present = values.filter(
    (value) => value !== undefined && value !== null && value !== "" && !Number.isNaN(value),
  );
  const numbers = present.map(Number);
  if (present.length && numbers.every(Number.isFinite)) {
    const low = Math.min(...numbers),
      high = Math.max(...numbers);
    const log = logs && low > 0 && high / low >= 50;
    const f = log ? Math.log : (v) => v;
    const width = f(high) - f(low) || 1;
    const back = (share) => (log ? Math.exp(f(low) + share * width) : low + share * width);
    const place = (value) =>
      value === undefined || value === "" || !Number.isFinite(Number(value))
        ? NaN
        : high === low
          ? 0.5
          : (f(Number(value)) - f(low)) / width;
    const ticks =
      high === low
        ? [[0.5, number(low)]]
        : [0, 0.25, 0.5, 0.75, 1].map((share) => [share, number(Number(back(share).toPrecision(3)))]);
    return { place, ticks };
  }
  const words = [...new Set(present.map(String))].sort();
  const place = (value) => {
    const i = words.indexOf(String(value));
    return i < 0 ? NaN : words.length === 1 ? 0.5 : i / (words.length - 1);
  };
  return { place, ticks: words.slice(0, 20).map((word) => [place(word), word.slice(0, 14)]) };
}

/** Parallel coordinates in 'holder'. items: { name, values: { axis name: value }, id }; the last axis gives the
 * colour. A drag along an axis keeps the runs whose values are in it. 'logs' says for each axis whether it goes by
 * logarithms; without it those do which span decades. */
export function parallel(holder, items, names, onopen, logs) {
  const width = Math.max(holder.clientWidth, 120 + names.length * 84),
    height = Math.max(holder.clientHeight || 0, 280);
  const axes = names.map((name, i) =>
    axis(
      items.map(({ values }) => values[name]),
      logs ? logs[i] : true,
    ),
  );
  const longest = Math.max(0, ...(axes[0]?.ticks || []).map(([, word]) => word.length));
  const left = Math.max(46, 14 + 6.4 * longest),
    right = 56,
    top = 34,
    bottom = 16;
  const x = (i) => (names.length > 1 ? left + (i * (width - left - right)) / (names.length - 1) : width / 2);
  const y = (share) => height - bottom - share * (height - top - bottom);
  const ranges = new Map();
  const last = axes[axes.length - 1];
  const lines = items.map((item) => {
    const places = axes.map(({ place }, i) => place(item.values[names[i]]));
    const steps = places.map((share, i) => (Number.isNaN(share) ? null : `${x(i)},${y(share)}`)).filter(Boolean);
    const path = s(
      "polyline",
      {
        points: steps.join(" "),
        class: "strand",
        stroke: ramp(last.place(item.values[names[names.length - 1]]) || 0),
        onclick: () => onopen?.(item),
      },
      s("title", {}, [item.name, ...names.map((name) => `${name}: ${item.values[name] ?? ""}`)].join("\n")),
    );
    return { path, places };
  });
  const dim = () =>
    lines.forEach(({ path, places }) =>
      path.classList.toggle(
        "dim",
        [...ranges].some(([i, [low, high]]) => !(places[i] >= low && places[i] <= high)),
      ),
    );

  function brush(i, area, mark) {
    let start = null;
    const share = (event) => {
      const box = area.getBoundingClientRect();
      return Math.max(0, Math.min(1, 1 - (event.clientY - box.top) / box.height));
    };
    area.addEventListener("pointerdown", (event) => {
      start = share(event);
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const range = [Math.min(start, share(event)), Math.max(start, share(event))];
      ranges.set(i, range);
      mark.setAttribute("y", y(range[1]));
      mark.setAttribute("height", y(range[0]) - y(range[1]));
      dim();
    });
    area.addEventListener("pointerup", () => {
      const range = ranges.get(i);
      start = null;
      if (range && range[1] - range[0] > 0.02) return;
      ranges.delete(i);
      mark.setAttribute("height", 0);
      dim();
    });
  }

  const marks = axes.map(({ ticks }, i) => {
    const mark = s("rect", { x: x(i) - 6, y: 0, width: 12, height: 0, class: "brush" });
    const area = s("rect", { x: x(i) - 10, y: y(1), width: 20, height: y(0) - y(1), class: "reach" });
    brush(i, area, mark);
    const side = i === axes.length - 1 && axes.length > 1;
    return s(
      "g",
      {},
      s("line", { x1: x(i), x2: x(i), y1: y(0), y2: y(1), class: "axis" }),
      ticks.map(([share, text]) =>
        s(
          "text",
          { x: side ? x(i) + 8 : x(i) - 8, y: y(share) + 3, class: "tick", "text-anchor": side ? "start" : "end" },
          text,
        ),
      ),
      s(
        "text",
        { x: x(i), y: i % 2 ? 24 : 12, class: "title", "text-anchor": i === 0 ? "start" : side ? "end" : "middle" },
        names[i].slice(0, 26),
      ),
      mark,
      area,
    );
  });
  show(
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
          "aria-label": `parallel coordinates of ${names.join(", ")}`,
        },
        lines.map(({ path }) => path),
        marks,
      ),
    ),
  );
}

/** z at (x, y), both 0 to 1, from scattered points: weights fall with the fourth power of the distance. */
function between(points, x, y) {
  let sum = 0,
    weights = 0;
  for (const point of points) {
    const d = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (d < 1e-9) return point.z;
    const weight = 1 / (d * d);
    sum += weight * point.z;
    weights += weight;
  }
  return sum / weights;
}

/** Contours of z over x and y in 'holder', from runs { name, x, y, z, id }, with the runs themselves as dots. */
export function contour(holder, items, { x, y, z }, onopen) {
  const width = Math.max(holder.clientWidth, 280),
    height = Math.max(holder.clientHeight || 0, 280);
  const usable = items.filter((item) => Number.isFinite(item.z) && item.x !== undefined && item.y !== undefined);
  if (usable.length < 3)
    return show(holder, h("p", { class: "empty" }, "A contour needs three runs that have all of these."));
  const ax = axis(usable.map((item) => item.x)),
    ay = axis(usable.map((item) => item.y)),
    az = axis(usable.map((item) => item.z));
  const left = 76,
    right = 32 + 6.8 * Math.max(6, ...az.ticks.map(([, word]) => word.length)),
    top = 10,
    bottom = 40,
    wide = width - left - right,
    high = height - top - bottom;
  const points = usable.map((item) => ({ item, x: ax.place(item.x), y: ay.place(item.y), z: az.place(item.z) }));
  const canvas = h("canvas", {
    width: wide,
    height: high,
    style: { left: `${left}px`, top: `${top}px` },
    class: "field",
  });
  const pen = canvas.getContext("2d"),
    cell = 5,
    bands = 12;
  for (let i = 0; i < wide; i += cell) {
    for (let j = 0; j < high; j += cell) {
      const value = between(points, (i + cell / 2) / wide, 1 - (j + cell / 2) / high);
      pen.fillStyle = ramp(Math.round(value * bands) / bands);
      pen.fillRect(i, j, cell, cell);
    }
  }
  const px = (share) => left + share * wide,
    py = (share) => top + (1 - share) * high;
  const legend = az.ticks.map(([share, text]) => [
    s("rect", { x: width - right + 12, y: py(share) - 5, width: 10, height: 10, fill: ramp(share) }),
    s("text", { x: width - right + 26, y: py(share) + 4, class: "tick" }, text),
  ]);
  return show(
    holder,
    h(
      "div",
      { class: "layers", style: { height: `${height}px` } },
      canvas,
      s(
        "svg",
        {
          width,
          height,
          viewBox: `0 0 ${width} ${height}`,
          role: "img",
          "aria-label": `contour of ${z} over ${x} and ${y}`,
        },
        ax.ticks.map(([share, text]) =>
          s("text", { x: px(share), y: height - bottom + 15, class: "tick", "text-anchor": "middle" }, text),
        ),
        ay.ticks.map(([share, text]) =>
          s("text", { x: left - 6, y: py(share) + 4, class: "tick", "text-anchor": "end" }, text),
        ),
        s("text", { x: left + wide / 2, y: height - 6, class: "title", "text-anchor": "middle" }, x),
        s(
          "text",
          {
            x: 12,
            y: top + high / 2,
            class: "title",
            "text-anchor": "middle",
            transform: `rotate(-90 12 ${top + high / 2})`,
          },
          y,
        ),
        legend,
        points.map((point) =>
          s(
            "circle",
            { cx: px(point.x), cy: py(point.y), r: 3.5, class: "run", onclick: () => onopen?.(point.item) },
            s("title", {}, `${point.item.name}\n${z}: ${number(point.item.z)}`),
          ),
        ),
      ),
    ),
  );
}
