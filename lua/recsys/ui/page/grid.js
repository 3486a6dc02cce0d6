// grid.js - a table of any length that holds only the rows in sight. Rows have one height; two spacers stand for
// the others.

import { h, say, show } from "./dom.js";

const HEIGHT = 34;
const AROUND = 8; // rows beyond the edge, so that scrolling shows no gap

/** columns: { id, title, width, text, order?: "asc"|"desc", sortable, align }. 'options':
 *  row(i) -> { key, about, selected, cells(columns) -> nodes } or null while it is fetched; 'about' is read out,
 *  sort(column), open(i), select(i, on, range), more(first, last): rows that have come into sight. */
export function grid(options) {
  let columns = [],
    count = 0,
    cursor = -1,
    shown = [0, 0],
    anchor = -1;
  const heads = h("tr");
  const widths = h("colgroup");
  const body = h("tbody");
  const about = { role: "grid", "aria-label": options.label };
  const table = h("table", { class: "grid", ...about }, widths, h("thead", {}, heads), body);
  const region = { tabindex: "0", role: "region", "aria-label": options.label };
  const element = h("div", { class: "scroll rows", ...region }, table);

  function range() {
    const first = Math.max(0, Math.floor(element.scrollTop / HEIGHT) - AROUND);
    const last = Math.min(count, Math.ceil((element.scrollTop + element.clientHeight) / HEIGHT) + AROUND);
    return [first, last];
  }

  const space = (rows) =>
    rows > 0 &&
    h(
      "tr",
      { class: "space", "aria-hidden": "true" },
      h("td", { colspan: columns.length, style: { height: `${rows * HEIGHT}px` } }),
    );

  function rowOf(i) {
    const row = options.row(i);
    if (!row) return h("tr", { class: "waiting", "aria-rowindex": i + 2 }, h("td", { colspan: columns.length }, "…"));
    return h(
      "tr",
      {
        class: [row.kind || "", i === cursor ? "cursor" : "", row.selected ? "chosen" : ""].join(" "),
        "aria-rowindex": i + 2,
        "aria-selected": row.selected ? "true" : "false",
        dataset: { i, key: row.key },
      },
      row.cells(columns),
    );
  }

  function draw() {
    shown = range();
    const [first, last] = shown;
    const focused = body.contains(document.activeElement) && document.activeElement.dataset.focus;
    options.more(first, last);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(rowOf(i));
    show(body, space(first), rows, space(count - last));
    table.setAttribute("aria-rowcount", count + 1);
    if (focused) body.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  function drawHeads() {
    show(
      widths,
      columns.map(({ width }) => h("col", { style: { width: `${width}px` } })),
    );
    table.style.width = `${columns.reduce((sum, { width }) => sum + width, 0)}px`;
    show(
      heads,
      columns.map((column) =>
        h(
          "th",
          {
            class: column.id.split(".")[0],
            scope: "col",
            title: column.about || column.title,
            "aria-sort": column.order ? (column.order === "asc" ? "ascending" : "descending") : undefined,
          },
          column.head
            ? column.head()
            : column.sortable
              ? h(
                  "button",
                  { type: "button", onclick: () => options.sort(column) },
                  h("span", { class: "cut" }, column.title),
                  column.mark && h("small", {}, column.mark),
                  h("span", { class: "arrow" }, column.order === "asc" ? "▲" : column.order === "desc" ? "▼" : ""),
                )
              : h("span", { class: "cut" }, column.title, column.mark && h("small", {}, column.mark)),
        ),
      ),
    );
  }

  let waiting = false;
  element.addEventListener(
    "scroll",
    () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const [first, last] = range();
        if (first < shown[0] || last > shown[1] || first > shown[0] + AROUND || last < shown[1] - AROUND) draw();
      });
    },
    { passive: true },
  );
  new ResizeObserver(() => draw()).observe(element);

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-i]");
    if (!row) return;
    const i = Number(row.dataset.i);
    if (event.target.matches("input[type=checkbox]")) {
      options.select(i, event.target.checked, event.shiftKey && anchor >= 0 ? anchor : i);
      anchor = i;
    }
    cursor = i;
  });

  function key(event) {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -count, End: count }[
      event.key
    ];
    if (step) {
      cursor = Math.max(0, Math.min(count - 1, cursor + step));
      const top = cursor * HEIGHT,
        room = element.clientHeight - 2 * HEIGHT;
      if (top < element.scrollTop) element.scrollTop = top;
      else if (top > element.scrollTop + room) element.scrollTop = top - room;
      draw();
      const row = options.row(cursor);
      if (row) say(`${row.about}, ${cursor + 1} of ${count}`);
    } else if (event.key === "Enter" && cursor >= 0 && event.target.closest("a, button") === null) options.open(cursor);
    else if ((event.key === "x" || event.key === " ") && cursor >= 0 && !event.target.closest("button")) {
      const row = options.row(cursor);
      if (row) options.select(cursor, !row.selected, cursor);
    } else return false;
    return true;
  }

  return {
    element,
    draw,
    key,
    setColumns(list) {
      columns = list;
      drawHeads();
    },
    setCount(n) {
      count = n;
      draw();
    },
    top() {
      element.scrollTop = 0;
      cursor = -1;
    },
    inSight: () => shown,
  };
}
