// compare.js - runs side by side: what differs between them, and their curves over each other. In the address:
// runs, same (show what is equal, too), base (what the others are held against), and the fields of cards.js.

import { api } from "./api.js";
import { cards, settingsBar } from "./cards.js";
import { legend } from "./charts.js";
import {
  attempt,
  best,
  button,
  check,
  duration,
  given,
  h,
  isNeutral,
  lowerIsBetter,
  moment,
  number,
  show,
  span,
  status,
} from "./dom.js";
import { literal } from "./grammar.js";
import { here, ids, set, to } from "./place.js";
import { plots } from "./plots.js";
import { byRank, measures } from "./series.js";
import { coloured, interval } from "./sets.js";

/** What is to be said of a metric of this run beside the baseline's: { text, about, sure }. */
export function difference(run, base, key) {
  const [a, b] = [run.metrics[key]?.last, base.metrics[key]?.last];
  if (!Number.isFinite(a) || !Number.isFinite(b) || a === b) return null;
  const sign = a > b ? "+" : "−";
  const share = b !== 0 ? ` (${sign}${Math.abs(((a - b) / b) * 100).toFixed(1)} %)` : "";
  const [mine, other] = [interval(run, key), interval(base, key)];
  const sure = mine && other ? mine[0] > other[1] || mine[1] < other[0] : null;
  return {
    text: `${sign}${number(Math.abs(a - b))}${share}`,
    tone: isNeutral(key) ? "" : (lowerIsBetter(key) ? a < b : a > b) ? "gain" : "loss",
    sure,
    about:
      sure === null
        ? "no intervals were logged"
        : sure
          ? "the intervals do not meet"
          : "the intervals overlap: this may be chance",
  };
}

export function open(main) {
  let runs = [],
    asked = "",
    keys = { metrics: [], params: [], tags: [] };
  const bar = h("div", { class: "toolbar" }),
    place = h("div", { class: "scroll sides" }),
    chips = h("div", { class: "chips" });
  const tools = h("div", { class: "toolbar settings" }),
    extra = h("div", { class: "cards" }),
    holder = h("div");
  const all = cards(holder),
    added = plots(extra, () => keys);
  show(main, bar, place, h("h2", {}, "Curves"), tools, chips, extra, holder);

  const entriesOf = (run) => ({
    Run: {
      status: run.info.status,
      started: moment(run.info.start_time),
      took: span(duration(run)),
      user: run.info.user_id,
      source: run.tags["mlflow.source.name"],
      commit: run.tags["mlflow.source.git.commit"],
    },
    Parameters: run.params,
    Tags: Object.fromEntries(Object.entries(run.tags).filter(([key]) => !key.startsWith("mlflow."))),
  });

  function rowsOf(section, tables, same) {
    const names = [...new Set(tables.flatMap((table) => Object.keys(table)))].sort();
    const rows = names.map((name) => ({ name, values: tables.map((table) => table[name]) }));
    return rows
      .filter(({ values }) => same || new Set(values).size > 1)
      .map(({ name, values }) =>
        h(
          "tr",
          { class: new Set(values).size > 1 ? "differs" : "" },
          h("th", { scope: "row" }, name),
          values.map((value) =>
            h(
              "td",
              { class: "wrap", title: value },
              section === "Run" && name === "status"
                ? status(value)
                : ((section === "Parameters" ? given(value) : value) ?? h("span", { class: "quiet" }, "–")),
            ),
          ),
        ),
      );
  }

  function metricRows(same, base) {
    const names = measures(keys.metrics)
      .filter((name) => !name.startsWith("system/"))
      .sort(byRank);
    return names
      .filter((name) => same || new Set(runs.map((run) => run.metrics[name]?.last)).size > 1)
      .map((name) => {
        const values = runs.map((run) => run.metrics[name]?.last);
        const finite = values.filter(Number.isFinite);
        const top =
          finite.length > 1 && !isNeutral(name)
            ? lowerIsBetter(name)
              ? Math.min(...finite)
              : Math.max(...finite)
            : NaN;
        return h(
          "tr",
          { class: "differs" },
          h("th", { scope: "row" }, name),
          runs.map((run) => metricCell(run, name, base, top)),
        );
      });
  }

  function metricCell(run, name, base, top) {
    const metric = run.metrics[name];
    if (!metric) return h("td", {}, h("span", { class: "quiet" }, "–"));
    const apart = run.id === base.id ? null : difference(run, base, name);
    const range = interval(run, name);
    return h(
      "td",
      { class: metric.last === top ? "top" : "", title: `best ${number(best(name, metric))}` },
      h("strong", {}, number(metric.last)),
      range && h("small", {}, ` ${number(range[0])}…${number(range[1])}`),
      apart &&
        h(
          "small",
          { class: apart.tone, title: apart.about },
          ` ${apart.text}${apart.sure === true ? " ✓" : apart.sure === false ? " ≈" : ""}`,
        ),
    );
  }

  function drawTable() {
    const { fields } = here();
    const same = Boolean(fields.get("same"));
    const base = runs.find(({ id }) => id === fields.get("base")) || runs[0];
    const tables = runs.map(entriesOf);
    const group = (title, rows) =>
      rows.length > 0 &&
      h(
        "tbody",
        {},
        h("tr", { class: "section" }, h("th", { colspan: runs.length + 1, scope: "rowgroup" }, title)),
        rows,
      );
    const groups = [
      group("Metrics", metricRows(same, base)),
      ...["Parameters", "Run", "Tags"].map((section) =>
        group(
          section,
          rowsOf(
            section,
            tables.map((table) => table[section]),
            same,
          ),
        ),
      ),
    ];
    show(
      place,
      h(
        "table",
        { class: "list compare" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", {}, ""),
            runs.map((run) =>
              h(
                "th",
                { scope: "col" },
                h("i", { class: "dot", style: { background: run.colour } }),
                h("a", { href: to(["run", run.id]) }, run.name),
                button(
                  "×",
                  () =>
                    set({
                      runs: runs
                        .filter(({ id }) => id !== run.id)
                        .map(({ id }) => id)
                        .join(","),
                    }),
                  { class: "plain", "aria-label": `leave out ${run.name}` },
                ),
              ),
            ),
          ),
        ),
        groups,
      ),
    );
  }

  async function update({ fields }) {
    const wanted = ids(fields, "runs");
    document.title = "Compare · recsys-run";
    if (asked !== wanted.join(",")) {
      const page = await api.runs(
        { filter: `attributes.run_id IN (${wanted.map(literal).join(", ")})`, view: "ALL" },
        0,
        Math.max(1, wanted.length),
      );
      runs = coloured(wanted.map((id) => page.runs.find((run) => run.id === id)).filter(Boolean));
      asked = wanted.join(",");
      keys = {
        metrics: [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))].sort(),
        params: [...new Set(runs.flatMap((run) => Object.keys(run.params)))].sort(),
        tags: [],
      };
    }
    if (runs.length === 0) return show(main, h("p", { class: "empty" }, "None of these runs is here."));
    const experiments = [...new Set(runs.map(({ info }) => info.experiment_id))];
    show(
      bar,
      h("h1", {}, `${runs.length} runs`),
      h(
        "a",
        { class: "button", href: to(["runs"], { e: experiments.join(","), sel: wanted.join(",") }) },
        "Choose runs",
      ),
      h("span", { class: "space" }),
      check("show what is equal", Boolean(fields.get("same")), (on) => set({ same: on })),
    );
    drawTable();
    settingsBar(tools, runs, measures(keys.metrics));
    if (!tools.querySelector(".add")) tools.append(button("Add chart", () => attempt(added.add), { class: "add" }));
    const hidden = ids(fields, "hide");
    legend(chips, runs, hidden);
    const seen = runs.filter(({ id }) => !hidden.includes(id));
    all.update({ runs: seen, keys: measures(keys.metrics) });
    added.update(seen);
    return undefined;
  }

  return {
    update,
    close: () => {
      all.close();
      added.close();
    },
  };
}
