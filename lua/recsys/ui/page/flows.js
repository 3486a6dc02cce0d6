// flows.js - runs of flows, the youngest first, and schedules. In the address: recipe, state, from.

import { api } from "./api.js";
import { ago, button, choose, h, moment, show, steady } from "./dom.js";
import { here, set, to } from "./place.js";
import { counts, STATES, stateOf, took } from "./states.js";

const PAGE = 50;
const LIVE = 3000; // ms between looks

export function open(main) {
  let page = null,
    schedules = [],
    timer;
  const place = h("div");
  show(main, place);

  const from = () => Math.max(0, Math.floor(Number(here().fields.get("from")) || 0));

  function toolbar() {
    const { fields } = here();
    const recipes = [...new Set([...(page.recipes || []), fields.get("recipe")].filter(Boolean))];
    return h(
      "div",
      { class: "toolbar" },
      h("h1", {}, "Flows"),
      choose("recipe", [["", "all"], ...recipes], fields.get("recipe") || "", (value) =>
        set({ recipe: value, from: "" }),
      ),
      choose("state", [["", "all"], ...STATES], fields.get("state") || "", (value) => set({ state: value, from: "" })),
      h("span", { class: "quiet count" }, `${page.total.toLocaleString("en")} ${page.total === 1 ? "run" : "runs"}`),
    );
  }

  function row(run) {
    return h(
      "tr",
      { dataset: { flow: run.id } },
      h("td", { class: "name" }, h("a", { href: to(["flow", run.id]), title: run.label }, run.label)),
      h("td", {}, stateOf(run.state)),
      h("td", { class: "roomy" }, run.recipe),
      h("td", { title: moment(run.started) }, ago(run.started)),
      h("td", { class: "number" }, took(run, page.now)),
      h("td", { class: "counts" }, counts(run.tasks)),
      h(
        "td",
        { class: "reason quiet roomy" },
        run.reason && h("span", { class: "cut", title: run.reason }, run.reason),
      ),
    );
  }

  const heads = ["Run", "State", "Recipe", "Started", "Took", "Tasks", "Reason"];
  const classes = { Took: "number", Recipe: "roomy", Reason: "roomy" };

  const table = () =>
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "list flows" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map((word) => h("th", { scope: "col", class: classes[word] }, word)),
          ),
        ),
        h("tbody", {}, page.runs.map(row)),
      ),
    );

  function pager() {
    const last = from() + page.runs.length;
    if (from() === 0 && last >= page.total) return null;
    return h(
      "div",
      { class: "toolbar pager" },
      button("Younger", () => set({ from: Math.max(0, from() - PAGE) || "" }), { disabled: from() === 0 }),
      button("Older", () => set({ from: from() + PAGE }), { disabled: last >= page.total }),
      h("span", { class: "quiet" }, `${from() + 1} to ${last} of ${page.total.toLocaleString("en")}`),
    );
  }

  function nothing() {
    if (page.missing)
      return h(
        "div",
        { class: "empty" },
        h("p", {}, "No recipe has run here yet: there is no flow.db beside this store."),
        h("p", {}, "A run makes one: ", h("code", {}, "recsys-run recipes/two_tower.lua")),
      );
    return h("p", { class: "empty" }, "No run of that kind.");
  }

  const scheduleRow = (one) =>
    h(
      "tr",
      {},
      h("td", { class: "name" }, one.name),
      h("td", {}, stateOf({ runs: "running", waits: "pending", stopped: "cancelled" }[one.state], one.state)),
      h("td", { class: "line" }, h("code", {}, one.cron)),
      h("td", {}, one.zone || "of the machine"),
      h("td", {}, one.next ? moment(one.next * 1000) : "–"),
      h("td", {}, one.due ? moment(one.due * 1000) : "–"),
      h(
        "td",
        {},
        one.code === undefined ? "–" : stateOf(one.code === 0 ? "completed" : "failed", `exit code ${one.code}`),
      ),
      h("td", { class: "name", title: one.recipe }, one.recipe),
    );

  const schedule = () =>
    schedules.length > 0 &&
    h(
      "section",
      { class: "box schedules" },
      h("h2", {}, "Schedules"),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "list" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Schedule", "State", "Times", "Time zone", "Next", "Last due", "Last result", "Recipe"].map((word) =>
                h("th", { scope: "col" }, word),
              ),
            ),
          ),
          h("tbody", {}, schedules.map(scheduleRow)),
        ),
      ),
    );

  function draw() {
    show(place, toolbar(), page.runs.length ? [table(), pager()] : nothing(), schedule());
  }

  async function fetch() {
    const { fields } = here();
    const asked = location.hash;
    const [runs, known] = await Promise.all([
      api.flows({ recipe: fields.get("recipe"), state: fields.get("state"), offset: from(), limit: PAGE }),
      api.schedules(),
    ]);
    if (asked !== location.hash) return;
    page = runs;
    schedules = known;
  }

  function live() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const busy = document.hidden || place.querySelector("select:focus");
      if (!busy) await fetch().then(() => steady(place, draw), () => {});
      live();
    }, LIVE);
  }

  async function update() {
    document.title = "Flows · recsys-run";
    await fetch();
    if (page) draw();
    live();
  }

  return { update, close: () => clearTimeout(timer) };
}
