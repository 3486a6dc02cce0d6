// runs.js - the runs of one or more experiments, as a table or as charts: search, order, columns, groups, selection.
//
// In the address: e (experiments), filter, order, view, cols, group, flat, pins, sel, show (table|charts), and the
// fields of the charts (charts.js).

import { api } from "./api.js";
import { chartsOf } from "./charts.js";
import * as columns from "./columns.js";
import { attempt, button, check, choose, confirm, download, h, note, show } from "./dom.js";
import { completed } from "./grammar.js";
import { grid } from "./grid.js";
import { go, here, ids, list, set, to } from "./place.js";
import { rows } from "./rows.js";
import { differing } from "./sets.js";

const LIVE = 3000; // ms between looks at runs that still run
const MOST = 100; // runs that are selected by one click

export function open(main) {
  let place = here(),
    keys = { metrics: [], params: [], tags: [] },
    experiments = [],
    asked = "",
    shownColumns = [],
    drawnFor = "";
  let timer,
    charts = null,
    seen = new Map();

  const title = h("h1");
  const filter = h("input", {
    type: "search",
    class: "filter",
    spellcheck: false,
    autocomplete: "off",
    id: "filter",
    "aria-label": "filter",
    placeholder: "Filter: metrics.`valid/loss` < 0.5 AND params.dim = '64'",
  });
  const offers = h("ul", { class: "offers", id: "offers", hidden: true });
  const complaint = h("p", { class: "complaint", role: "alert", hidden: true });
  const count = h("span", { class: "quiet count", "aria-live": "polite" });
  const tools = h("div", { class: "toolbar tools" });
  const body = h("div", { class: "body" });
  completed(filter, () => keys, offers, h);
  filter.addEventListener("keydown", (event) => event.key === "Enter" && set({ filter: filter.value.trim() }));
  filter.addEventListener("search", () => set({ filter: filter.value.trim() }));
  show(
    main,
    h("div", { class: "toolbar" }, title, h("div", { class: "filterbox" }, filter, offers), count),
    complaint,
    tools,
    body,
  );

  const data = rows(draw, complain);
  const table = grid({
    label: "runs",
    row,
    sort,
    open: openRow,
    select,
    more: (first, last) => data.need(first, last),
  });

  const selected = () => ids(here().fields, "sel");
  const showing = () => here().fields.get("show") || "table";

  function question() {
    const { fields } = here();
    return {
      experiments: ids(fields, "e"),
      filter: fields.get("filter") || "",
      order: fields.get("order") || "",
      view: fields.get("view") || "ACTIVE_ONLY",
    };
  }

  function complain(error) {
    complaint.textContent = error ? error.message : "";
    complaint.hidden = !error;
  }

  function nameCell(item) {
    const { run, group } = item;
    if (item.more) {
      const text = `… ${item.more.toLocaleString("en")} more`;
      return h(
        "td",
        { class: "name", style: { paddingLeft: `${26 * item.depth}px` } },
        button(text, () => attempt(() => data.more(item)), { class: "plain", dataset: { focus: data.keyOf(item) } }),
      );
    }
    const fold =
      item.foldable &&
      button(item.open ? "▾" : "▸", () => attempt(() => data.toggle(item)), {
        class: "fold",
        "aria-expanded": item.open ? "true" : "false",
        "aria-label": item.open ? "fold" : "unfold",
        dataset: { focus: `f${data.keyOf(item)}` },
      });
    if (group) {
      return h(
        "td",
        { class: "name" },
        fold,
        h("span", { class: "cut" }, group.value ?? "not set"),
        h("small", {}, ` ${group.count}`),
      );
    }
    const pinned = ids(here().fields, "pins");
    return h(
      "td",
      { class: "name", style: item.depth ? { paddingLeft: `${26 * item.depth}px` } : null },
      fold,
      h("a", { href: to(["run", run.id]), class: "cut", title: run.name }, run.name),
      run.children > 0 &&
        h("a", { class: "trials", href: to(["study", run.id]), title: "the study of these trials" }, `${run.children}`),
      button(
        "pin",
        () =>
          set({
            pins: (pinned.includes(run.id) ? pinned.filter((id) => id !== run.id) : [...pinned, run.id]).join(","),
          }),
        {
          class: item.pinned ? "pin on" : "pin",
          "aria-pressed": item.pinned ? "true" : "false",
          "aria-label": `pin ${run.name}`,
        },
      ),
    );
  }

  function row(i) {
    const item = data.at(i);
    if (!item) return null;
    const { run, group } = item;
    if (run) seen.set(run.id, run);
    const on = run && selected().includes(run.id);
    return {
      key: data.keyOf(item),
      about: item.more ? `${item.more} more` : group ? `${group.value ?? "not set"}, ${group.count} runs` : run.name,
      selected: on,
      kind: group ? "group" : item.pinned ? "pinned" : "",
      cells: (all) =>
        all.map((column) => {
          if (column.id === "select") {
            return h(
              "td",
              { class: "select" },
              run &&
                h("input", {
                  type: "checkbox",
                  checked: on,
                  "aria-label": `select ${run.name}`,
                  dataset: { focus: `s${run.id}` },
                }),
            );
          }
          if (column.id === "name") return nameCell(item);
          const cell = run ? column.cell(run) : group && column.groupCell?.(group);
          const text = typeof cell === "string" ? cell : null;
          return h(
            "td",
            { class: column.number ? "number" : "", title: text && text.length > 12 ? text : undefined },
            cell,
          );
        }),
    };
  }

  function openRow(i) {
    const item = data.at(i);
    if (item?.more) attempt(() => data.more(item));
    else if (item?.group) attempt(() => data.toggle(item));
    else if (item) go(to(["run", item.run.id]));
  }

  function select(i, on, from) {
    const now = new Set(selected());
    for (let k = Math.min(i, from); k <= Math.max(i, from); k++) {
      const run = data.at(k)?.run;
      if (run) now[on ? "add" : "delete"](run.id);
    }
    choosen([...now]);
  }

  function choosen(list_) {
    if (list_.length > MOST) note(`${MOST} runs can be selected at once`, true);
    set({ sel: list_.slice(0, MOST).join(",") }, { still: true });
    draw();
    drawTools();
  }

  function sort({ clause }) {
    const order = here().fields.get("order") || "";
    const next = order === `${clause} DESC` ? `${clause} ASC` : order === `${clause} ASC` ? "" : `${clause} DESC`;
    set({ order: next });
  }

  /** The columns to begin with, those of parameters from how the first runs differ. */
  function defaultColumns() {
    const found = [];
    for (let i = 0; i < Math.min(data.count(), 100); i++) {
      const run = data.at(i)?.run;
      if (run) found.push(run);
    }
    return columns.defaults(keys, found.length > 1 ? differing(found) : []);
  }

  function setColumns() {
    const { fields } = here();
    const order = fields.get("order") || "";
    const wanted = fields.has("cols") ? list(fields, "cols") : defaultColumns();
    const narrow = innerWidth < 600;
    shownColumns = wanted.map((id) => columns.column(id));
    if (fields.get("group"))
      shownColumns = shownColumns.filter(({ groupCell }) => groupCell).map((one) => ({ ...one, width: 210 }));
    const mark = (column) => ({
      ...column,
      order: order === `${column.clause} ASC` ? "asc" : order === `${column.clause} DESC` ? "desc" : "",
    });
    const all = [
      {
        id: "select",
        title: "",
        width: 34,
        head: () =>
          h("input", {
            type: "checkbox",
            "aria-label": "select what is in sight",
            checked: selected().length > 0,
            onclick: toggleAll,
          }),
      },
      mark({
        id: "name",
        title: fields.get("group") ? fields.get("group").replace(/^\w+\./, "") : "Run",
        width: narrow ? 172 : 290,
        sortable: true,
        clause: "attributes.run_name",
      }),
      ...shownColumns.map(mark),
    ];
    table.setColumns(all);
  }

  function toggleAll() {
    if (selected().length) return choosen([]);
    const found = [];
    for (let i = 0; i < Math.min(data.count(), MOST); i++) {
      const run = data.at(i)?.run;
      if (run) found.push(run.id);
    }
    return choosen(found);
  }

  function draw() {
    const total = data.total(),
      grouped = data.grouped();
    count.textContent =
      grouped && grouped.seen < grouped.of
        ? `groups of the first ${grouped.seen} of ${grouped.of} runs`
        : `${total.toLocaleString("en")} ${total === 1 ? "run" : "runs"}`;
    if (showing() === "charts") return;
    const wanted = JSON.stringify(here().fields.has("cols") ? null : defaultColumns());
    if (wanted !== drawnFor) {
      drawnFor = wanted;
      setColumns();
    }
    table.setCount(data.count());
    if (data.count() === 0 && asked) {
      if (!complaint.hidden) return;
      show(
        body,
        h(
          "p",
          { class: "empty" },
          here().fields.get("filter")
            ? ["No run meets the filter. ", button("Clear the filter", () => set({ filter: "" }))]
            : "No runs here yet: run a recipe, or log to this server, and they appear.",
        ),
      );
    } else if (!table.element.isConnected) show(body, table.element);
  }

  function drawTools() {
    const { fields } = here();
    const chosen = selected();
    const tab = (name, text) =>
      button(text, () => set({ show: name === "table" ? "" : name }), {
        "aria-pressed": showing() === name ? "true" : "false",
      });
    const by = [
      ["", "no groups"],
      ...keys.params.map((key) => [`params.${key}`, key]),
      ...keys.tags.filter((key) => !/^mlflow\./.test(key)).map((key) => [`tags.${key}`, `tag ${key}`]),
    ];
    show(
      tools,
      h(
        "div",
        { class: "switch", role: "group", "aria-label": "view" },
        tab("table", "Table"),
        tab("charts", "Charts"),
      ),
      showing() === "table" && button("Columns", chooseColumns),
      button("CSV", () => attempt(async () => download(await api.csv(question()), "runs.csv")), {
        title: "all matching runs as CSV",
      }),
      choose("", by, fields.get("group") || "", (value) => set({ group: value, hide: "", base: "" }), {
        "aria-label": "group by",
      }),
      showing() === "table" && [
        check("trials under studies", !fields.get("flat"), (on) => set({ flat: !on }), {
          disabled: Boolean(fields.get("group")),
        }),
      ],
      choose(
        "",
        [
          ["ACTIVE_ONLY", "active"],
          ["DELETED_ONLY", "deleted"],
          ["ALL", "all"],
        ],
        fields.get("view") || "ACTIVE_ONLY",
        (value) => set({ view: value === "ACTIVE_ONLY" ? "" : value }),
        { "aria-label": "state of life" },
      ),
      h("span", { class: "space" }),
      chosen.length > 0 && [
        h("span", { class: "quiet" }, `${chosen.length} selected`),
        button("Compare", compare, { disabled: chosen.length < 2, class: "main" }),
        button(fields.get("view") === "DELETED_ONLY" ? "Restore" : "Delete", removeChosen),
        button("Clear", () => choosen([]), { class: "plain" }),
      ],
    );
  }

  async function chooseColumns() {
    const { fields } = here();
    const chosen = await columns.choose(keys, fields.has("cols") ? list(fields, "cols") : defaultColumns());
    if (chosen === null) set({ cols: "" });
    else if (chosen) set({ cols: JSON.stringify(chosen) });
  }

  function compare() {
    if (selected().length > 1) go(to(["compare"], { runs: selected().join(",") }));
  }

  async function removeChosen() {
    const gone = here().fields.get("view") === "DELETED_ONLY";
    const chosen = selected();
    if (
      !gone &&
      !(await confirm(
        "Delete runs",
        `${chosen.length} runs go to the deleted ones, from where they can be restored.`,
        "Delete",
      ))
    )
      return;
    const ok = await attempt(async () => {
      for (const id of chosen) await (gone ? api.restoreRun(id) : api.deleteRun(id));
    });
    asked = "";
    set({ sel: "" }, { still: true });
    if (ok) note(`${chosen.length} runs ${gone ? "restored" : "deleted"}`);
    update(here());
  }

  function live() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        if (!document.hidden && showing() === "table" && data.running()) {
          await data.refresh(...table.inSight());
        } else if (!document.hidden && showing() === "charts") await charts?.refresh();
      } catch (error) {
        if (error.name !== "AbortError") complain(error);
      }
      live();
    }, LIVE);
  }

  /** Ask for the rows when the question is another one than before. */
  async function ask() {
    const { fields } = here();
    const what = question();
    const options = {
      nested: !fields.get("flat") && !what.filter && !fields.get("group"),
      by: fields.get("group"),
      pins: ids(fields, "pins"),
    };
    const text = JSON.stringify([what, options]);
    if (text === asked) return draw();
    asked = text;
    table.top();
    try {
      complain(null);
      await data.ask(what, options);
    } catch (error) {
      if (error.name !== "AbortError") complain(error);
    }
    return undefined;
  }

  async function update(next) {
    const before = ids(place.fields, "e").join(",");
    place = next;
    const wanted = ids(next.fields, "e");
    if (wanted.length === 0) return go(to(["experiments"]));
    if (experiments.length === 0 || before !== wanted.join(",")) {
      [experiments, keys] = await Promise.all([api.experiments(), api.keys(wanted)]);
      seen = new Map();
      asked = "";
    }
    const named = wanted.map((id) => experiments.find(({ experiment_id: one }) => one === id)?.name || id);
    title.textContent = named.join(" + ");
    title.title = named.join(" + ");
    document.title = `${named[0]} · recsys-run`;
    if (document.activeElement !== filter) filter.value = next.fields.get("filter") || "";
    setColumns();
    drawTools();
    if (showing() === "charts") {
      charts ||= chartsOf(body, { keys: () => keys, question, selected, complain });
      const [counted] = await Promise.all([charts.update(), asked ? null : ask()]);
      return counted;
    }
    charts?.close();
    charts = null;
    if (!table.element.isConnected) show(body, table.element);
    await ask();
    live();
    return undefined;
  }

  function key(event) {
    if (event.key === "c") compare();
    else if (event.key === "t") set({ show: "" });
    else if (event.key === "v") set({ show: "charts" });
    else return showing() === "table" && table.key(event);
    return true;
  }

  live();
  return {
    update,
    key,
    close: () => {
      clearTimeout(timer);
      charts?.close();
    },
  };
}
