// place.js - where the page is: everything a view shows is in the address, #/path?name=value, so that a link, a
// reload or the back button shows it again.

/** { path: ["run", "abc"], fields: URLSearchParams } of the address. */
export function here() {
  const [path, fields] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(plain), fields: new URLSearchParams(fields || "") };
}

/** A part of a path; what is no valid encoding stands for itself. */
function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a view: to(["run", id], { tab: "metrics" }). */
export function to(path, fields = {}) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null && value !== "") all.set(name, value);
  }
  const text = all.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

let changed = () => {};

/** Who draws the page anew when it has moved. */
export function onMove(listener) {
  changed = listener;
  addEventListener("hashchange", () => changed());
}

/** Go to an address made by to(). */
export function go(address) {
  location.hash = address;
}

/** Change fields of this view ("" or null: leave out). 'quiet': no new entry in the history; 'still': nor drawing. */
export function set(changes, { quiet = false, still = false } = {}) {
  const { path, fields } = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "" || value === false) fields.delete(name);
    else fields.set(name, value === true ? "1" : value);
  }
  const address = to(path, Object.fromEntries(fields));
  if (address === location.hash) return;
  history[quiet || still ? "replaceState" : "pushState"](null, "", address);
  if (!still) changed();
}

/** A field that is a list: JSON, since names hold commas. */
export function list(fields, name) {
  try {
    const value = JSON.parse(fields.get(name) || "[]");
    return Array.isArray(value) ? value.map(String) : [];
  } catch {
    return [];
  }
}

/** Run ids have no commas. */
export const ids = (fields, name) => (fields.get(name) || "").split(",").filter(Boolean);
