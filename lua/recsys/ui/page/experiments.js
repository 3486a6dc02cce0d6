// experiments.js - the list of experiments: the first thing people see.

import { api } from "./api.js";
import { ago, ask, attempt, button, check, confirm, h, show } from "./dom.js";
import { go, here, set, to } from "./place.js";

export function open(main) {
  let all = [];
  let cursor = -1;
  const search = h("input", {
    type: "search",
    placeholder: "Search experiments",
    "aria-label": "search experiments",
    oninput: () => set({ find: search.value }, { still: true }) || draw(),
  });
  const body = h("tbody");
  const compare = button("Show together", () => go(to(["runs"], { e: chosen().join(",") })), { disabled: true });
  const deleted = check("deleted", false, (on) => set({ deleted: on }));
  show(
    main,
    h(
      "div",
      { class: "toolbar" },
      h("h1", {}, "Experiments"),
      search,
      deleted,
      h("span", { class: "space" }),
      compare,
      button("New", create),
    ),
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
            h("th", {}, h("span", { class: "hidden" }, "select")),
            h("th", {}, "Name"),
            h("th", {}, "Last change"),
            h("th", { class: "roomy" }, "Created"),
            h("th", {}, "Notes"),
            h("th", {}, h("span", { class: "hidden" }, "actions")),
          ),
        ),
        body,
      ),
    ),
  );

  const chosen = () => [...body.querySelectorAll("input:checked")].map((box) => box.value);

  async function create() {
    const answer = await ask("New experiment", [{ name: "name", label: "Name", required: true }], "Create");
    if (answer && (await attempt(() => api.createExperiment(answer.name)))) update();
  }

  async function rename(experiment) {
    const answer = await ask("Rename experiment", [
      { name: "name", label: "Name", value: experiment.name, required: true },
    ]);
    if (answer && (await attempt(() => api.renameExperiment(experiment.experiment_id, answer.name)))) update();
  }

  async function remove(experiment) {
    const sure = await confirm(
      "Delete experiment",
      `“${experiment.name}” and its runs can be restored later.`,
      "Delete",
    );
    if (sure && (await attempt(() => api.deleteExperiment(experiment.experiment_id)))) update();
  }

  async function restore(experiment) {
    if (await attempt(() => api.restoreExperiment(experiment.experiment_id))) update();
  }

  function row(experiment) {
    const id = experiment.experiment_id;
    const notes = (experiment.tags || []).find(({ key }) => key === "mlflow.note.content")?.value || "";
    const gone = experiment.lifecycle_stage === "deleted";
    return h(
      "tr",
      { dataset: { id } },
      h(
        "td",
        {},
        h("input", {
          type: "checkbox",
          value: id,
          "aria-label": `select ${experiment.name}`,
          onchange: () => {
            compare.disabled = chosen().length < 2;
          },
        }),
      ),
      h(
        "td",
        { class: "name" },
        h("a", { href: to(["runs"], { e: id, view: gone ? "DELETED_ONLY" : "" }) }, experiment.name),
      ),
      h("td", { title: experiment.last_update_time }, ago(experiment.last_update_time)),
      h("td", { class: "roomy" }, ago(experiment.creation_time)),
      h("td", { class: "quiet" }, notes.split("\n")[0].slice(0, 120)),
      h(
        "td",
        { class: "actions" },
        gone
          ? button("Restore", () => restore(experiment), { class: "plain" })
          : [
              button("Rename", () => rename(experiment), { class: "plain" }),
              id !== "0" && button("Delete", () => remove(experiment), { class: "plain" }),
            ],
      ),
    );
  }

  function draw() {
    const { fields } = here();
    const stage = fields.get("deleted") ? "deleted" : "active";
    const wanted = (fields.get("find") || "").toLowerCase();
    const shown = all.filter(
      ({ name, lifecycle_stage }) => lifecycle_stage === stage && name.toLowerCase().includes(wanted),
    );
    shown.sort((a, b) => (b.last_update_time || 0) - (a.last_update_time || 0));
    show(
      body,
      shown.map(row),
      shown.length === 0 &&
        h(
          "tr",
          {},
          h(
            "td",
            { colspan: 6, class: "empty" },
            wanted ? "No experiment has that in its name." : "Nothing here yet: run a recipe and it appears.",
          ),
        ),
    );
  }

  async function update() {
    const { fields } = here();
    document.title = "Experiments · recsys-run";
    if (document.activeElement !== search) search.value = fields.get("find") || "";
    deleted.querySelector("input").checked = Boolean(fields.get("deleted"));
    all = await api.experiments();
    draw();
  }

  function key(event) {
    const rows = [...body.querySelectorAll("tr[data-id]")];
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (step) {
      cursor = Math.max(0, Math.min(rows.length - 1, cursor + step));
      rows.forEach((one, i) => one.classList.toggle("cursor", i === cursor));
      rows[cursor]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && rows[cursor]) rows[cursor].querySelector("a").click();
    else if ((event.key === "x" || event.key === " ") && rows[cursor]) rows[cursor].querySelector("input").click();
    else return false;
    return true;
  }

  return { update, key };
}
