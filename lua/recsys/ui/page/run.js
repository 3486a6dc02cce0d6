// run.js - one run: what it was given, what it measured, its curves, files and log. In the address: tab, file, and
// the fields of cards.js.

import { api } from "./api.js";
import { artifacts } from "./artifacts.js";
import { cards, settingsBar } from "./cards.js";
import {
  ago,
  ask,
  attempt,
  best,
  button,
  colour,
  confirm,
  duration,
  h,
  lowerIsBetter,
  moment,
  note,
  number,
  outward,
  show,
  span,
  status,
  steady,
} from "./dom.js";
import { literal } from "./grammar.js";
import { markdown } from "./markdown.js";
import { here, set, to } from "./place.js";
import { byRank } from "./series.js";
import { steps } from "./steps.js";

const TABS = { overview: "Overview", metrics: "Metrics", system: "System", artifacts: "Artifacts", log: "Log" };
const LIVE = 2000; // ms between looks at a run that runs
const KEPT = 2e6; // characters of a log that stay on the page
const NOTE = "mlflow.note.content";

export function open(main) {
  let run = null,
    shown = "",
    part = null,
    timer,
    versions = [],
    experiment = null,
    flow, // the id of its flow run
    timeline = null, // the drawn steps of this run
    parent = null;
  const head = h("div", { class: "head" }),
    tabs = h("div", { class: "tabs", role: "tablist" }),
    body = h("div", { class: "body", role: "tabpanel", id: "panel" });
  tabs.addEventListener("keydown", (event) => {
    const names = Object.keys(TABS),
      at = names.indexOf(here().fields.get("tab") || "overview");
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const name = names[next % names.length];
    set({ tab: name === "overview" ? "" : name });
    document.getElementById(`tab-${name}`)?.focus();
  });
  show(main, head, tabs, body);

  async function rename() {
    const answer = await ask("Rename run", [{ name: "name", label: "Name", value: run.name, required: true }]);
    if (answer && (await attempt(() => api.updateRun(run.id, { run_name: answer.name })))) reload();
  }

  async function remove() {
    const gone = run.info.lifecycle_stage === "deleted";
    if (!gone && !(await confirm("Delete run", "It can be restored later.", "Delete"))) return;
    if (await attempt(() => (gone ? api.restoreRun(run.id) : api.deleteRun(run.id)))) reload();
  }

  async function register() {
    const answer = await ask(
      "Register a model",
      [
        { name: "name", label: "Model", required: true },
        { name: "path", label: "Artifact of this run", value: "model", required: true },
      ],
      "Register",
    );
    if (!answer) return;
    const ok = await attempt(async () => {
      await api.createModel(answer.name).catch((error) => {
        if (error.code !== "RESOURCE_ALREADY_EXISTS") throw error;
      });
      await api.createVersion({ name: answer.name, source: `runs:/${run.id}/${answer.path}`, run_id: run.id });
    });
    if (ok) {
      note("registered");
      reload();
    }
  }

  function drawHead() {
    const gone = run.info.lifecycle_stage === "deleted";
    show(
      head,
      h(
        "p",
        { class: "crumbs" },
        h("a", { href: to(["runs"], { e: run.info.experiment_id }) }, experiment?.name || "runs"),
        parent && [" › ", h("a", { href: to(["run", parent]) }, "study")],
      ),
      h(
        "div",
        { class: "toolbar" },
        h("h1", { title: run.name }, run.name),
        status(run.info.status),
        gone && h("span", { class: "chip" }, "deleted"),
        h(
          "span",
          { class: "quiet", title: moment(run.info.start_time) },
          `${ago(run.info.start_time)} · ${span(duration(run))}`,
        ),
        h("span", { class: "space" }),
        run.children > 0 &&
          h("a", { class: "button main", href: to(["study", run.id]) }, `Study of ${run.children} trials`),
        h(
          "span",
          { class: "together" },
          flow && h("a", { class: "button", href: to(["flow", flow]) }, "Flow"),
          button("Rename", rename),
          button("Register model", register),
          button(gone ? "Restore" : "Delete", remove),
        ),
      ),
    );
    const now = here().fields.get("tab") || "overview";
    body.setAttribute("aria-labelledby", `tab-${now}`);
    const focused = tabs.contains(document.activeElement);
    show(
      tabs,
      Object.entries(TABS).map(([name, text]) =>
        button(text, () => set({ tab: name === "overview" ? "" : name }), {
          role: "tab",
          id: `tab-${name}`,
          tabindex: name === now ? "0" : "-1",
          "aria-controls": "panel",
          "aria-selected": name === now ? "true" : "false",
        }),
      ),
    );
    if (focused) document.getElementById(`tab-${now}`)?.focus();
  }

  const table = (caption, heads, rows, empty) =>
    h(
      "section",
      { class: "box" },
      h("h2", {}, caption, h("small", {}, rows.length || "")),
      rows.length
        ? h(
            "div",
            { class: "scroll" },
            h(
              "table",
              { class: "list" },
              heads &&
                h(
                  "thead",
                  {},
                  h(
                    "tr",
                    {},
                    heads.map((word) => h("th", { class: /^(Last|Best|Step)$/.test(word) ? "number" : "" }, word)),
                  ),
                ),
              h("tbody", {}, rows),
            ),
          )
        : h("p", { class: "quiet" }, empty),
    );

  /** A table with a field that narrows its rows by what they say. */
  function searched(caption, heads, rows, empty) {
    const section = table(caption, heads, rows, empty);
    if (rows.length > 12) {
      section.querySelector("h2").append(
        h("input", {
          type: "search",
          placeholder: "Search",
          "aria-label": `search ${caption}`,
          oninput: ({ target }) => {
            const wanted = target.value.toLowerCase();
            rows.forEach((row) => {
              row.hidden = !row.textContent.toLowerCase().includes(wanted);
            });
          },
        }),
      );
    }
    return section;
  }

  function metricRows() {
    return Object.keys(run.metrics)
      .sort(byRank)
      .map((key) => {
        const metric = run.metrics[key];
        return h(
          "tr",
          {},
          h(
            "td",
            {},
            h(
              "a",
              {
                href: to(["run", run.id], {
                  tab: key.startsWith("system/") ? "system" : "metrics",
                  find: `^${key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`,
                }),
              },
              key,
            ),
          ),
          h("td", { class: "number", title: metric.last }, number(metric.last)),
          h("td", { class: "number", title: lowerIsBetter(key) ? "least" : "greatest" }, number(best(key, metric))),
          h("td", { class: "number" }, metric.step ?? ""),
        );
      });
  }

  async function editTag(key, value) {
    const answer = await ask(key ? "Change tag" : "Add tag", [
      ...(key ? [] : [{ name: "key", label: "Name", required: true }]),
      { name: "value", label: "Value", value, lines: 3 },
    ]);
    if (answer && (await attempt(() => api.setTag(run.id, key || answer.key, answer.value)))) reload();
  }

  async function editNote() {
    const answer = await ask("Notes", [{ name: "text", label: "Markdown", value: run.tags[NOTE] || "", lines: 12 }]);
    if (answer && (await attempt(() => api.setTag(run.id, NOTE, answer.text)))) reload();
  }

  function tagRows() {
    return Object.entries(run.tags)
      .filter(([key]) => !key.startsWith("mlflow."))
      .sort()
      .map(([key, value]) =>
        h(
          "tr",
          {},
          h("td", {}, key),
          h("td", { class: "wrap" }, outward(value)),
          h(
            "td",
            { class: "actions" },
            button("Edit", () => editTag(key, value), { class: "plain", "aria-label": `edit ${key}` }),
            button("×", async () => (await attempt(() => api.deleteTag(run.id, key))) && reload(), {
              class: "plain",
              "aria-label": `delete ${key}`,
            }),
          ),
        ),
      );
  }

  function facts() {
    const tag = (key) => run.tags[`mlflow.${key}`];
    const inputs = (run.inputs?.dataset_inputs || []).map(({ dataset, tags }) => [
      `data ${tags?.find(({ key }) => key === "mlflow.data.context")?.value || ""}`,
      `${dataset.name} ${dataset.digest}`,
    ]);
    return [
      ["started", moment(run.info.start_time)],
      ["ended", moment(run.info.end_time)],
      ["user", tag("user") || run.info.user_id],
      ["source", tag("source.name")],
      ["commit", tag("source.git.commit")],
      ...inputs,
      ["run id", run.id],
      ["artifacts", run.info.artifact_uri],
    ]
      .filter(([, value]) => value)
      .map(([key, value]) => h("tr", {}, h("td", {}, key), h("td", { class: "wrap" }, value)));
  }

  function overview() {
    const text = run.tags[NOTE];
    show(
      body,
      h(
        "div",
        { class: "boxes" },
        h(
          "section",
          { class: "box wide" },
          h("h2", {}, "Notes", button(text ? "Edit" : "Write", editNote, { class: "plain" })),
          text ? markdown(text) : h("p", { class: "quiet" }, "None yet."),
        ),
        searched("Metrics", ["Name", "Last", "Best", "Step"], metricRows(), "None yet."),
        searched(
          "Parameters",
          null,
          Object.entries(run.params)
            .sort()
            .map(([key, value]) => h("tr", {}, h("td", {}, key), h("td", { class: "wrap" }, value))),
          "None.",
        ),
        table("Run", null, facts(), ""),
        table("Tags", null, tagRows(), "None."),
        versions.length > 0 &&
          table(
            "Models",
            null,
            versions.map((version) =>
              h(
                "tr",
                {},
                h("td", {}, h("a", { href: to(["models", version.name]) }, version.name)),
                h("td", {}, `version ${version.version}`),
                h(
                  "td",
                  {},
                  (version.aliases || []).map((alias) => h("span", { class: "chip" }, alias)),
                ),
              ),
            ),
            "",
          ),
      ),
    );
    const tags = [...body.querySelectorAll("h2")].find((title) => title.textContent.startsWith("Tags"));
    tags?.append(button("Add", () => editTag("", ""), { class: "plain" }));
    drawSteps(body.querySelector(".boxes"));
  }

  /** The recipe's steps above the tables: those of before at once, so that nothing jumps, new ones when they come. */
  async function drawSteps(boxes) {
    const id = run.id;
    const place = h("section", { class: "box wide steps" }, h("h2", {}, "Steps"), timeline);
    if (timeline) boxes.firstElementChild.after(place);
    const drawn = await steps(run).catch(() => null);
    if (!drawn || run.id !== id || !boxes.isConnected) return;
    timeline = drawn;
    show(place, h("h2", {}, "Steps"), drawn);
    if (!place.isConnected) boxes.firstElementChild.after(place);
  }

  function curves(system) {
    const bar = h("div", { class: "toolbar settings" }),
      holder = h("div");
    const all = cards(holder);
    if (system) all.open("system");
    show(body, bar, holder);
    return {
      update() {
        const one = [{ ...run, colour: colour(0), index: 0 }];
        const keys = Object.keys(run.metrics)
          .filter((key) => key.startsWith("system/") === system)
          .sort();
        settingsBar(bar, one, keys);
        all.update({ runs: one, keys });
      },
      refresh: () => all.refresh(),
      close: () => all.close(),
    };
  }

  function files() {
    const view = artifacts(body, run.id, "", (path) => set({ file: path }));
    return { update: () => view.update(here().fields.get("file")), close: view.close };
  }

  function log() {
    const text = h("pre", { class: "text log", tabindex: "0", "aria-label": "log" }),
      state = h("p", { class: "quiet" });
    let offset = 0,
      busy = false,
      bottom = true;
    text.addEventListener(
      "scroll",
      () => {
        bottom = text.scrollTop + text.clientHeight >= text.scrollHeight - 20;
      },
      { passive: true },
    );
    show(body, text, state);
    async function more() {
      if (busy) return;
      busy = true;
      try {
        for (let page; (page = await api.log(run.id, offset)).text;) {
          text.append(page.text);
          offset = page.offset;
          if (text.textContent.length > KEPT) text.textContent = text.textContent.slice(-KEPT / 2);
        }
        state.textContent =
          offset === 0
            ? "This run has no log."
            : run.info.status === "RUNNING"
              ? "It runs; what it says appears here."
              : "";
      } catch (error) {
        state.textContent = error.status === 404 ? "This run has no log." : error.message;
      } finally {
        busy = false;
      }
      if (bottom) text.scrollTop = text.scrollHeight;
    }
    return { update: more, refresh: more };
  }

  const PARTS = { metrics: () => curves(false), system: () => curves(true), artifacts: files, log };

  async function draw() {
    const tab = here().fields.get("tab") || "overview";
    drawHead();
    if (tab === "overview") {
      part?.close?.();
      part = null;
      overview();
    } else if (shown !== tab || !part) {
      part?.close?.();
      part = PARTS[tab] ? PARTS[tab]() : null;
    }
    shown = tab;
    await part?.update();
  }

  async function fetch(id) {
    run = await api.run(id);
    const experiments = await api.experiments().catch(() => []);
    experiment = experiments.find(({ experiment_id: one }) => one === run.info.experiment_id);
    parent = run.tags["mlflow.parentRunId"];
    versions = await api.versions(`run_id=${literal(id)}`).catch(() => []);
    flow = run.tags["recsys.run"] && (await api.flowOf(id).catch(() => undefined));
  }

  async function reload() {
    await fetch(run.id);
    await draw();
  }

  function live() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (run?.info.status === "RUNNING" && !document.hidden && !document.querySelector("dialog[open]")) {
        const id = run.id;
        await api.run(id).then(
          (next) => {
            run = next;
          },
          () => {},
        );
        const typing = body.contains(document.activeElement) && document.activeElement.matches("input");
        if (!part && !typing && shown === "overview") await steady(body, draw).catch(() => {});
        else {
          drawHead();
          if (shown !== "artifacts") await Promise.resolve(part?.refresh?.()).catch(() => {});
        }
      }
      live();
    }, LIVE);
  }

  async function update({ path }) {
    if (!run || run.id !== path[1]) {
      part?.close?.();
      part = null;
      timeline = null;
      await fetch(path[1]);
    }
    document.title = `${run.name} · recsys-run`;
    await draw();
    live();
  }

  return {
    update,
    close: () => {
      clearTimeout(timer);
      part?.close?.();
    },
  };
}
