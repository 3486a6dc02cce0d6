// serve.js - try a user: what is recommended to him and why, what he did, and what a click changes.

import { Refusal, ask, keep } from "./ask.js";
import { count, field, fill, later, made, score, time } from "./made.js";

const SHOWN = 20, OFFERED = 12, STALE = 2 * 24 * 3600 * 1000; // ms
const at = (id) => document.getElementById(id);

const state = {
  who: "user", user: "", fields: {}, session: [], k: 10, lambda: 1, unseen: true, conditions: [],
  schema: null, offers: null, past: null, now: NaN,
  kept: true, // whether the token may see and change what is kept of people
  before: null, wanted: 0,
};

/* ---- the address keeps who asks ---- */

function read() {
  const query = new URLSearchParams(location.hash.slice(1));
  state.who = ["user", "new", "session"].includes(query.get("who")) ? query.get("who") : "user";
  state.user = query.get("user") ?? "";
  state.k = Math.min(Math.max(Number(query.get("k")) || 10, 1), 100);
}

function write() {
  const query = new URLSearchParams({ who: state.who, user: state.user, k: state.k });
  history.replaceState(null, "", `#${query}`);
}

function say(text) {
  at("said").textContent = text;
}

/* ---- the bar ---- */

function showBar(answer, took) {
  const facts = [];
  if (answer) {
    facts.push(made("span.chip.champion", { title: "the version that answered" }, answer.model_version ?? "model"));
    const ms = answer.latency_ms;
    facts.push(made("span", { title: "in the server, and until it was here" },
      ms === undefined ? null : `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`,
      made("span.less", {}, `${ms === undefined ? "" : ", "}${took.toFixed(0)} ms here`)));
  }
  if (state.schema) {
    facts.push(made("span.less", {}, `${count(state.schema.users)} users, ${count(state.schema.items)} items`));
  }
  fill(at("bar"), made("span.brand", {}, "recsys-run"), made("div.facts", {}, facts), made("span.space"),
    made("a", { href: "openapi.json" }, "API"));
}

/* ---- who asks ---- */

function whoSwitch() {
  const names = { user: "A user", new: "Somebody new", session: "A session" };
  return made("div.switch", { role: "group", "aria-label": "Who asks" }, Object.entries(names).map(([who, name]) =>
    made("button", { type: "button", "aria-pressed": String(state.who === who), click: () => choose(who) }, name)));
}

function choose(who) {
  state.who = who;
  if (who === "user") state.user ||= state.offers?.[0] ?? "";
  state.before = null;
  show();
  refresh();
}

function become(user) {
  state.user = user;
  state.before = null;
  at("user").value = user;
  refresh();
}

function showOffers(users) {
  const offers = at("offers");
  if (offers && !state.kept) fill(offers, made("li.quiet", {}, "This token may not list users: type an id."));
  if (!offers || !users || !state.kept) return;
  fill(offers, users.map((id) =>
    made("li", {}, made("button", { type: "button", title: id, click: () => become(id) }, id))));
  if (!users.length) fill(offers, made("li.quiet", {}, "No user has that in the id."));
}

async function offer(like) {
  const query = like ? `?limit=${OFFERED}&like=${encodeURIComponent(like)}` : `?limit=${OFFERED}`;
  try {
    const { value } = await ask("GET", `users${query}`);
    state.offers = value.users;
    showOffers(value.users);
    if (!state.user && state.who === "user" && value.users.length) become(value.users[0]);
  } catch (refusal) {
    if (!isKept(refusal)) return complain(refusal);
    showOffers();
    if (!state.user && state.who === "user") {
      fill(at("found"), made("div.empty", {}, "Type a user's id, or try somebody new."));
    }
  }
}

const search = later(150, offer);
const refreshSoon = later(200, () => refresh());

function userPane() {
  return [
    made("input.wide", { id: "user", type: "search", placeholder: "User id", "aria-label": "User id", value: state.user,
      autocomplete: "off", spellcheck: "false", input: (event) => search(event.target.value),
      change: (event) => event.target.value && become(event.target.value) }),
    made("ul.pills", { id: "offers", "aria-label": "Users to try" }),
  ];
}

function newPane() {
  const fields = state.schema?.user_fields ?? [];
  return [
    made("p.remark", {}, "Scored by the features below, as training would have seen them; what is left empty is missing."),
    ...fields.map(({ name, type }) => field(name, made("input", {
      name, type: type === "number" ? "number" : "text", step: "any", value: state.fields[name] ?? "",
      placeholder: type === "strings" ? "a, b, c" : "",
      input: (event) => {
        state.fields[name] = event.target.value;
        refreshSoon();
      },
    }))),
    fields.length ? null : made("p.remark", {}, "This model reads no field of a user but his id."),
  ];
}

function sessionPane() {
  return [
    made("p.remark", {}, "What somebody read just now, the last one last: “read” puts an item here."),
    made("ul.pills", {}, state.session.map(({ id, title }, i) => made("li", {}, made("button", { type: "button", title:
      "take it out", click: () => {
      state.session.splice(i, 1);
      show();
      refresh();
    } }, `${title || id} ×`)))),
    state.session.length ? null : made("p.quiet", {}, "Nothing yet."),
  ];
}

function conditionRow(condition, i) {
  const attributes = state.schema?.attributes ?? [];
  const values = attributes.find(({ name }) => name === condition.name)?.values ?? [];
  const options = attributes.map(({ name }) =>
    made("option", { value: name, selected: name === condition.name }, name));
  const change = (key) => (event) => {
    condition[key] = event.target.value;
    if (key === "name") condition.value = "";
    show();
    refresh();
  };
  return made("div.condition", {},
    made("select", { "aria-label": "Attribute", change: change("name") }, options),
    made("input", { "aria-label": `Value of ${condition.name}`, value: condition.value, list: `values-${i}`,
      placeholder: "any", change: change("value") }),
    made("button.plain", { type: "button", "aria-label": "Take the filter out", click: () => {
      state.conditions.splice(i, 1);
      show();
      refresh();
    } }, "×"),
    made("datalist", { id: `values-${i}` }, values.map((value) => made("option", { value }))));
}

function rulesPanel() {
  const attributes = state.schema?.attributes ?? [];
  const shownLambda = made("output", {}, state.lambda === 1 ? "none" : (1 - state.lambda).toFixed(2));
  return made("div.panel.stack", {},
    made("h2", {}, "Rules"),
    field("How many", made("input", { type: "number", min: 1, max: 100, value: state.k, id: "k", change: (event) => {
      state.k = Math.min(Math.max(Math.round(Number(event.target.value)) || 10, 1), 100);
      refresh();
    } })),
    field("Diversity", made("input", { type: "range", min: 0, max: 0.9, step: 0.05, value: 1 - state.lambda,
      id: "diversity", input: (event) => {
        state.lambda = 1 - Number(event.target.value);
        shownLambda.value = state.lambda === 1 ? "none" : (1 - state.lambda).toFixed(2);
        refreshSoon();
      } }), shownLambda),
    made("label.check", {}, made("input", { type: "checkbox", id: "unseen", checked: state.unseen, change: (event) => {
      state.unseen = event.target.checked;
      refresh();
    } }), "only what was not seen"),
    state.conditions.map(conditionRow),
    attributes.length ? made("div", {}, made("button", { type: "button", id: "filter", click: () => {
      state.conditions.push({ name: (attributes.find(({ values }) => values) ?? attributes[0]).name, value: "" });
      show();
    } }, "Add a filter")) : null);
}

function show() {
  const panes = { user: userPane, new: newPane, session: sessionPane };
  fill(at("who"), made("div.panel.stack", {}, made("h2", {}, "Who asks"), whoSwitch(), panes[state.who]()),
    rulesPanel());
  if (state.who === "user") showOffers(state.offers);
  if (state.who === "user" && !state.offers && state.kept) offer("");
}

/* ---- what is asked ---- */

function fieldsOf() {
  const fields = {};
  for (const { name, type } of state.schema?.user_fields ?? []) {
    const text = (state.fields[name] ?? "").trim();
    if (!text) continue;
    fields[name] = type === "number" ? Number(text) : type === "strings" ? text.split(/\s*,\s*/) : text;
  }
  return fields;
}

function filterOf() {
  const filter = {};
  for (const { name, value } of state.conditions) {
    if (value === "") continue;
    const type = state.schema.attributes.find((attribute) => attribute.name === name)?.type;
    const number = type === "number" || type === "time" ? Number(value) : NaN; // a time may be a date, too
    const values = (Number.isNaN(number) ? value.split(/\s*,\s*/) : [number]).concat(filter[name] ?? []);
    filter[name] = values.length === 1 ? values[0] : values;
  }
  return Object.keys(filter).length ? filter : undefined;
}

function request() {
  const body = { k: state.k, exclude_seen: state.unseen, filter: filterOf() };
  if (state.lambda < 1) body.diversity = { lambda: Number(state.lambda.toFixed(2)) };
  if (state.who === "user") body.user = state.user;
  if (state.who === "new") body.fields = fieldsOf();
  if (state.who === "session") body.history = state.session.map(({ id }) => id);
  return body;
}

/* ---- what is found ---- */

const sources = { model: "model", popular: "popular" };

/** The title of an item that he has engaged with, where it is among those that are shown; else its id. */
function titled(id) {
  const known = state.past?.history.find(({ item }) => item === id) ?? state.session.find((item) => item.id === id);
  return known?.title || id;
}

function reasonText({ kind, item, cosine, score, boost, place, segment }) {
  if (kind === "like") return `like “${titled(item)}” (${(cosine ?? score).toFixed(2)})`;
  if (kind === "fresh") return `fresh (+${score(boost)})`;
  if (kind !== "popular") return kind;
  const of = segment ? ` with ${Object.entries(segment).map(([name, value]) => `${name} ${value}`).join(", ")}` : "";
  return `no. ${place} in popularity${of}`;
}

function movedBy(item) {
  if (!state.before) return null;
  const before = state.before.indexOf(item.id);
  if (before < 0) return made("span.moved.gain", {}, "new");
  const by = before + 1 - item.rank;
  if (by === 0) return null;
  return by > 0 ? made("span.moved.gain", {}, `▲${by}`) : made("span.moved.loss", {}, `▼${-by}`);
}

function bar(item, least, most) {
  const inner = made("span");
  const share = most > least ? (item.score - least) / (most - least) : 1;
  inner.style.width = `${Math.round(4 + 96 * share)}%`;
  return made("div.bar", { "aria-hidden": "true" }, inner);
}

function itemRow(item, least, most, acts) {
  const fresh = state.before && !state.before.includes(item.id);
  const why = [made("span.source", {}, sources[item.source] ?? item.source ?? "")]
    .concat((item.reasons ?? []).map((reason) => made("span", {}, reasonText(reason))));
  return made(fresh ? "li.item.new" : "li.item", { "data-id": item.id },
    made("span.rank", {}, String(item.rank)),
    made("div", {}, made("div.title", {}, item.title || item.id), item.title ? made("span.id", {}, item.id) : null),
    made("span.amount", { title: "score" }, score(item.score), movedBy(item)),
    made("div.why", {}, why),
    acts ? made("div.acts", {}, acts(item)) : null,
    bar(item, least, most));
}

function list(items, acts) {
  const scores = items.map((item) => item.score);
  const least = Math.min(...scores), most = Math.max(...scores);
  return made("ol.items", {}, items.map((item) => itemRow(item, least, most, acts)));
}

function acts(item) {
  const name = item.title || item.id, reads = state.kept || state.who === "session";
  return [
    made("button.plain", { type: "button", "data-act": "similar", "aria-label": `Similar to ${name}`,
      click: () => similar(item) }, "similar"),
    reads && made("button.plain", { type: "button", "data-act": "read", "aria-label": `Read ${name}`,
      click: () => click(item) }, "read"),
  ].filter(Boolean);
}

const fallbacks = {
  unknown_user: "The model knows nothing of who asks: these are popular.",
  no_score: "The model gave no finite scores: these are popular.",
};

function remarks(answer) {
  const left = answer.filtered ?? {}, lines = [];
  if (answer.fallback) lines.push(made("p.remark.warn", {}, fallbacks[answer.fallback] ?? answer.fallback));
  if (answer.missing || answer.items.length < state.k) {
    lines.push(made("p.remark.warn", {}, `${answer.items.length} of ${state.k}: ${answer.missing === "caps"
      ? "the caps leave no more." : "what was seen and the rules leave no more."}`));
  }
  if (left.seen || left.rule) {
    lines.push(made("p.remark", {}, `Left out: ${count(left.seen ?? 0)} seen, ${count(left.rule ?? 0)} by rules.`));
  }
  return lines;
}

function titleOf() {
  if (state.who === "user") return `For ${state.user}`;
  return state.who === "new" ? "For somebody new" : "For this session";
}

function showFound(answer) {
  fill(at("found"), made("div.head", {}, made("h1", {}, titleOf()),
    Number.isFinite(answer.now) ? made("span.remark", {}, `as of ${time(answer.now)} UTC`) : null),
  remarks(answer),
  answer.items.length ? list(answer.items, acts) : made("div.empty", {}, "Nothing is left to recommend."));
}

/** Whether it says that the token does not reach to what is kept, which the page then does without. */
function isKept(refusal) {
  if (refusal.status !== 403) return false;
  state.kept = false;
  return true;
}

/** Tell beside an item why a click on it came to nothing: the list stands. */
function complainAt(item, refusal) {
  if (!(refusal instanceof Refusal)) throw refusal;
  if (refusal.status === 401) return askToken(refusal);
  const row = at("found").querySelector(`[data-id="${CSS.escape(item.id)}"]`);
  row?.querySelector(".complaint")?.remove();
  row?.append(made("p.complaint", { role: "alert" }, refusal.message));
}

function complain(refusal) {
  if (!(refusal instanceof Refusal)) throw refusal;
  if (refusal.status === 401) return askToken(refusal);
  fill(at("found"), made("div.panel", {}, made("p.complaint", { role: "alert" }, refusal.message),
    made("button", { type: "button", click: () => refresh() }, "Try again")));
}

function askToken(refusal) {
  const input = made("input", { type: "password", "aria-label": "Token", autocomplete: "off" });
  fill(at("found"), made("form.panel.stack", { submit: (event) => {
    event.preventDefault();
    keep(input.value.trim());
    begin();
  } }, made("h2", {}, "This server asks for a token"), made("p.remark", {}, refusal.message), input,
  made("div", {}, made("button.main", {}, "Use it"))));
}

/* ---- what he did ---- */

function showPast() {
  const past = state.past;
  if (state.who === "user" && state.user && !state.kept) {
    return fill(at("past"), made("div.panel", {}, made("h2", {}, "History"),
      made("p.quiet", {}, "This token may not see histories: they want one with the scope “write”.")));
  }
  if (state.who !== "user" || !past) return fill(at("past"));
  const rows = past.history.map(({ item, title, time: when }) => made("li", {}, title || item,
    made("small", {}, `${time(when)}${title ? ` · ${item}` : ""}`)));
  fill(at("past"), made("div.panel", {}, made("h2", {}, "History", made("small", {}, count(past.events))),
    past.in_model ? null : made("p.remark", {}, "Training did not know this user."),
    rows.length ? made("ol.past", {}, rows) : made("p.quiet", {}, "Nothing that the server knows of.")));
}

async function loadPast() {
  state.past = null;
  if (state.who === "user" && state.user && state.kept) {
    try {
      state.past = (await ask("POST", "users/lookup", { user: state.user, limit: SHOWN })).value;
    } catch (refusal) {
      if (!isKept(refusal)) throw refusal;
      showOffers();
    }
  }
  showPast();
}

/* ---- acts ---- */

async function similar(item) {
  const dialog = made("dialog", { "aria-label": `Similar to ${item.title || item.id}`, close: () => dialog.remove() });
  document.body.append(dialog);
  const close = made("button", { type: "button", click: () => dialog.close() }, "Close");
  const head = made("header", {}, made("h2", {}, `Like “${item.title || item.id}”`), close);
  fill(dialog, head, made("p.quiet", {}, "…"));
  dialog.showModal();
  try {
    const { value } = await ask("POST", "similar", { item: item.id, k: 10 });
    const found = value.items;
    const before = state.before;
    state.before = null;
    fill(dialog, head, found.length ? list(found) : made("p.empty", {}, "Nothing is like it."));
    state.before = before;
  } catch (refusal) {
    fill(dialog, head, made("p.complaint", { role: "alert" }, refusal.message));
  }
}

/** A click, at the moment that the list is of where the server's events are long past. */
async function click(item) {
  if (state.who === "session") {
    state.session.push({ id: item.id, title: item.title });
    show();
    return refresh(true);
  }
  const old = Number.isFinite(state.now) && Date.now() - state.now > STALE;
  const user = state.who === "user" ? state.user : `visitor-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  try {
    await ask("POST", "events", { user, item: item.id, type: "click", time: old ? state.now : undefined });
  } catch (refusal) {
    return complainAt(item, refusal);
  }
  say(`${item.title || item.id} was read`);
  if (state.who === "new") {
    state.who = "user";
    state.user = user;
    show();
  }
  return refresh(true);
}

/** Ask anew; 'compare': and show what has moved. */
async function refresh(compare) {
  const asked = ++state.wanted;
  write();
  if (state.who === "user" && !state.user) return;
  try {
    const [{ value, took }] = await Promise.all([ask("POST", "recommend", request()), loadPast()]);
    if (asked !== state.wanted) return;
    if (!compare) state.before = null;
    showBar(value, took);
    showFound(value);
    state.now = value.now;
    state.before = value.items.map(({ id }) => id);
    say(`${value.items.length} recommendations`);
  } catch (refusal) {
    if (asked === state.wanted) complain(refusal);
  }
}

async function begin() {
  read();
  state.kept = true;
  showBar();
  try {
    state.schema = (await ask("GET", "schema")).value;
  } catch (refusal) {
    return complain(refusal);
  }
  showBar();
  show();
  return refresh();
}

addEventListener("hashchange", begin);
begin();
