// dom.js - elements built from data, and how values are written. Text enters as text nodes: nothing here, nor
// anywhere in the page, hands data to a parser of markup.

import { LESS } from "./better.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

const PROPERTIES = { value: 1, checked: 1, indeterminate: 1, selected: 1, srcdoc: 1, disabled: 1 };

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** An element: h("a", { class, href, onclick, style: {}, dataset: {} }, children...). A child is a node, a string or
 * number (text), a list, or null. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Put these in the place of all that the element holds. */
export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A link to what data names; an address that is not of the web stays text. */
export function outward(address, text = address) {
  return /^https?:\/\//i.test(address)
    ? h("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, text)
    : h("span", {}, text);
}

export const button = (text, onclick, attributes) => h("button", { type: "button", onclick, ...attributes }, text);

/** A labelled <select>: choices are [value, text] or plain words. */
export function choose(label, choices, value, onchange, attributes) {
  return h(
    "label",
    { class: "field" },
    label && h("span", {}, label),
    h(
      "select",
      { "aria-label": label || undefined, ...attributes, onchange: (event) => onchange(event.target.value) },
      choices.map((choice) => {
        const [key, text] = Array.isArray(choice) ? choice : [choice, choice];
        return h("option", { value: key, selected: key === value }, text);
      }),
    ),
  );
}

export const check = (label, checked, onchange, attributes) =>
  h(
    "label",
    { class: "check" },
    h("input", { type: "checkbox", checked, onchange: (event) => onchange(event.target.checked), ...attributes }),
    label,
  );

/** A number as people read it: five digits that count. */
export function number(value) {
  if (typeof value !== "number" || Number.isNaN(value)) return value === undefined ? "" : "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return String(Number(value.toPrecision(5)));
}

/** The same in columns, where the digits of one value stand below those of another: 0.31170. */
export function figures(value) {
  const size = Math.abs(value);
  return Number.isInteger(value) || !(size >= 1e-3 && size < 1e4) ? number(value) : value.toPrecision(5);
}

/** A parameter as people read it: a long number shortened. */
export const given = (value) =>
  typeof value === "string" && value.length > 8 && /^-?\d*\.?\d+(e[-+]?\d+)?$/i.test(value)
    ? number(Number(value))
    : value;

/** 12s, 3m 04s, 2h 05m, 3d 4h. */
export function span(ms) {
  if (!(ms >= 0)) return "";
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)}s`;
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(Math.floor(seconds % 60))}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h ${two(minutes % 60)}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** 2026-11-26 15:04:05 of this place. */
export function moment(ms, short = false) {
  if (!ms) return "";
  const date = new Date(Number(ms));
  const two = (n) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return short ? `${day.slice(5)} ${time}` : `${day} ${time}:${two(date.getSeconds())}`;
}

export function ago(ms) {
  const passed = Date.now() - Number(ms);
  if (!(passed >= 0) || !ms) return "";
  if (passed < 60e3) return "just now";
  if (passed < 3600e3) return `${Math.floor(passed / 60e3)} min ago`;
  if (passed < 86400e3) return `${Math.floor(passed / 3600e3)} h ago`;
  return passed < 30 * 86400e3 ? `${Math.floor(passed / 86400e3)} d ago` : moment(ms).slice(0, 10);
}

export function bytes(n) {
  if (!(n >= 0)) return "";
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  while (n >= 1000 && unit < 3) {
    n /= 1000;
    unit++;
  }
  return `${unit ? n.toPrecision(3) : n} ${units[unit]}`;
}

export const duration = ({ info }) =>
  info.start_time ? (Number(info.end_time) || Date.now()) - Number(info.start_time) : NaN;

const STATUS = { RUNNING: "running", FINISHED: "finished", FAILED: "failed", KILLED: "killed", SCHEDULED: "scheduled" };

/** A dot with its word: a state is never told by colour alone. */
export const status = (word) =>
  h("span", { class: `status ${STATUS[word] || "other"}` }, STATUS[word] || String(word || ""));

/** Hand a file to the browser's downloads. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10e3);
}

const HANDLES = "a, button, input, summary, [tabindex]";

/** Draw a place anew and leave the focus and what is scrolled where they were. */
export async function steady(place, redraw) {
  const handles = () => [...place.querySelectorAll(HANDLES)];
  const scrolled = () => [...place.querySelectorAll(".scroll")];
  const at = handles().indexOf(document.activeElement),
    tops = scrolled().map(({ scrollTop, scrollLeft }) => [scrollTop, scrollLeft]);
  await redraw();
  scrolled().forEach((one, i) => tops[i] && one.scrollTo(tops[i][1], tops[i][0]));
  if (at >= 0) handles()[at]?.focus({ preventScroll: true });
}

/** A message at the edge of the page that goes away by itself; errors stay longer. */
export function note(text, error = false) {
  const place = document.getElementById("notes");
  const box = h(
    "div",
    { class: error ? "note error" : "note" },
    h("span", {}, text),
    button("×", () => box.remove(), { "aria-label": "dismiss" }),
  );
  place.append(box);
  setTimeout(() => box.remove(), error ? 12e3 : 4e3);
}

/** Tell those who listen to the page rather than see it. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** A button that unfolds a menu: items are [text, work]. Arrow keys go through it, Escape and a click elsewhere close
 * it. */
export function menu(label, items) {
  const list = h("div", { class: "menu", role: "menu", "aria-label": label, hidden: true });
  const opener = button("⋯", () => (list.hidden ? open() : close()), {
    class: "plain",
    title: "more",
    "aria-label": label,
    "aria-haspopup": "menu",
    "aria-expanded": "false",
  });
  const box = h("span", { class: "menus" }, opener, list);

  function close() {
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside);
    if (box.contains(document.activeElement)) opener.focus();
  }
  const outside = (event) => box.contains(event.target) || close();

  function open() {
    show(
      list,
      items.map(([text, work]) =>
        button(
          text,
          () => {
            close();
            work();
          },
          { role: "menuitem" },
        ),
      ),
    );
    list.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    addEventListener("pointerdown", outside);
    list.firstChild?.focus();
  }

  list.addEventListener("keydown", (event) => {
    const all = [...list.children],
      at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Tab") close();
    else if (to !== undefined) all.at(to % all.length).focus();
    else return;
    event.stopPropagation();
    if (event.key !== "Tab") event.preventDefault();
  });
  return box;
}

/** Run what may be refused; a refusal becomes a message. True: it went well. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (error.name !== "AbortError") note(error.message, true);
    return false;
  }
}

/** A modal dialog; 'build' gets a function that closes it with a value. Resolves to that, or undefined. The browser
 * keeps the focus inside; it goes back to where it was. */
export function dialog(title, build, kind) {
  return new Promise((resolve) => {
    let value;
    const before = document.activeElement;
    const finish = (result) => {
      value = result;
      box.close();
    };
    const box = h("dialog", { "aria-label": title, class: kind });
    append(box, [
      h(
        "header",
        {},
        h("h2", {}, title),
        button("×", () => box.close(), { "aria-label": "close", class: "plain" }),
      ),
      build(finish),
    ]);
    box.addEventListener("close", () => {
      box.remove();
      before?.focus?.();
      resolve(value);
    });
    box.addEventListener("click", (event) => event.target === box && box.close());
    document.body.append(box);
    box.showModal();
    box.querySelector("header ~ * :is(input, textarea, select), header ~ :is(input, select)")?.focus();
  });
}

/** Ask for one or more texts: fields are { name, label, value, lines, required }. Resolves to { name: text } or
 * undefined. */
export function ask(title, fields, verb = "Save", about = null) {
  return dialog(title, (finish) => {
    const inputs = fields.map((field) =>
      h(field.lines ? "textarea" : "input", {
        name: field.name,
        rows: field.lines,
        value: field.value || "",
        required: field.required,
        autocomplete: "off",
        placeholder: field.placeholder,
      }),
    );
    return h(
      "form",
      {
        method: "dialog",
        onsubmit: (event) => {
          event.preventDefault();
          finish(Object.fromEntries(inputs.map((input) => [input.name, input.value])));
        },
      },
      about && h("p", {}, about),
      fields.map((field, i) => h("label", { class: "line" }, h("span", {}, field.label), inputs[i])),
      h(
        "footer",
        {},
        button("Cancel", () => finish(undefined)),
        h("button", { type: "submit", class: "main" }, verb),
      ),
    );
  });
}

export const confirm = (title, text, verb) => ask(title, [], verb, text);

/** Call 'work' at the end of a pause of ms. */
export function later(ms, work) {
  let timer;
  const call = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

/** Whether a smaller value of this metric is the better one, by its name: as the gate has it, whose words LESS are. */
export function lowerIsBetter(name) {
  const words = name.toLowerCase().split(/[^a-z]+/);
  return !words.includes("reciprocal") && words.some((word) => LESS.has(word));
}

/** Whether neither a smaller nor a greater value of it is better. */
export const isNeutral = (name) =>
  /(^|[/_.])(learning_?rate|lr|epochs?|steps?|seed|beta|weight_decay)$|^(system|monitor)\//i.test(name);

/** The best value that a metric ever had. */
export const best = (name, metric) => (metric ? (lowerIsBetter(name) ? metric.min : metric.max) : undefined);

const COLOURS = [
  "#2563eb",
  "#ea580c",
  "#16a34a",
  "#c026d3",
  "#0891b2",
  "#dc2626",
  "#7c3aed",
  "#a16207",
  "#be185d",
  "#0d9488",
  "#4d7c0f",
  "#475569",
];

/** The i-th colour of runs, from 0; twelve, then dashed by the charts. */
export const colour = (i) => COLOURS[i % COLOURS.length];
