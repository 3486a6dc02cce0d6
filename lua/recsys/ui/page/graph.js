// graph.js - which task follows which, drawn in layers from left to right. What follows from other edges is left out.

import { h, s } from "./dom.js";
import { to } from "./place.js";
import { kind, mark, word } from "./states.js";

const MOST = 300; // tasks that are drawn
const HEIGHT = 30; // of a task
const DOWN = 14; // between tasks of a layer
const ACROSS = 46; // between layers
const LETTER = 7.4;

/** The tasks that each follows, by names: those alone that no other of them follows. */
export function reduced(tasks) {
  const known = new Map(tasks.map((task) => [task.name, task]));
  const before = new Map(); // name -> all that come before
  const direct = new Map();
  for (const task of tasks) {
    const after = task.after.filter((name) => before.has(name) && known.has(name));
    const implied = new Set(after.flatMap((name) => [...before.get(name)]));
    direct.set(
      task.name,
      after.filter((name) => !implied.has(name)),
    );
    before.set(task.name, new Set([...after, ...implied]));
  }
  return direct;
}

/** Bring the nodes of each layer near to those that they follow and are followed by. */
function order(layers) {
  const middle = (nodes, fallback) =>
    nodes.length ? nodes.reduce((sum, { at }) => sum + at, 0) / nodes.length : fallback;
  const number = (layer) => layer.forEach((node, i) => Object.assign(node, { at: i - (layer.length - 1) / 2 }));
  layers.forEach(number);
  for (let turn = 0; turn < 8; turn++) {
    const down = turn % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const wanted = new Map(layer.map((node) => [node, middle(down ? node.from : node.to, node.at)]));
      layer.sort((a, b) => wanted.get(a) - wanted.get(b) || a.id - b.id);
      number(layer);
    }
  }
}

/** Tasks { number, name, after: [names] } as { nodes: [{ task, x, y, width }], edges: [[{ x, y }, ...]], width,
 * height }. */
export function layout(tasks) {
  const direct = reduced(tasks);
  const nodes = new Map(),
    layers = [];
  let id = 0;
  const add = (node, depth) => {
    (layers[depth] ||= []).push(Object.assign(node, { id: id++, depth, from: [], to: [] }));
    return node;
  };
  const join = (a, b) => {
    a.to.push(b);
    b.from.push(a);
  };
  const edges = [];
  for (const task of tasks) {
    const after = direct.get(task.name).map((name) => nodes.get(name));
    const depth = Math.max(-1, ...after.map((node) => node.depth)) + 1;
    const node = add({ task, width: Math.round(34 + LETTER * Math.min(22, task.name.length)) }, depth);
    nodes.set(task.name, node);
    for (const other of after) {
      const chain = [other]; // an edge over several layers keeps a place of its own in each
      for (let i = other.depth + 1; i < depth; i++) chain.push(add({ width: 0 }, i));
      chain.push(node);
      chain.slice(1).forEach((one, i) => join(chain[i], one));
      edges.push(chain);
    }
  }
  order(layers);
  const most = Math.max(1, ...layers.map((layer) => layer.length));
  const height = most * (HEIGHT + DOWN) - DOWN;
  let x = 0;
  for (const layer of layers) {
    const width = Math.max(...layer.map((node) => node.width));
    layer.forEach((node) => Object.assign(node, { x, room: width, y: height / 2 + node.at * (HEIGHT + DOWN) }));
    x += width + ACROSS;
  }
  return {
    nodes: [...nodes.values()],
    edges: edges.map((chain) => chain.flatMap((node, i) => points(node, i === 0, i === chain.length - 1))),
    width: Math.max(0, x - ACROSS),
    height,
  };
}

/** Where an edge meets a node; through a layer it goes straight. */
function points({ x, y, width, room }, first, last) {
  if (first) return [{ x: x + width, y }];
  return last ? [{ x, y }] : [{ x, y }, { x: x + room, y }];
}

function curve(list) {
  return list
    .map(({ x, y }, i) => {
      if (i === 0) return `M${x},${y}`;
      const half = (x - list[i - 1].x) / 2;
      return `C${x - half},${list[i - 1].y} ${x - half},${y} ${x},${y}`;
    })
    .join(" ");
}

const short = (name) => (name.length > 22 ? `${name.slice(0, 21)}…` : name);

function box(id, { task, x, y, width }) {
  return s(
    "a",
    { href: to(["flow", id, task.number]), "aria-label": `${task.name}, ${word(task.state)}` },
    s("title", {}, `${task.name}: ${word(task.state)}${task.after.length ? `\nafter ${task.after.join(", ")}` : ""}`),
    s("rect", { class: `node ${kind(task.state)}`, x, y: y - HEIGHT / 2, width, height: HEIGHT, rx: 7 }),
    s("text", { class: `sign ${kind(task.state)}`, x: x + 10, y: y + 4 }, mark(task.state)),
    s("text", { class: "title", x: x + 26, y: y + 4 }, short(task.name)),
  );
}

/** The graph of a run's tasks as an element; null where nothing follows anything. */
export function graph(run) {
  const tasks = run.tasks.map((task) => ({ ...task, after: task.after ? task.after.split(" ") : [] }));
  if (!tasks.some(({ after }) => after.length)) return null;
  if (tasks.length > MOST) return h("p", { class: "quiet" }, `${tasks.length} tasks are too many to draw.`);
  const { nodes, edges, width, height } = layout(tasks);
  const view = `-4 -4 ${width + 8} ${height + 8}`;
  return h(
    "div",
    { class: "scroll graph", tabindex: "0", role: "region", "aria-label": "graph of the tasks" },
    s(
      "svg",
      { viewBox: view, width: width + 8, height: height + 8, role: "group", "aria-label": "tasks" },
      edges.map((list) => s("path", { class: "edge", d: curve(list) })),
      nodes.map((node) => box(run.id, node)),
    ),
  );
}
