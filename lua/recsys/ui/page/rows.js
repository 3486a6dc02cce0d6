// rows.js - the rows of the runs table: pages of the server's answer, fetched as they come into sight, with trials
// unfolded under their study, pinned runs on top, or groups with their runs.
//
// A row is { run, depth, group, open, foldable, pinned }, or { more, of, depth } below the first runs that were
// unfolded under the row 'of' when there are 'more'. What stands under a study may have runs under it, too.

import { api } from "./api.js";
import { all, literal, name } from "./grammar.js";

const PAGE = 100;
const UNFOLDED = 500; // runs under a row that are fetched at once
const ANSWER = 5000; // runs that the server gives in one answer
const GROUPED = 5000; // runs that the page groups itself, where the server does not
const PARENT = "mlflow.parentRunId";

export const trialsOf = (id) => `${name("tags", PARENT)} = ${literal(id)}`;

/** 'changed' is called when there is something else to show. */
export function rows(changed, failed) {
  let what = {},
    nested = false,
    by = "",
    pins = [];
  let total = 0,
    pages = new Map(),
    pinned = [],
    groups = null,
    grouped = null;
  let unfolded = new Map(); // key of a row -> { runs, total }, the first of all that stand under it
  let inserted = null; // what 'insertions' found, until something changes
  let abort = new AbortController();

  const question = () => ({ ...what, top: nested && !by });

  async function fetchPage(page) {
    if (pages.has(page)) return;
    pages.set(page, null);
    const mine = abort;
    try {
      const answer = await api.runs(question(), page * PAGE, PAGE, mine.signal);
      if (mine !== abort) return;
      total = answer.total;
      pages.set(page, answer.runs);
      show();
    } catch (error) {
      if (mine !== abort) return;
      pages.delete(page);
      failed(error);
    }
  }

  async function fetchPins() {
    const mine = abort;
    if (pins.length === 0) {
      pinned = [];
      return;
    }
    const filter = `attributes.run_id IN (${pins.map((id) => literal(id)).join(", ")})`;
    const { runs } = await api.runs({ ...what, filter, order: "", view: "ALL" }, 0, pins.length, mine.signal);
    if (mine === abort) pinned = pins.map((id) => runs.find((run) => run.id === id)).filter(Boolean);
  }

  /** Groups of the first runs, when the server makes none. */
  async function groupHere(signal) {
    const found = new Map();
    let seen = 0,
      of = 0;
    do {
      const page = await api.runs(what, seen, 1000, signal);
      of = page.total;
      seen += page.runs.length;
      for (const run of page.runs) add(found, run);
      if (page.runs.length === 0) break;
    } while (seen < of && seen < GROUPED);
    grouped = { seen, of };
    return [...found.values()].map(({ value, count, metrics }) => ({
      value,
      count,
      metrics: Object.fromEntries(Object.entries(metrics).map(([key, m]) => [key, { ...m, mean: m.sum / m.count }])),
    }));
  }

  function add(found, run) {
    const key = by.slice(by.indexOf(".") + 1);
    const value = (by.startsWith("params.") ? run.params : run.tags)[key];
    const group = found.get(value) || { value, count: 0, metrics: {} };
    group.count++;
    for (const [metric, { last }] of Object.entries(run.metrics)) {
      if (!Number.isFinite(last)) continue;
      const m = (group.metrics[metric] ||= { sum: 0, count: 0, min: Infinity, max: -Infinity });
      m.sum += last;
      m.count++;
      m.min = Math.min(m.min, last);
      m.max = Math.max(m.max, last);
    }
    found.set(value, group);
  }

  async function fetchGroups() {
    const mine = abort;
    grouped = null;
    let list;
    try {
      list = await api.groups(what, by, mine.signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      list = await groupHere(mine.signal);
    }
    if (mine !== abort) return;
    groups = list;
    total = list.reduce((sum, { count }) => sum + count, 0);
  }

  function conditionOf(group) {
    const entity = by.startsWith("params.") ? "params" : "tags";
    const left = name(entity, by.slice(by.indexOf(".") + 1));
    return group.value === undefined || group.value === null ? `${left} IS NULL` : `${left} = ${literal(group.value)}`;
  }

  const keyOf = (row) =>
    row.more ? `more:${keyOf(row.of)}` : row.group ? `group:${row.group.value}` : row.run.id;

  /** Fetch the first 'size' runs under a row. */
  async function unfold(row, size = UNFOLDED) {
    const mine = abort;
    const filter = all(what.filter, row.group ? conditionOf(row.group) : trialsOf(row.run.id));
    const runs = [];
    let of = 0;
    do {
      const page = await api.runs({ ...what, filter }, runs.length, Math.min(ANSWER, size - runs.length), mine.signal);
      of = page.total;
      runs.push(...page.runs);
      if (page.runs.length === 0) break;
    } while (runs.length < Math.min(size, of));
    if (mine === abort) unfolded.set(keyOf(row), { runs, total: of });
  }

  const foldable = (run) => nested && !by && run.children !== 0;

  /** The rows below one that is unfolded, with those below them. */
  function below(row) {
    const found = unfolded.get(keyOf(row));
    if (!found) return [];
    const depth = row.depth + 1;
    const list = found.runs.flatMap((run) => {
      const under = { run, depth, foldable: foldable(run) && run.id !== row.run?.id };
      const inside = under.foldable ? below(under) : [];
      under.open = under.foldable && unfolded.has(run.id);
      return [under, ...inside];
    });
    if (found.total > found.runs.length) list.push({ more: found.total - found.runs.length, of: row, depth });
    return list;
  }

  /** The i-th row of the top level, null while it is fetched. */
  function top(i) {
    if (groups) return { group: groups[i], depth: 0, foldable: true };
    const page = pages.get(Math.floor(i / PAGE));
    const run = page && page[i % PAGE];
    return run ? { run, depth: 0, foldable: foldable(run) } : null;
  }

  const tops = () => (groups ? groups.length : total);

  /** Where rows are inserted between those of the top level: sorted [{ at, rows }]. */
  function insertions() {
    if (inserted) return inserted;
    inserted = [];
    const look = (row, place) => {
      if (row && unfolded.has(keyOf(row))) inserted.push({ at: place, rows: below({ ...row, depth: 0 }) });
    };
    if (unfolded.size === 0) return inserted;
    if (groups) groups.forEach((group, i) => look({ group }, i));
    else for (const [page, runs] of pages) runs?.forEach((run, i) => look({ run }, page * PAGE + i));
    return inserted.sort((a, b) => a.at - b.at);
  }

  const insertedCount = () => insertions().reduce((sum, { rows: list }) => sum + list.length, 0);

  /** Tell that there is something else to show. */
  function show() {
    inserted = null;
    changed();
  }

  function at(i) {
    if (i < pinned.length) return { run: pinned[i], depth: 0, pinned: true };
    i -= pinned.length;
    for (const { at: place, rows: list } of insertions()) {
      if (i <= place) break;
      if (i <= place + list.length) return list[i - place - 1];
      i -= list.length;
    }
    const row = top(i);
    if (row) row.open = unfolded.has(keyOf(row));
    return row;
  }

  return {
    at,
    keyOf,
    count: () => pinned.length + tops() + insertedCount(),
    total: () => total,
    grouped: () => grouped,
    isGrouped: () => groups !== null,

    /** Ask anew: { experiments, filter, order, view }, options { nested, by, pins }. */
    async ask(question_, options) {
      abort.abort();
      abort = new AbortController();
      [what, nested, by, pins] = [question_, options.nested, options.by || "", options.pins || []];
      pages = new Map();
      unfolded = new Map();
      inserted = null;
      groups = null;
      total = 0;
      await Promise.all([by ? fetchGroups() : fetchPage(0), fetchPins()]);
      show();
    },

    /** Fetch what rows first..last need. */
    need(first, last) {
      if (groups || total === 0) return;
      const extra = pinned.length + insertedCount();
      const from = Math.max(0, first - extra),
        to = Math.min(total, Math.max(last, first + 1));
      for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) fetchPage(page);
    },

    async toggle(row) {
      if (unfolded.has(keyOf(row))) unfolded.delete(keyOf(row));
      else await unfold(row);
      show();
    },

    /** Fetch more of what stands under a row. */
    async more({ of }) {
      const found = unfolded.get(keyOf(of));
      if (found) await unfold(of, found.runs.length + UNFOLDED);
      show();
    },

    /** Fetch again what is in sight, without letting go of what is shown. */
    async refresh(first, last) {
      const mine = abort;
      const open = [...unfolded.keys()];
      if (groups) await fetchGroups();
      else {
        const extra = pinned.length + insertedCount();
        const from = Math.floor(Math.max(0, first - extra) / PAGE),
          to = Math.floor(Math.max(0, last - 1) / PAGE);
        for (let page = from; page <= to && (page === from || page * PAGE < total); page++) {
          const answer = await api.runs(question(), page * PAGE, PAGE, mine.signal);
          if (mine !== abort) return;
          if (answer.total !== total) pages.clear();
          total = answer.total;
          pages.set(page, answer.runs);
        }
        const known = [...pages.values(), ...[...unfolded.values()].map(({ runs }) => runs)].flat();
        for (const id of open) {
          const run = known.find((one) => one?.id === id);
          if (run) await unfold({ run }, Math.max(UNFOLDED, unfolded.get(id)?.runs.length || 0));
        }
      }
      await fetchPins();
      if (mine === abort) show();
    },

    /** Whether anything shown still runs. */
    running() {
      const live = (run) => run?.info.status === "RUNNING";
      return (
        pinned.some(live) ||
        [...pages.values()].some((page) => page?.some(live)) ||
        [...unfolded.values()].some(({ runs }) => runs.some(live))
      );
    },
  };
}
