// markdown.js - Markdown as elements: headings, lists, tables, quotes, code, emphasis, links. Markup in the text
// stays text, images become links, so a note can neither run nor fetch anything.

import { h, outward } from "./dom.js";

const CODE = /`([^`]+)`/;
const STRONG = /\*\*([^*]+)\*\*|__([^_]+)__/;
const SOFT = /\*([^*\s][^*]*)\*|\b_([^_]+)_\b/;
const LINK = /!?\[([^\]]*)\]\(([^)\s]+)[^)]*\)|(https?:\/\/[^\s<>)]+)/;
const INLINE = new RegExp([CODE, STRONG, SOFT, LINK].map(({ source }) => source).join("|"));

/** The nodes of a line. */
export function inline(text) {
  const nodes = [];
  while (text) {
    const match = INLINE.exec(text);
    if (!match) break;
    if (match.index) nodes.push(text.slice(0, match.index));
    const [whole, code, bold, bold2, soft, soft2, label, address, bare] = match;
    if (code !== undefined) nodes.push(h("code", {}, code));
    else if (bold ?? bold2) nodes.push(h("strong", {}, inline(bold ?? bold2)));
    else if (soft ?? soft2) nodes.push(h("em", {}, inline(soft ?? soft2)));
    else if (address) nodes.push(outward(address, label || address));
    else nodes.push(outward(bare));
    text = text.slice(match.index + whole.length);
  }
  if (text) nodes.push(text);
  return nodes;
}

const cellsOf = (line) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());
const isRule = (line) => /^\s*\|?[\s:|-]+\|?\s*$/.test(line) && line.includes("-");
const BEGINS = /^(#{1,6}\s|```|>|\s*[-*+]\s|\s*\d+[.)]\s|\s*([-*_])\s*\2\s*\2[\s*_-]*$)/;

/** The lines from i that belong together as one block: [element, the line after it]. */
function block(lines, i) {
  const line = lines[i];
  const head = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (head) return [h(`h${Math.min(6, head[1].length + 1)}`, {}, inline(head[2])), i + 1];
  if (line.startsWith("```")) {
    let end = i + 1;
    while (end < lines.length && !lines[end].startsWith("```")) end++;
    return [h("pre", {}, h("code", {}, lines.slice(i + 1, end).join("\n"))), end + 1];
  }
  if (/^\s*([-*_])\s*\1\s*\1[\s*_-]*$/.test(line)) return [h("hr"), i + 1];
  if (line.startsWith(">")) return quote(lines, i);
  if (/^\s*([-*+]|\d+[.)])\s/.test(line)) return items(lines, i);
  if (line.includes("|") && i + 1 < lines.length && isRule(lines[i + 1])) return table(lines, i);
  let end = i + 1;
  while (end < lines.length && lines[end].trim() && !BEGINS.test(lines[end])) end++;
  return [h("p", {}, inline(lines.slice(i, end).join(" "))), end];
}

function quote(lines, i) {
  let end = i;
  while (end < lines.length && lines[end].startsWith(">")) end++;
  return [
    h(
      "blockquote",
      {},
      markdown(
        lines
          .slice(i, end)
          .map((line) => line.replace(/^>\s?/, ""))
          .join("\n"),
      ),
    ),
    end,
  ];
}

function items(lines, i) {
  const ordered = /^\s*\d/.test(lines[i]);
  const list = [];
  let end = i;
  for (; end < lines.length && lines[end].trim(); end++) {
    const item = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/.exec(lines[end]);
    if (item) list.push(item[1]);
    else list[list.length - 1] += ` ${lines[end].trim()}`;
  }
  return [
    h(
      ordered ? "ol" : "ul",
      {},
      list.map((text) => h("li", {}, inline(text))),
    ),
    end,
  ];
}

function table(lines, i) {
  let end = i + 2;
  while (end < lines.length && lines[end].includes("|")) end++;
  return [
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
            cellsOf(lines[i]).map((cell) => h("th", {}, inline(cell))),
          ),
        ),
        h(
          "tbody",
          {},
          lines.slice(i + 2, end).map((line) =>
            h(
              "tr",
              {},
              cellsOf(line).map((cell) => h("td", {}, inline(cell))),
            ),
          ),
        ),
      ),
    ),
    end,
  ];
}

/** The elements of a text. */
export function markdown(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const nodes = [];
  for (let i = 0; i < lines.length;) {
    if (!lines[i].trim()) {
      i++;
      continue;
    }
    const [node, next] = block(lines, i);
    nodes.push(node);
    i = next;
  }
  return h("div", { class: "markdown" }, nodes);
}
