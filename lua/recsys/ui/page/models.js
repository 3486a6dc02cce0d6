// models.js - the registry: models, their versions, what each scored, which has which alias, and promoting one.

import { api } from "./api.js";
import {
  ago,
  ask,
  attempt,
  button,
  h,
  isNeutral,
  moment,
  number,
  outward,
  show,
  confirm,
} from "./dom.js";
import { literal } from "./grammar.js";
import { markdown } from "./markdown.js";
import { here, set, to } from "./place.js";
import { promote, rollback, verdictLine } from "./promotion.js";
import { byRank, measures } from "./series.js";

const SHOWN = 4; // metrics beside each version
const OURS = "recsys."; // what the registry notes by itself, as tags
const AUDIT = "recsys.audit."; // of a model: who did what to its aliases, an event as JSON each

const pairsOf = (tags) => (Array.isArray(tags) ? tags : []).map(({ key, value }) => [key, value]);

const tagsOf = (pairs) =>
  pairs.map(([key, value]) => h("div", { class: "tag" }, h("b", {}, key.replace(OURS, "")), " ", outward(value)));

const folded = (title, content) =>
  content.length > 0 && h("details", {}, h("summary", {}, title, " ", h("small", {}, content.length)), content);

/** What was done to the aliases of a model, the newest first. */
function events(model) {
  const list = [];
  for (const [key, value] of pairsOf(model.tags)) {
    if (!key.startsWith(AUDIT)) continue;
    try {
      list.push({ key, ...JSON.parse(value) });
    } catch {
      list.push({ key, reason: value });
    }
  }
  return list.sort((a, b) => (a.key < b.key ? 1 : -1));
}

function history(model) {
  const list = events(model);
  if (list.length === 0) return null;
  const words = ["When", "Who", "What", "From", "To", "Reason", "Gate"];
  const row = ({ at, by, action, alias, from, to: version, reason, gate, ungated }) =>
    h(
      "tr",
      {},
      [moment(at), by, `${action || ""} ${alias || ""}`, from, version].map((cell) =>
        h("td", { class: "line" }, String(cell ?? "")),
      ),
      h("td", { class: "wrap" }, String(reason ?? "")),
      h(
        "td",
        { class: "wrap" },
        ungated ? h("span", { class: "chip warn" }, "not gated") : (Array.isArray(gate) ? gate : []).map(verdictLine),
      ),
    );
  return h(
    "section",
    { class: "box" },
    h("h2", {}, "History"),
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
            words.map((word) => h("th", {}, word)),
          ),
        ),
        h("tbody", {}, list.map(row)),
      ),
    ),
  );
}

/** The aliases that an event has moved: those that can be rolled back. */
const movedAliases = (model) => [
  ...new Set(
    events(model)
      .filter(({ action, alias }) => typeof alias === "string" && action !== "no alias")
      .map(({ alias }) => alias),
  ),
];

export function open(main) {
  let models = [],
    model = null,
    versions = [],
    runs = new Map();

  const chip = (alias, version) =>
    h(
      "span",
      { class: alias === "champion" ? "chip champion" : "chip" },
      alias,
      version && h("small", {}, ` v${version}`),
    );

  function aliasesOf(one) {
    return (one.aliases || []).map(({ alias, version }) => chip(alias, version));
  }

  function drawList() {
    const { fields } = here();
    const wanted = (fields.get("find") || "").toLowerCase();
    const shown = models.filter(({ name }) => name.toLowerCase().includes(wanted));
    const newest = (one) => Math.max(0, ...(one.latest_versions || []).map(({ version }) => Number(version)));
    const rows = shown.map((one) =>
      h(
        "tr",
        {},
        h("td", { class: "name" }, h("a", { href: to(["models", one.name]) }, one.name)),
        h("td", { class: "number" }, newest(one) || ""),
        h("td", {}, aliasesOf(one)),
        h("td", {}, ago(one.last_updated_timestamp)),
        h("td", { class: "quiet" }, (one.description || "").split("\n")[0].slice(0, 120)),
      ),
    );
    const search = h("input", {
      type: "search",
      placeholder: "Search models",
      "aria-label": "search models",
      value: fields.get("find") || "",
      oninput: ({ target }) => {
        set({ find: target.value }, { still: true });
        show(body, rowsNow());
      },
    });
    const body = h("tbody", {}, rows);
    const rowsNow = () =>
      rows.filter((row, i) => shown[i].name.toLowerCase().includes((here().fields.get("find") || "").toLowerCase()));
    show(
      main,
      h("div", { class: "toolbar" }, h("h1", {}, "Models"), search, h("span", { class: "space" })),
      models.length === 0
        ? h("p", { class: "empty" }, "No model yet: a recipe that publishes registers one.")
        : h(
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
                  ["Name", "Latest", "Aliases", "Last change", "About"].map((word) =>
                    h("th", { scope: "col", class: word === "Latest" ? "number" : "" }, word),
                  ),
                ),
              ),
              body,
            ),
          ),
    );
  }

  async function describe() {
    const answer = await ask("About this model", [
      { name: "text", label: "Markdown", value: model.description || "", lines: 8 },
    ]);
    if (answer && (await attempt(() => api.describeModel(model.name, answer.text)))) reload();
  }

  async function describeVersion(one) {
    const answer = await ask(`Version ${one.version}`, [
      { name: "text", label: "Notes, Markdown", value: one.description || "", lines: 6 },
    ]);
    if (answer && (await attempt(() => api.describeVersion(model.name, one.version, answer.text)))) reload();
  }

  async function promoteVersion(one) {
    const done = await promote(model, one, others(one));
    if (done) reload();
  }

  async function goBack() {
    if (await rollback(model, movedAliases(model))) reload();
  }

  /** The scores of the version's run beside those of the champion's: what a person wants to see before promoting. */
  function others(one) {
    const holder = (model.aliases || []).find(({ alias }) => alias === "champion")?.version;
    const [mine, theirs] = [one.run_id, versions.find(({ version }) => version === String(holder))?.run_id].map((id) =>
      runs.get(id),
    );
    if (!mine || !theirs || mine === theirs) return [];
    return metricNames()
      .filter((key) => mine.metrics[key] && theirs.metrics[key])
      .map((key) => ({ metric: key, candidate: mine.metrics[key].last, holder: theirs.metrics[key].last }));
  }

  async function addAlias(one) {
    const about = "It is set by hand: no gate is asked.";
    const answer = await ask(
      `Alias of version ${one.version}`,
      [{ name: "alias", label: "Alias", required: true }],
      "Set",
      about,
    );
    if (answer && (await attempt(() => api.setAlias(model.name, answer.alias, one.version)))) reload();
  }

  async function dropAlias(alias) {
    const about = `“${alias}” will name no version of ${model.name}.`;
    const sure = await confirm("Take the alias away", about, "Take away");
    if (sure && (await attempt(() => api.deleteAlias(model.name, alias)))) reload();
  }

  function metricNames() {
    const all = measures([...new Set([...runs.values()].flatMap((run) => Object.keys(run.metrics)))]).filter(
      (key) => !isNeutral(key),
    );
    return all.sort(byRank);
  }

  function versionRow(one, names) {
    const run = runs.get(one.run_id);
    const aliases = (model.aliases || [])
      .filter(({ version }) => String(version) === one.version)
      .map(({ alias }) => alias);
    const tags = pairsOf(one.tags);
    return h(
      "tr",
      { dataset: { version: one.version } },
      h("td", { class: "name" }, h("strong", {}, `Version ${one.version}`)),
      h(
        "td",
        {},
        aliases.map((alias) =>
          h(
            "span",
            { class: alias === "champion" ? "chip champion" : "chip" },
            alias,
            button("×", () => dropAlias(alias), { class: "plain", "aria-label": `take ${alias} away` }),
          ),
        ),
        button("+", () => addAlias(one), { class: "plain", title: "set an alias", "aria-label": "set an alias" }),
      ),
      h(
        "td",
        { class: "actions" },
        button("Promote", () => promoteVersion(one)),
        button("Notes", () => describeVersion(one), { class: "plain" }),
      ),
      names.map((key) => h("td", { class: "number" }, run?.metrics[key] ? number(run.metrics[key].last) : "")),
      h("td", { title: moment(one.creation_timestamp) }, ago(one.creation_timestamp)),
      h("td", {}, one.user_id || run?.info.user_id || ""),
      h("td", {}, one.run_id && h("a", { href: to(["run", one.run_id]) }, run?.name || one.run_id.slice(0, 8))),
      h(
        "td",
        { class: "notes" },
        one.description && markdown(one.description),
        tagsOf(tags.filter(([key]) => !key.startsWith(OURS))),
        folded("lineage", tagsOf(tags.filter(([key]) => key.startsWith(OURS)))),
      ),
    );
  }

  function drawModel() {
    const names = metricNames().slice(0, SHOWN);
    const compared = versions
      .map(({ run_id }) => run_id)
      .filter((id) => runs.has(id))
      .slice(0, 20);
    show(
      main,
      h("p", { class: "crumbs" }, h("a", { href: to(["models"]) }, "Models")),
      h(
        "div",
        { class: "toolbar" },
        h("h1", {}, model.name),
        aliasesOf(model),
        h("span", { class: "space" }),
        h(
          "span",
          { class: "together" },
          compared.length > 1 &&
            h("a", { class: "button", href: to(["compare"], { runs: compared.join(",") }) }, "Compare versions"),
          movedAliases(model).length > 0 && button("Roll back", goBack),
        ),
      ),
      h(
        "section",
        { class: "box" },
        h("h2", {}, "About", button(model.description ? "Edit" : "Write", describe, { class: "plain" })),
        model.description ? markdown(model.description) : h("p", { class: "quiet" }, "Nothing was written yet."),
        tagsOf(pairsOf(model.tags).filter(([key]) => !key.startsWith(OURS))),
      ),
      versions.length === 0
        ? h("p", { class: "empty" }, "No versions.")
        : h(
            "div",
            { class: "scroll" },
            h(
              "table",
              { class: "list versions" },
              h(
                "thead",
                {},
                h(
                  "tr",
                  {},
                  [
                    h("span", { class: "hidden" }, "Version"),
                    "Aliases",
                    h("span", { class: "hidden" }, "Actions"),
                    ...names.map((name) => h("span", { class: "right" }, name)),
                    "Created",
                    "By",
                    "Run",
                    "Notes",
                  ].map((word) => h("th", {}, word)),
                ),
              ),
              h(
                "tbody",
                {},
                versions.map((one) => versionRow(one, names)),
              ),
            ),
          ),
      history(model),
    );
  }

  async function fetch(name) {
    [model, versions] = await Promise.all([api.model(name), api.versions(`name=${literal(name)}`)]);
    versions.sort((a, b) => Number(b.version) - Number(a.version));
    versions.forEach((one) => {
      one.version = String(one.version);
    });
    const ids = [...new Set(versions.map(({ run_id }) => run_id).filter(Boolean))].slice(0, 100);
    runs = new Map();
    if (ids.length) {
      const page = await api
        .runs({ filter: `attributes.run_id IN (${ids.map(literal).join(", ")})`, view: "ALL" }, 0, ids.length)
        .catch(() => ({ runs: [] }));
      runs = new Map(page.runs.map((run) => [run.id, run]));
    }
  }

  async function reload() {
    await fetch(model.name);
    drawModel();
  }

  async function update({ path }) {
    if (path[1]) {
      await fetch(path[1]);
      document.title = `${model.name} · recsys-run`;
      drawModel();
    } else {
      models = await api.models();
      document.title = "Models · recsys-run";
      drawList();
    }
  }

  return { update };
}
