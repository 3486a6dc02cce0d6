// charts.js - the charts of the runs page: a legend of the runs, or of their groups, a card for each metric, and the
// plots that people have added (plots.js) over all runs that match.
//
// In the address beside the fields of cards.js: many (runs drawn while none is selected), hide (run ids).

import { api } from "./api.js";
import { cards, settingsBar } from "./cards.js";
import { attempt, button, choose, h, show } from "./dom.js";
import { literal } from "./grammar.js";
import { here, ids, set, to } from "./place.js";
import { plots } from "./plots.js";
import { measures } from "./series.js";
import { coloured, inGroups } from "./sets.js";

const PLOTTED = 1000; // runs in a scatter plot and its like

/** The legend: a chip for each run or group, which hides and shows it. */
export function legend(holder, runs, hidden) {
  show(
    holder,
    runs.map((run) =>
      h(
        "span",
        { class: hidden.includes(run.id) ? "chip off" : "chip" },
        h(
          "button",
          {
            type: "button",
            title: run.about || run.name,
            "aria-pressed": hidden.includes(run.id) ? "false" : "true",
            onclick: () =>
              set(
                {
                  hide: (hidden.includes(run.id) ? hidden.filter((id) => id !== run.id) : [...hidden, run.id]).join(
                    ",",
                  ),
                },
                { quiet: true },
              ),
          },
          h("i", { style: { background: run.colour } }),
          h("span", { class: "cut" }, run.name),
        ),
        run.info && h("a", { href: to(["run", run.id]), "aria-label": `open ${run.name}`, title: "open" }, "›"),
      ),
    ),
  );
}

/** The charts view in 'body': update(), refresh(), close(). */
export function chartsOf(body, { keys, question, selected, complain }) {
  const bar = h("div", { class: "toolbar settings" }),
    chips = h("div", { class: "chips" }),
    extra = h("div", { class: "cards" }),
    grid = h("div");
  const all = cards(grid);
  const added = plots(extra, keys);
  let asked = "",
    runs = [],
    matching = [];
  show(body, bar, chips, extra, grid);

  async function fetch() {
    const { fields } = here();
    const chosen = selected();
    const many = Number(fields.get("many")) || 10;
    const what = question();
    const text = JSON.stringify([what, chosen, many, added.wanted()]);
    if (text === asked) return;
    const narrowed = chosen.length
      ? { ...what, filter: `attributes.run_id IN (${chosen.map((id) => literal(id)).join(", ")})`, view: "ALL" }
      : what;
    const page = await api.runs(narrowed, 0, added.wanted() && !chosen.length ? PLOTTED : chosen.length || many);
    asked = text;
    matching = page.runs;
    const ordered = chosen.length
      ? chosen.map((id) => page.runs.find((run) => run.id === id)).filter(Boolean)
      : page.runs.slice(0, many);
    runs = coloured(ordered);
    complain(null);
  }

  return {
    async update() {
      try {
        await fetch();
      } catch (error) {
        if (error.name === "AbortError") return;
        complain(error);
        return;
      }
      const { fields } = here();
      const hidden = ids(fields, "hide");
      const names = measures(keys().metrics).filter((key) => runs.some((run) => run.metrics[key]));
      const by = fields.get("group");
      const placed = by ? inGroups(runs, by) : { runs, groups: runs };
      settingsBar(bar, placed.groups, names);
      if (!bar.querySelector(".add")) {
        bar.append(button("Add chart", () => attempt(added.add), { class: "add" }));
        if (!selected().length) {
          bar.append(
            choose("first", ["10", "20", "50", "100"], fields.get("many") || "10", (value) => set({ many: value })),
          );
        }
      }
      legend(chips, placed.groups, hidden);
      const seen = placed.runs.filter(({ id, group }) => !hidden.includes(group?.id || id));
      all.update({ runs: seen, keys: names });
      added.update(matching.length > runs.length ? matching : seen);
    },
    async refresh() {
      if (runs.some(({ info }) => info.status === "RUNNING")) {
        asked = "";
        await this.update();
        await all.refresh();
      }
    },
    close() {
      all.close();
      added.close();
    },
  };
}
