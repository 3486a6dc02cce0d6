// main.js - the frame around the views: the bar, the theme, the keys, and which view an address means.

import { api, onToken, Refusal } from "./api.js";
import { ask, button, dialog, h, note, show } from "./dom.js";
import { go, here, onMove, to } from "./place.js";

const VIEWS = {
  experiments: () => import("./experiments.js"),
  runs: () => import("./runs.js"),
  run: () => import("./run.js"),
  compare: () => import("./compare.js"),
  study: () => import("./study.js"),
  flows: () => import("./flows.js"),
  flow: () => import("./flow.js"),
  models: () => import("./models.js"),
};

const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

const main = document.getElementById("main");
let current = null; // { name, view }: view has update(place), and may have close() and key(event)
let turn = 0;

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("theme", theme);
  dispatchEvent(new Event("themechange"));
}

function drawBar() {
  const theme = localStorage.getItem("theme") || "";
  const next = { "": "light", light: "dark", dark: "" }[theme];
  const link = (name, text) => h("a", { href: to([name]), dataset: { view: name } }, text);
  show(
    document.getElementById("bar"),
    h("a", { class: "brand", href: to([]) }, "recsys-run"),
    h(
      "nav",
      { "aria-label": "views" },
      link("experiments", "Experiments"),
      link("flows", "Flows"),
      link("models", "Models"),
    ),
    h("span", { class: "space" }),
    button("?", keysDialog, { "aria-label": "keys", title: "keys", class: "plain" }),
    button(
      theme === "dark" ? "☾" : theme === "light" ? "☀" : "◐",
      () => {
        setTheme(next);
        drawBar();
        mark();
      },
      { "aria-label": THEMES[theme], title: THEMES[theme], class: "plain" },
    ),
  );
}

/** Show in the bar which part of the page this is. */
function mark() {
  const part = { models: "models", flows: "flows", flow: "flows" }[current?.name] || "experiments";
  for (const link of document.querySelectorAll("#bar nav a")) {
    if (link.dataset.view === part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function draw() {
  const place = here();
  const name = place.path[0] || "experiments";
  const mine = ++turn;
  if (!VIEWS[name]) {
    show(main, h("p", { class: "empty" }, `There is no view '${name}'. `, h("a", { href: to([]) }, "Experiments")));
    return;
  }
  try {
    if (current?.name !== name) {
      const module = await VIEWS[name]();
      if (mine !== turn) return;
      current?.view.close?.();
      show(main);
      scrollTo(0, 0);
      current = { name, view: module.open(main) };
      mark();
    }
    await current.view.update(place);
  } catch (error) {
    if (error.name === "AbortError" || mine !== turn) return;
    if (!(error instanceof Refusal)) console.error(error);
    show(
      main,
      h(
        "div",
        { class: "empty" },
        h("p", { role: "alert" }, error.message),
        h("p", {}, button("Try again", () => draw()), " ", h("a", { href: to([]), class: "button" }, "Experiments")),
      ),
    );
    current?.view.close?.();
    current = null;
  }
}

const KEYS = [
  ["/", "filter or search"],
  ["j, k or ↓, ↑", "next, previous row"],
  ["x or space", "select the row"],
  ["Enter", "open the row"],
  ["c", "compare the selected runs"],
  ["t, v", "table, charts"],
  ["←, → on a grip", "move the card"],
  ["g e, g f, g m", "experiments, flows, models"],
  ["Esc", "leave a field, close"],
  ["?", "this list"],
];

function keysDialog() {
  dialog("Keys", () =>
    h(
      "dl",
      { class: "keys" },
      KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]),
    ),
  );
}

let prefix = "";

function onKey(event) {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const word = prefix + event.key;
  prefix = event.key === "g" && !prefix ? "g" : "";
  if (word === "ge") go(to(["experiments"]));
  else if (word === "gf") go(to(["flows"]));
  else if (word === "gm") go(to(["models"]));
  else if (word === "?") keysDialog();
  else if (word === "/") {
    const field = main.querySelector("input[type=search]");
    if (!field) return;
    field.focus();
  } else if (!current?.view.key?.(event)) return;
  event.preventDefault();
}

onToken(async () => {
  const answer = await ask(
    "This server asks for its token",
    [{ name: "token", label: "Token", required: true }],
    "Go on",
    "It was set when recsys-run ui was started. This tab remembers it until it is closed.",
  );
  return answer?.token;
});

const given = new URLSearchParams(location.search).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname + location.hash);
}

addEventListener(
  "unhandledrejection",
  ({ reason }) => reason?.name !== "AbortError" && note(String(reason?.message || reason), true),
);
addEventListener("keydown", onKey);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
setTheme(localStorage.getItem("theme") || "");
drawBar();
onMove(draw);
draw();
export { api };
