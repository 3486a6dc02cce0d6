// card.js - the frame of a chart: a header with a grip, a title, what is said beside it, a button for the whole screen
// and a menu that saves the chart.

import { attempt, button, dialog, h, menu } from "./dom.js";
import { save, saveRows } from "./save.js";
import { grip } from "./sorting.js";

/** A chart over the whole screen: draw(area) gives what close() lets go of. */
function fullScreen(title, draw, legend) {
  let chart = null;
  const build = () => {
    const area = h("div", { class: "plot" });
    requestAnimationFrame(() => {
      chart = draw(area);
    });
    return [
      area,
      h(
        "ul",
        { class: "names" },
        legend().map(({ name, colour }) => h("li", {}, h("i", { class: "dot", style: { background: colour } }), name)),
      ),
    ];
  };
  return dialog(title, build, "full").then(() => chart?.close?.());
}

/** A card: { element, area, value }. In 'options':
 *  name(); fields: what stands between the header and the chart; kind: a class of the area; wide; dataset
 *  draw(area): the chart anew, for the whole screen; legend(): [{ name, colour }]; rows(): of a CSV file
 *  items: [[text, work]] of the menu; moved(cards): told of another order; absent: it stays where it is */
export function card(options) {
  const { name, legend = () => [] } = options;
  const area = h("div", { class: `plot ${options.kind || ""}` });
  const value = h("span", { class: "value" });
  const element = h("article", { class: options.wide ? "card wide" : "card", dataset: options.dataset });
  const saved = (kind) => () => attempt(() => save(kind, area, name(), legend()));
  element.append(
    h(
      "header",
      {},
      ...(options.moved ? [grip(name(), () => element, options.moved)] : []),
      h("h3", { title: name() }, name()),
      value,
      h("span", { class: "space" }),
      button("⤢", () => fullScreen(name(), options.draw, legend), {
        class: "plain",
        title: "full screen",
        "aria-label": `${name()} over the full screen`,
      }),
      menu(`more of ${name()}`, [
        ...options.items,
        ["Save as PNG", saved("png")],
        ["Save as SVG", saved("svg")],
        ["Save as CSV", () => saveRows(options.rows(), name())],
      ]),
    ),
    ...(options.fields ? [options.fields] : []),
    area,
  );
  return { element, area, value };
}
