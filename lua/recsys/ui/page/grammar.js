// grammar.js - MLflow's filter grammar as far as the page needs it: writing names and values, and completing what
// is typed. A filter is 'condition AND condition ...'; the server alone decides whether one is valid.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** An entity and a key as the grammar reads them: metrics.loss, metrics.`valid/loss`. */
export const name = (entity, key) =>
  `${entity}.${PLAIN.test(key) ? key : key.includes("`") ? `"${key}"` : `\`${key}\``}`;

/** A text as a literal; the grammar knows no escapes, so the quotes are those that the text lacks. */
export const literal = (text) => (text.includes("'") ? `"${text}"` : `'${text}'`);

/** All of these conditions; empty ones say nothing. */
export const all = (...conditions) => conditions.filter(Boolean).join(" AND ");

const ATTRIBUTES = ["status", "start_time", "end_time", "run_name", "run_id", "user_id", "artifact_uri"];
const STATES = ["'RUNNING'", "'FINISHED'", "'FAILED'", "'KILLED'", "'SCHEDULED'"];
const NUMBERS = [">", ">=", "<", "<=", "=", "!="];
const TEXTS = ["=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"];

const TOKEN = /\s*("[^"]*"?|`[^`]*`?|'[^']*'?|[<>!]=|[<>=]|(?:[\w.\-/:]|\.(?=[`"])|`[^`]*`|"[^"]*")+|.)/gy;

/** The tokens before the cursor, each { text, from }. */
function tokens(text) {
  const list = [];
  TOKEN.lastIndex = 0;
  for (let match; TOKEN.lastIndex < text.length && (match = TOKEN.exec(text));) {
    const from = match.index + match[0].length - match[1].length;
    if (match[1].trim()) list.push({ text: match[1], from });
  }
  // a key in quotes belongs to the entity and its dot before it
  for (let i = 1; i < list.length; i++) {
    if (/\.$/.test(list[i - 1].text) && list[i - 1].from + list[i - 1].text.length === list[i].from) {
      list[i - 1].text += list[i].text;
      list.splice(i--, 1);
    }
  }
  return list;
}

const entityOf = (word) => word.split(".")[0].toLowerCase();
const bare = (word) =>
  word
    .replace(/^[^.]*\./, "")
    .replace(/[`"]/g, "")
    .toLowerCase();

function names(keys) {
  return [
    ...(keys.metrics || []).map((key) => name("metrics", key)),
    ...(keys.params || []).map((key) => name("params", key)),
    ...ATTRIBUTES.map((key) => `attributes.${key}`),
    ...(keys.tags || []).map((key) => name("tags", key)),
  ];
}

function operators(left) {
  const entity = entityOf(left),
    key = bare(left);
  if (entity.startsWith("metric") || key.endsWith("_time") || key === "created") return NUMBERS;
  if (entity.startsWith("param") || entity.startsWith("tag")) return TEXTS;
  return key === "run_id" ? [...TEXTS.slice(0, 4), "IN"] : TEXTS.slice(0, 4);
}

function values(left) {
  const entity = entityOf(left);
  if (entity.startsWith("metric") || bare(left).endsWith("_time")) return [];
  return bare(left) === "status" ? STATES : ["''"];
}

/** What stands where in the conditions before the cursor: { want: "name"|"operator"|"value"|"and", left }. */
function expected(before) {
  let want = "name",
    left = "";
  for (let i = 0; i < before.length; i++) {
    const word = before[i].text;
    if (want === "name") [want, left] = ["operator", word];
    else if (want === "operator") {
      const upper = word.toUpperCase();
      if (upper === "IS" || upper === "NOT") continue;
      want = upper === "NULL" ? "and" : "value";
    } else if (want === "value") want = "and";
    else if (word.toUpperCase() === "AND") want = "name";
  }
  return { want, left };
}

/** Completions at 'cursor': { from, words }: 'from' is where the word being typed begins, which a completion
 * replaces. */
export function complete(text, cursor, keys) {
  const list = tokens(text.slice(0, cursor));
  const last = list[list.length - 1];
  const open = last && last.from + last.text.length === cursor ? last : null;
  const before = open ? list.slice(0, -1) : list;
  const { want, left } = expected(before);
  const typed = open ? open.text : "";
  const from = open ? open.from : cursor;
  const choices = { name: names(keys), operator: operators(left), value: values(left), and: ["AND"] }[want];
  const key = typed.toLowerCase(),
    inner = bare(typed);
  const ranked = choices
    .filter((word) => word !== typed)
    .map((word) => {
      const low = word.toLowerCase();
      if (low.startsWith(key)) return [0, word];
      if (
        want === "name" &&
        bare(word).includes(key.includes(".") ? inner : key.replace(/[`"]/g, "")) &&
        (!key.includes(".") || low.startsWith(entityOf(key)))
      )
        return [1, word];
      return null;
    })
    .filter(Boolean);
  ranked.sort((a, b) => a[0] - b[0]);
  return { from, words: ranked.slice(0, 12).map(([, word]) => word) };
}

/** An <input> for filters, with a list of completions under it; 'submit' gets the text when it is meant. */
export function completed(input, keysNow, list, h) {
  let found = { from: 0, words: [] },
    at = -1;
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  list.setAttribute("role", "listbox");

  function close() {
    list.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function take(word) {
    const rest = input.value.slice(input.selectionStart);
    const text = input.value.slice(0, found.from) + word + (rest.startsWith(" ") ? "" : " ");
    input.value = text + rest;
    const caret = word === "''" ? text.length - 2 : text.length;
    input.setSelectionRange(caret, caret);
    if (word === "''") close();
    else offer();
    input.focus();
  }

  function draw() {
    list.replaceChildren(
      ...found.words.map((word, i) =>
        h(
          "li",
          {
            role: "option",
            id: `${list.id}-${i}`,
            "aria-selected": i === at ? "true" : "false",
            onpointerdown: (event) => {
              event.preventDefault();
              take(word);
            },
          },
          word,
        ),
      ),
    );
    list.hidden = found.words.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (at >= 0) input.setAttribute("aria-activedescendant", `${list.id}-${at}`);
  }

  function offer() {
    found = complete(input.value, input.selectionStart, keysNow());
    at = -1;
    draw();
  }

  input.addEventListener("input", offer);
  input.addEventListener("focus", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const n = found.words.length;
      at = event.key === "ArrowDown" ? (at + 1) % n : (at <= 0 ? n : at) - 1;
      draw();
    } else if (event.key === "Tab" && found.words.length && input.value) take(found.words[Math.max(at, 0)]);
    else if (event.key === "Enter" && at >= 0) {
      take(found.words[at]);
      event.stopImmediatePropagation();
    } else if (event.key === "Enter") return close();
    else if (event.key === "Escape") {
      close();
      event.stopPropagation();
    } else return;
    event.preventDefault();
  });
  return { close };
}
