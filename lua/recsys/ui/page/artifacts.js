// artifacts.js - the files of a run, and viewers for those that a page can show. What a run wrote is untrusted:
// images are drawn as images, HTML is put into a frame without scripts, origin or network, all else is text.

import { api } from "./api.js";
import { attempt, button, bytes, download, h, show } from "./dom.js";
import { markdown } from "./markdown.js";

const TEXT = 2e6; // bytes of a text that are shown
const WHOLE = 64e6; // bytes of a file that is fetched to be looked into
const ROWS = 500;
const IMAGES = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  svg: "image/svg+xml",
};

const extension = (path) => (/\.([A-Za-z0-9]+)$/.exec(path)?.[1] || "").toLowerCase();

/** The rows of a CSV text, at most 'most'. */
export function csv(text, separator = ",", most = Infinity) {
  const rows = [];
  let row = [],
    field = "",
    quoted = false;
  for (let i = 0; i < text.length && rows.length < most; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === separator) {
      row.push(field);
      field = "";
    } else if (c === "\n") {
      rows.push([...row, field.replace(/\r$/, "")]);
      row = [];
      field = "";
    } else field += c;
  }
  if ((field || row.length) && rows.length < most) rows.push([...row, field]);
  return rows;
}

function tableOf(text, separator) {
  const rows = csv(text, separator, ROWS + 1);
  const [head = [], ...rest] = rows;
  return h(
    "div",
    {},
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
            head.map((cell) => h("th", {}, cell)),
          ),
        ),
        h(
          "tbody",
          {},
          rest.map((row) =>
            h(
              "tr",
              {},
              row.map((cell) => h("td", { class: cell && Number.isFinite(Number(cell)) ? "number" : "" }, cell)),
            ),
          ),
        ),
      ),
    ),
    rest.length === ROWS && h("p", { class: "quiet" }, `The first ${ROWS} rows.`),
  );
}

/** A JSON value that unfolds. */
function tree(value, key, depth = 0) {
  const label = key === undefined ? null : h("span", { class: "key" }, `${key}: `);
  if (value === null || typeof value !== "object")
    return h("div", { class: "leaf" }, label, h("code", {}, JSON.stringify(value)));
  const entries = Array.isArray(value) ? value.map((one, i) => [i, one]) : Object.entries(value);
  const body = h("div", { class: "inside" });
  const fold = h(
    "details",
    { open: depth < 2 && entries.length <= 100, ontoggle: () => fill() },
    h(
      "summary",
      {},
      label,
      h("span", { class: "quiet" }, Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`),
    ),
    body,
  );
  const fill = () =>
    fold.open &&
    body.childElementCount === 0 &&
    show(
      body,
      entries.slice(0, 1000).map(([name, one]) => tree(one, name, depth + 1)),
      entries.length > 1000 && h("p", { class: "quiet" }, `${entries.length - 1000} more`),
    );
  fill();
  return fold;
}

function jsonOf(text) {
  try {
    return tree(JSON.parse(text));
  } catch {
    return h("pre", { class: "text" }, text);
  }
}

/** [{ name, size, bytes }] of a tar file's members. */
export function members(buffer) {
  const all = new Uint8Array(buffer),
    list = [],
    text = new TextDecoder();
  const word = (from, length) => text.decode(all.subarray(from, from + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= all.length && all[at] !== 0;) {
    const size = parseInt(word(at + 124, 12), 8);
    if (!(size >= 0)) break;
    const prefix = word(at + 257, 5) === "ustar" ? word(at + 345, 155) : "";
    const type = String.fromCharCode(all[at + 156] || 48);
    if (type === "0")
      list.push({
        name: (prefix && `${prefix}/`) + word(at, 100),
        size,
        bytes: all.subarray(at + 512, at + 512 + size),
      });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return list;
}

function bundle(buffer) {
  const list = members(buffer),
    view = h("div", { class: "view" });
  const open = (member) => {
    const text = new TextDecoder().decode(member.bytes.subarray(0, TEXT));
    show(
      view,
      h("h3", {}, member.name),
      extension(member.name) === "json"
        ? jsonOf(text)
        : extension(member.name) === "md"
          ? markdown(text)
          : extension(member.name) === "safetensors"
            ? tensors(member.bytes)
            : h("pre", { class: "text" }, text),
    );
  };
  if (list.length === 0) return h("p", { class: "quiet" }, "This is no tar file.");
  const first = list.find(({ name }) => name === "manifest.json");
  if (first) open(first);
  return h(
    "div",
    {},
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "list" },
        h("thead", {}, h("tr", {}, h("th", {}, "Member"), h("th", { class: "number" }, "Size"))),
        h(
          "tbody",
          {},
          list.map((member) =>
            h(
              "tr",
              {},
              h(
                "td",
                {},
                button(member.name, () => open(member), { class: "plain" }),
              ),
              h("td", { class: "number" }, bytes(member.size)),
            ),
          ),
        ),
      ),
    ),
    view,
  );
}

/** The names, types and shapes of a safetensors file. */
function tensors(data) {
  const length = Number(new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0, true));
  if (!(length <= data.length - 8)) return h("p", { class: "quiet" }, "Its header is damaged.");
  const head = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + length)));
  return h(
    "table",
    { class: "list" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Tensor", "Type", "Shape"].map((word) => h("th", {}, word)),
      ),
    ),
    h(
      "tbody",
      {},
      Object.entries(head)
        .filter(([name]) => name !== "__metadata__")
        .map(([name, { dtype, shape }]) =>
          h("tr", {}, h("td", {}, name), h("td", {}, dtype), h("td", {}, `[${(shape || []).join(", ")}]`)),
        ),
    ),
  );
}

/** A frame in which a page can neither run scripts nor reach this one. */
const frame = (text) =>
  h("iframe", { sandbox: "", srcdoc: text, class: "report", title: "report", referrerpolicy: "no-referrer" });

/** What a file looks like: an element, and what to do when it goes. */
async function view(blob, path) {
  const kind = extension(path);
  if (IMAGES[kind]) {
    const address = URL.createObjectURL(new Blob([blob], { type: IMAGES[kind] }));
    return {
      element: h("img", { src: address, alt: path, class: "picture" }),
      close: () => URL.revokeObjectURL(address),
    };
  }
  if (kind === "tar") return { element: bundle(await blob.arrayBuffer()) };
  if (kind === "safetensors") return { element: tensors(new Uint8Array(await blob.arrayBuffer())) };
  if (kind === "html" || kind === "htm") return { element: frame(await blob.text()) };
  const text = await blob.slice(0, TEXT).text();
  const cut = blob.size > TEXT && h("p", { class: "quiet" }, `The first ${bytes(TEXT)} of ${bytes(blob.size)}.`);
  if (text.slice(0, 4000).includes("\0")) return { element: h("p", { class: "quiet" }, "These bytes are no text.") };
  const element =
    kind === "csv" || kind === "tsv"
      ? tableOf(text, kind === "tsv" ? "\t" : ",")
      : kind === "json" && !cut
        ? jsonOf(text)
        : kind === "md"
          ? markdown(text)
          : h("pre", { class: "text" }, text);
  return { element: h("div", {}, element, cut) };
}

/** The artifacts of a run in 'holder'; 'path' is the one that is open, 'open(path)' is told of another. */
export function artifacts(holder, run_id, path, open) {
  const list = h("ul", { class: "files", role: "tree", "aria-label": "artifacts" }),
    panel = h("div", { class: "view" });
  let close = null,
    turn = 0,
    now = "";
  show(holder, h("div", { class: "artifacts" }, list, panel));

  /** How large a file is now, NaN when it is not there. */
  async function sizeOf(file) {
    const files = await api.artifacts(run_id, file.slice(0, Math.max(0, file.lastIndexOf("/"))));
    return Number(files.find(({ path: one }) => one === file)?.file_size);
  }

  async function folder(place, where) {
    const files = await api.artifacts(run_id, where);
    files.sort((a, b) => (b.is_dir ? 1 : 0) - (a.is_dir ? 1 : 0) || (a.path < b.path ? -1 : 1));
    show(
      place,
      files.map(entry),
      files.length === 0 && h("li", { class: "quiet" }, where ? "empty" : "This run has no artifacts."),
    );
    return files;
  }

  function entry(file) {
    const label = file.path.split("/").pop();
    if (file.is_dir) {
      const inside = h("ul", { role: "group" });
      const fold = h(
        "details",
        {
          dataset: { path: file.path },
          open: now.startsWith(`${file.path}/`),
          ontoggle: () => {
            if (fold.open && !inside.childElementCount) attempt(() => folder(inside, file.path));
          },
        },
        h("summary", {}, label),
        inside,
      );
      return h("li", { role: "treeitem" }, fold);
    }
    return h(
      "li",
      { role: "treeitem" },
      button(
        [h("span", { class: "cut" }, label), h("small", {}, bytes(Number(file.file_size)))],
        () => open(file.path, file),
        { class: file.path === now ? "file on" : "file", dataset: { path: file.path } },
      ),
    );
  }

  async function look(file) {
    const mine = ++turn;
    close?.();
    close = null;
    for (const one of list.querySelectorAll("button.file")) one.classList.toggle("on", one.dataset.path === file);
    if (!file) {
      show(panel, h("p", { class: "empty" }, "Choose a file."));
      return;
    }
    const fetch = () => attempt(async () => download(await api.artifact(run_id, file), file.split("/").pop()));
    const body = h("div", {}, h("p", { class: "quiet" }, "…"));
    show(
      panel,
      h("header", {}, h("h3", { class: "cut" }, file), h("span", { class: "space" }), button("Download", fetch)),
      body,
    );
    try {
      const size = await sizeOf(file);
      if (mine !== turn) return undefined;
      if (size > WHOLE) return show(body, h("p", { class: "quiet" }, `${bytes(size)}: too much to show here.`));
      const seen = await view(await api.artifact(run_id, file), file);
      if (mine !== turn) return seen.close?.();
      close = seen.close;
      show(body, seen.element);
    } catch (error) {
      show(body, h("p", { class: "complaint" }, error.message));
    }
    return undefined;
  }

  return {
    async update(next) {
      now = next || "";
      if (!list.childElementCount) {
        const files = await folder(list, "");
        const first = files.find(({ path: one }) => one === "report.html") || files.find(({ is_dir }) => !is_dir);
        if (!now && first) return look(first.path);
      }
      return look(now);
    },
    close: () => close?.(),
  };
}
