// made.js - elements of the page, and texts of numbers and times.

/** An element: made("div.card", { title: "..." }, child, ...). A function among the attributes listens. */
export function made(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** What an element holds in place of what it held. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child));
}

/** A field with its label. */
export function field(label, input, ...more) {
  return made("label.field", {}, made("span", {}, label), input, ...more);
}

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(n) {
  return plain.format(n);
}

/** A score in so many digits that neighbours can be told apart. */
export function score(x) {
  if (x === null || x === undefined) return "";
  return Math.abs(x) >= 1000 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(2) : x.toFixed(4);
}

const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

/** "26 Nov 2026, 10:00", in UTC as all times of the server. */
export function time(ms) {
  return Number.isFinite(ms) ? day.format(ms) : "";
}

/** Call f once after so many ms of quiet. */
export function later(ms, f) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...given), ms);
  };
}
