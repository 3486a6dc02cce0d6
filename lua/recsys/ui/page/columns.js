// columns.js - the columns of the runs table: which there are, which are shown first, how each is titled, read and
// sorted. A column is its id: info.start, params.x, metrics.x (last value), best.x, tags.x.

import {
  ago,
  best,
  check,
  dialog,
  duration,
  figures,
  h,
  isNeutral,
  lowerIsBetter,
  moment,
  number,
  span,
  status,
  button,
} from "./dom.js";
import { name } from "./grammar.js";
import { byRank, measures } from "./series.js";

const INFO = {
  "info.status": { title: "Status", width: 104, order: "attributes.status", cell: (run) => status(run.info.status) },
  "info.start": {
    title: "Started",
    width: 112,
    order: "attributes.start_time",
    cell: (run) => h("span", { title: moment(run.info.start_time) }, ago(run.info.start_time)),
  },
  "info.duration": { title: "Took", width: 88, cell: (run) => span(duration(run)) },
  "info.user": {
    title: "User",
    width: 90,
    order: "attributes.user_id",
    cell: (run) => run.info.user_id || run.tags["mlflow.user"],
  },
  "info.source": { title: "Source", width: 150, cell: (run) => run.tags["mlflow.source.name"] },
  "info.commit": {
    title: "Commit",
    width: 90,
    cell: (run) => (run.tags["mlflow.source.git.commit"] || "").slice(0, 8),
  },
  "info.notes": { title: "Notes", width: 180, cell: (run) => (run.tags["mlflow.note.content"] || "").split("\n")[0] },
};

const split = (id) => [id.slice(0, id.indexOf(".")), id.slice(id.indexOf(".") + 1)];

/** The columns that a table begins with, 'differing' the parameters in which its runs differ. */
export function defaults(keys, differing = []) {
  const metrics = measures(keys.metrics).filter((key) => !isNeutral(key));
  const losses = metrics.filter((key) => /loss/.test(key)).sort(byRank);
  const others = metrics.filter((key) => !/loss/.test(key)).sort(byRank);
  const first = [...others.slice(0, 4), ...losses.slice(0, 2)];
  return [
    "info.status",
    "info.start",
    "info.duration",
    ...first.flatMap((key) => (/test/.test(key) ? [`metrics.${key}`] : [`metrics.${key}`, `best.${key}`])),
    ...(differing.length ? differing : keys.params).slice(0, 6).map((key) => `params.${key}`),
  ];
}

export const known = (keys) => [
  ...Object.keys(INFO),
  ...keys.metrics.flatMap((key) => [`metrics.${key}`, `best.${key}`]),
  ...keys.params.map((key) => `params.${key}`),
  ...keys.tags.filter((key) => !key.startsWith("mlflow.")).map((key) => `tags.${key}`),
];

/** The width of a column with this title and so much beside it. */
const widthOf = (title, more) => Math.max(104, Math.min(230, Math.round(title.length * 7.3) + more + 18));

const numeric = (text) => text !== undefined && text !== "" && Number.isFinite(Number(text));

/** The column of an id: { id, title, mark, width, sortable, clause, cell(run), groupCell(group) }. */
export function column(id) {
  const [entity, key] = split(id);
  if (INFO[id]) return { id, sortable: Boolean(INFO[id].order), clause: INFO[id].order, ...INFO[id] };
  if (entity === "metrics") {
    return {
      id,
      title: key,
      width: widthOf(key, 24),
      sortable: true,
      clause: name("metrics", key),
      about: `${key}, the last value`,
      number: true,
      cell: (run) => run.metrics[key] && figures(run.metrics[key].last),
      groupCell: groupCell(key),
    };
  }
  if (entity === "best") {
    const word = lowerIsBetter(key) ? "min" : "max";
    return {
      id,
      title: key,
      mark: word,
      width: widthOf(key, 62),
      about: `${key}, the best value (${word})`,
      number: true,
      sortable: true,
      clause: name("metrics", key) + `.${word}`,
      cell: (run) => run.metrics[key] && figures(best(key, run.metrics[key])),
    };
  }
  if (entity === "tags") {
    return { id, title: key, width: 120, sortable: true, clause: name("tags", key), cell: (run) => run.tags[key] };
  }
  return {
    id,
    title: key,
    width: widthOf(key, 12),
    sortable: true,
    clause: name("params", key),
    cell: (run) => (numeric(run.params[key]) ? number(Number(run.params[key])) : run.params[key]),
    raw: (run) => run.params[key],
  };
}

const groupCell = (key) => (group) => {
  const metric = group.metrics[key];
  if (!metric) return null;
  return h(
    "span",
    { title: `mean ${metric.mean}, ${metric.min} to ${metric.max}, ${metric.count} runs` },
    number(metric.mean),
    group.count > 1 && h("small", {}, ` ${number(metric.min)}…${number(metric.max)}`),
  );
};

/** A dialog to choose columns; resolves to the list of ids, null for the defaults, or undefined. */
export function choose(keys, chosen) {
  return dialog("Columns", (finish) => {
    const now = new Set(chosen);
    const list = h("div", { class: "choices" });
    const title = (id) => {
      const [entity, key] = split(id);
      return INFO[id]
        ? INFO[id].title
        : entity === "metrics"
          ? `${key} (last)`
          : entity === "best"
            ? `${key} (best)`
            : key;
    };
    const groups = { info: "Run", metrics: "Metrics", best: "Metrics", params: "Parameters", tags: "Tags" };
    function draw(wanted) {
      const sections = new Map();
      for (const id of known(keys)) {
        if (!id.toLowerCase().includes(wanted)) continue;
        const group = groups[split(id)[0]];
        sections.set(group, [...(sections.get(group) || []), id]);
      }
      list.replaceChildren(
        ...[...sections].map(([group, members]) =>
          h(
            "fieldset",
            {},
            h(
              "legend",
              {},
              group,
              " ",
              button(
                members.every((id) => now.has(id)) ? "none" : "all",
                () => {
                  const every = members.every((id) => now.has(id));
                  members.forEach((id) => (every ? now.delete(id) : now.add(id)));
                  draw(wanted);
                },
                { class: "plain" },
              ),
            ),
            members
              .slice(0, 400)
              .map((id) => check(title(id), now.has(id), (on) => (on ? now.add(id) : now.delete(id)))),
          ),
        ),
      );
    }
    draw("");
    const inOrder = () => [
      ...chosen.filter((id) => now.has(id)),
      ...known(keys).filter((id) => now.has(id) && !chosen.includes(id)),
    ];
    return [
      h("input", {
        type: "search",
        placeholder: "Search columns",
        "aria-label": "search columns",
        oninput: (event) => draw(event.target.value.toLowerCase()),
      }),
      list,
      h(
        "footer",
        {},
        button("Defaults", () => finish(null)),
        h("span", { class: "space" }),
        button("Cancel", () => finish(undefined)),
        button("Show", () => finish(inOrder()), { class: "main" }),
      ),
    ];
  });
}
