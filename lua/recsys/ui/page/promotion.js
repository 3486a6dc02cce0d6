// promotion.js - the two dialogs by which an alias moves: promoting a version, with what its gate says before anything
// is done, and rolling back. Both want a reason, which the registry keeps.

import { api } from "./api.js";
import { button, check, dialog, h, later, lowerIsBetter, note, number, show } from "./dom.js";

/** Heads of columns; all but the first are of numbers, and that, too, where 'all'. */
const numbers = (words, all) =>
  words.map((word, i) => h("th", { class: i || all ? "number" : "", scope: "col" }, word));

/** "+0.012" of a difference. */
const signed = (value) =>
  Number.isFinite(value) ? `${value > 0 ? "+" : value < 0 ? "−" : "±"}${number(Math.abs(value))}` : "";

function outcome(verdict) {
  if (verdict.why) return verdict.why;
  if (verdict.passed) return "passes";
  return `fails by ${number(verdict.short)}`;
}

/** A verdict in a line: what the history of a model shows. */
export const verdictLine = (verdict) =>
  h(
    "div",
    { class: "verdict" },
    h("span", { class: verdict.passed ? "gain" : "loss" }, verdict.passed ? "✓ " : "✗ "),
    `${verdict.metric} ${number(verdict.holder)} → ${number(verdict.candidate)}`,
  );

/** What the gate says, a row a metric. */
function verdicts(list, alias, holder, version) {
  const interval = (pair) =>
    Array.isArray(pair) && h("small", { class: "under" }, `${number(pair[0])} … ${number(pair[1])}`);
  const row = (one) =>
    h(
      "tr",
      { class: one.passed ? "passed" : "failed" },
      h("th", { scope: "row" }, one.metric, one.gate !== one.metric && h("small", { class: "under" }, one.gate)),
      h(
        "td",
        { class: one.passed ? "gain" : "loss" },
        h("strong", {}, `${one.passed ? "✓" : "✗"} ${outcome(one)}`),
        one.overlap === true && h("small", { class: "under" }, "the intervals overlap"),
      ),
      h("td", { class: "number" }, number(one.candidate), interval(one.candidate_interval)),
      h("td", { class: "number" }, number(one.holder), interval(one.holder_interval)),
      h("td", { class: "number" }, signed(one.difference)),
      h("td", { class: "number" }, one.bound === undefined ? "" : `${one.least ? "≥" : "≤"} ${number(one.bound)}`),
    );
  const heads = [`version ${version}`, `${alias} (${holder})`, "Difference", "Gate wants"];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "the gate" },
    h(
      "table",
      { class: "list gate" },
      h("thead", {}, h("tr", {}, numbers(["Metric"]), h("th", { scope: "col" }, "Verdict"), numbers(heads, true))),
      h("tbody", {}, list.map(row)),
    ),
  );
}

/** The other metrics of both runs, folded: no gate asks for them, yet people do. */
function others(list, version) {
  if (list.length === 0) return null;
  const row = ({ metric, candidate, holder }) => {
    const better = lowerIsBetter(metric) ? candidate < holder : candidate > holder;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, metric),
      h("td", { class: "number" }, number(holder)),
      h("td", { class: "number" }, number(candidate)),
      h(
        "td",
        { class: `number ${candidate === holder ? "" : better ? "gain" : "loss"}` },
        signed(candidate - holder),
      ),
    );
  };
  return h(
    "details",
    {},
    h("summary", {}, "All metrics of both runs ", h("small", {}, list.length)),
    h(
      "div",
      { class: "scroll short" },
      h(
        "table",
        { class: "list" },
        h("thead", {}, h("tr", {}, numbers(["Metric", "champion", `version ${version}`, "Difference"]))),
        h("tbody", {}, list.map(row)),
      ),
    ),
  );
}

const line = (label, field, about) =>
  h("label", { class: "line" }, h("span", {}, label), field, about && h("small", {}, about));

const reasonField = (placeholder) =>
  h("textarea", { name: "reason", rows: 3, required: true, "aria-label": "reason", placeholder });

/** A form in a dialog whose work may be refused: it says why and stays. */
function form(finish, parts, submit, work) {
  const refusal = h("p", { class: "complaint", role: "alert", hidden: true });
  return h(
    "form",
    {
      method: "dialog",
      onsubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        refusal.hidden = true;
        try {
          finish(await work());
        } catch (error) {
          show(refusal, error.message);
          refusal.hidden = false;
          submit.disabled = false;
        }
      },
    },
    parts,
    refusal,
    h(
      "footer",
      {},
      button("Cancel", () => finish(undefined)),
      submit,
    ),
  );
}

/** Promote a version of a model; 'scores' are metrics of both runs, { metric, candidate, holder }. Resolves to the
 * event, or undefined. */
export function promote(model, { version }, scores) {
  return dialog(
    `Promote version ${version} of ${model.name}`,
    (finish) => {
      let found = null,
        turn = 0;
      const alias = h("input", {
        name: "alias",
        value: "champion",
        required: true,
        autocomplete: "off",
        spellcheck: "false",
      });
      const gates = h("input", {
        name: "gates",
        autocomplete: "off",
        spellcheck: "false",
        placeholder: "the model's own, or what chose the epoch",
      });
      const reason = reasonField("Why this version is the better one");
      const place = h("div", { class: "found", "aria-live": "polite" });
      const override = check("Promote all the same. The record says that no gate was asked.", false, settle);
      const submit = h("button", { type: "submit", class: "main", disabled: true }, "Promote");
      const asked = () => ({ name: model.name, version, alias: alias.value.trim(), gates: gates.value.trim() });

      function settle() {
        const overridden = override.querySelector("input").checked;
        override.hidden = !found || found.passed || found.damaged;
        submit.disabled = !found || found.mine || !(found.passed || (!found.damaged && overridden));
        submit.textContent = found && !found.passed && overridden ? "Promote without a gate" : "Promote";
      }

      function tell(answer) {
        if (answer.mine) return h("p", {}, `Version ${version} is the ${asked().alias} already.`);
        if (!answer.holder && !answer.refusal)
          return h("p", {}, `No version is ${asked().alias} yet: there is nothing to compare with.`);
        if (answer.gate) return verdicts(answer.gate, asked().alias, answer.holder, version);
        return h("p", { class: "complaint" }, answer.refusal);
      }

      async function look() {
        const mine = ++turn;
        found = null;
        settle();
        if (!asked().alias) return show(place);
        show(place, h("p", { class: "quiet" }, "The gate is asked …"));
        try {
          const answer = await api.gate(asked());
          if (mine !== turn) return undefined;
          answer.mine = String(answer.holder) === String(version);
          found = answer;
          show(place, tell(answer));
        } catch (error) {
          if (mine === turn) show(place, h("p", { class: "complaint" }, error.message));
        }
        return settle();
      }

      const again = later(300, look);
      alias.addEventListener("input", again);
      gates.addEventListener("input", again);
      look();
      const work = async () => {
        const no_gate = !found.passed;
        const { event } = await api.promote({ ...asked(), reason: reason.value, ...(no_gate ? { no_gate } : {}) });
        note(`Version ${version} is ${event.alias}.`);
        return event;
      };
      const parts = [
        h("div", { class: "pair" }, line("Alias", alias), line("Gates", gates, "such as ndcg_10 recall_50:-1%")),
        place,
        override,
        others(scores, version),
        line("Reason", reason),
      ];
      return form(finish, parts, submit, work);
    },
    "wide",
  );
}

/** Give one of these aliases of a model back to the version that had it before. Resolves to the event, or
 * undefined. */
export function rollback(model, aliases) {
  return dialog(`Roll ${model.name} back`, (finish) => {
    let turn = 0;
    const first = aliases.includes("champion") ? "champion" : aliases[0];
    const alias = h(
      "select",
      { name: "alias", onchange: () => look() },
      aliases.map((one) => h("option", { value: one, selected: one === first }, one)),
    );
    const reason = reasonField("What is wrong with the version of now");
    const place = h("div", { class: "found", "aria-live": "polite" });
    const submit = h("button", { type: "submit", class: "main", disabled: true }, "Roll back");

    async function look() {
      const mine = ++turn;
      submit.disabled = true;
      try {
        const { from, to } = await api.before(model.name, alias.value);
        if (mine !== turn) return;
        show(
          place,
          h(
            "p",
            { class: "move" },
            h("span", { class: "chip champion" }, alias.value),
            h("span", {}, from ? `version ${from}` : "no version"),
            h("span", { "aria-label": "to" }, "→"),
            h("strong", {}, `version ${to}`),
          ),
          h("p", { class: "quiet" }, "No gate is asked; its bundle must be whole and answer."),
        );
        submit.textContent = `Roll back to version ${to}`;
        submit.disabled = false;
      } catch (error) {
        if (mine === turn) show(place, h("p", { class: "complaint" }, error.message));
      }
    }

    look();
    const work = async () => {
      const { event } = await api.rollback({ name: model.name, alias: alias.value, reason: reason.value });
      note(`Version ${event.to} is ${event.alias} again.`);
      return event;
    };
    return form(finish, [line("Alias", alias), place, line("Reason", reason)], submit, work);
  });
}
