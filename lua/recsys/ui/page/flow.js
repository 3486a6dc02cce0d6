// flow.js - one run of a flow: its timeline, the graph of its tasks, what became of each; and one of its tasks, or an
// element of one: what it shows of itself, its log. In the address: #/flow/ID/TASK/ELEMENT.

import { api } from "./api.js";
import { ago, h, moment, number, outward, show, span, steady } from "./dom.js";
import { gantt, rowsOf } from "./gantt.js";
import { graph } from "./graph.js";
import { markdown } from "./markdown.js";
import { to } from "./place.js";
import { stateOf, took } from "./states.js";

const LIVE = 2000; // ms between looks at a run that runs
const KEPT = 2e6; // characters of a log that stay on the page

export function open(main) {
  let run = null,
    at = { task: 0, element: 0 },
    log = null,
    pictures = new Map(), // id of a note -> address of its bytes
    timer,
    turn = 0;
  const head = h("div", { class: "head" }),
    body = h("div"),
    tail = h("div");
  show(main, head, body, tail);

  const running = () => run?.state === "running";
  const task = () => run.tasks.find((one) => one.number === at.task);
  const called = () => (run.label === run.name ? run.name : run.folder); // names of trials are those of many
  const command = (words) => h("code", { class: "command" }, `recsys-run flows ${words} ${called()}`);

  /** What to type to do something about the run. */
  function advice() {
    if (running()) return h("p", { class: "quiet" }, "To end it: ", command("cancel"));
    if (run.state === "completed" || run.state === "refused" || !run.here) return null;
    return h("p", { class: "quiet" }, "To go on with it: ", command("retry"));
  }

  function drawHead() {
    const one = at.task ? task() : null;
    show(
      head,
      h(
        "p",
        { class: "crumbs" },
        h("a", { href: to(["flows"]) }, "Flows"),
        one && [" › ", h("a", { href: to(["flow", run.id]) }, run.label)],
        at.element > 0 && [" › ", h("a", { href: to(["flow", run.id, at.task]) }, one.name)],
      ),
      h(
        "div",
        { class: "toolbar" },
        h("h1", {}, one ? (at.element ? `${one.name}, element ${at.element}` : one.name) : run.label),
        !one && stateOf(run.state),
        !one &&
          h("span", { class: "quiet", title: moment(run.started) }, `${ago(run.started)} · ${took(run, run.now)}`),
        h("span", { class: "space" }),
        run.tracked && h("a", { class: "button", href: to(["run", run.tracked]) }, "Tracked run"),
      ),
      !one && run.reason && h("p", { class: run.state === "completed" ? "quiet" : "complaint" }, run.reason),
      !one && advice(),
    );
  }

  const box = (title, ...nodes) => h("section", { class: "box" }, h("h2", {}, title), nodes);

  const table = (heads, rows, kind = "") =>
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: `list ${kind}` },
        heads &&
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              heads.map(([word, name]) => h("th", { scope: "col", class: name }, word)),
            ),
          ),
        h("tbody", {}, rows),
      ),
    );

  const facts = (list) =>
    table(
      null,
      list
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => h("tr", {}, h("td", {}, name), h("td", { class: "wrap" }, value))),
    );

  const originOf = (one) =>
    one.origin &&
    (one.origin_id ? h("a", { href: to(["flow", one.origin_id]) }, one.origin) : one.origin);

  // The whole run ----------------------------------------------------------------------------------------------------

  const progressOf = (number_, element = 0) =>
    (run.progress || []).find((one) => one.number === number_ && one.element === element);

  function meter(known) {
    if (!known) return null;
    const text = `${number(known.done)}${known.total ? ` of ${number(known.total)}` : ""} ${known.word || ""}`.trim();
    if (!known.total) return h("span", { class: "quiet" }, text);
    const share = Math.min(1, Math.max(0, known.done / known.total));
    return h(
      "span",
      { class: "meter" },
      h(
        "span",
        { class: "track", "aria-hidden": "true" },
        h("i", { style: { width: `${(100 * share).toFixed(1)}%` } }),
      ),
      h("span", { class: "quiet" }, text),
    );
  }

  function taskRow({ task: one, state, attempts, seconds }) {
    const shown = (run.notes || []).filter((note) => note.number === one.number).length;
    return h(
      "tr",
      { dataset: { task: one.number } },
      h("td", { class: "number" }, one.number),
      h("td", { class: "name" }, h("a", { href: to(["flow", run.id, one.number]) }, one.name)),
      h("td", {}, stateOf(state), attempts > 1 && h("span", { class: "quiet" }, ` ${attempts} attempts`)),
      h("td", { class: "number" }, seconds > 0 ? span(seconds * 1000) : ""),
      h(
        "td",
        { class: "wrap" },
        one.reason && h("span", {}, one.reason),
        one.reason && one.origin && "; ",
        one.origin && h("span", {}, "result of ", originOf(one)),
        ["running", "retrying"].includes(state) && meter(progressOf(one.number)),
      ),
      h("td", { class: "number" }, shown || ""),
    );
  }

  function changes() {
    const names = new Map(run.tasks.map((one) => [one.number, one.name]));
    const row = (one) =>
      h(
        "tr",
        {},
        h("td", { class: "line" }, `${moment(one.at)}.${String(one.at % 1000).padStart(3, "0")}`),
        h(
          "td",
          {},
          one.number === undefined ? "the run" : names.get(one.number) || one.number,
          one.element ? ` ${one.element}` : "",
        ),
        h("td", {}, stateOf(one.state)),
        h("td", { class: "wrap" }, one.reason || ""),
      );
    const list = run.transitions.slice(-1000);
    return h(
      "details",
      { class: "box changes" },
      h("summary", {}, `Transitions (${run.transitions.length})`),
      list.length < run.transitions.length && h("p", { class: "quiet" }, `The last ${list.length}.`),
      table([["When"], ["What"], ["State"], ["Reason"]], list.map(row)),
    );
  }

  function drawRun() {
    const open_ = body.querySelector("details.changes")?.open;
    const drawn = graph(run),
      { rows } = rowsOf(run);
    show(
      body,
      run.tasks.length
        ? [
            box("Timeline", gantt(run)),
            drawn && box("Graph", drawn),
            box(
              "Tasks",
              table(
                [["#", "number"], ["Task"], ["State"], ["Took", "number"], ["Reason"], ["Shows", "number"]],
                rows.filter(({ element }) => !element).map(taskRow),
              ),
            ),
          ]
        : h("p", { class: "empty" }, "It has no tasks: it ended before the first began."),
      box(
        "Run",
        facts([
          ["recipe", `${run.recipe}${run.path ? ` (${run.path})` : ""}`],
          ["started", moment(run.started)],
          ["ended", moment(run.ended)],
          [running() ? "held by" : "last held by", `process ${run.pid} on ${run.host}, since ${moment(run.since)}`],
          ["folder", run.here ? run.folder : `${run.folder} (it is gone)`],
        ]),
      ),
      changes(),
    );
    if (open_) body.querySelector("details.changes").open = true;
  }

  // One task ---------------------------------------------------------------------------------------------------------

  function picture(note) {
    const image = h("img", { class: "picture", alt: note.title });
    const known = pictures.get(note.id);
    if (known) image.src = known;
    else
      api.flowFile(run.id, note.id).then(
        (blob) => {
          pictures.set(note.id, URL.createObjectURL(blob));
          image.src = pictures.get(note.id);
        },
        (error) => image.replaceWith(h("p", { class: "quiet" }, error.message)),
      );
    return image;
  }

  function cells({ head: names = [], rows = [], more = 0 }) {
    const numeric = names.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
    return [
      table(
        names.map((word, i) => [String(word), numeric[i] ? "number" : ""]),
        rows.map((row) =>
          h(
            "tr",
            {},
            names.map((_, i) =>
              h("td", { class: numeric[i] ? "number" : "wrap" }, numeric[i] ? number(row[i]) : String(row[i] ?? "")),
            ),
          ),
        ),
      ),
      more > 0 && h("p", { class: "quiet" }, `${more} more rows are in the file.`),
    ];
  }

  const DRAW = {
    table: (note) => cells(note.body || {}),
    link: (note) => h("p", {}, outward(String(note.body?.url ?? ""))),
    markdown: (note) => markdown(String(note.body?.text ?? "")),
    picture,
  };

  function notes() {
    const mine = (one) => one.number === at.task && (!at.element || one.element === at.element);
    const list = (run.notes || []).filter(mine);
    return list.map((one) =>
      h(
        "section",
        { class: "box note-box" },
        h("h2", {}, one.title, one.element > 0 && !at.element && h("small", {}, `element ${one.element}`)),
        DRAW[one.kind] ? DRAW[one.kind](one) : h("p", { class: "quiet" }, String(one.kind)),
      ),
    );
  }

  function elements(rows) {
    const list = rows.filter((one) => one.task.number === at.task && one.element);
    const logs = task().logs.filter((element) => element > 0 && !list.some((one) => one.element === element));
    if (at.element || (!list.length && !logs.length)) return null;
    const link = (element) => h("a", { href: to(["flow", run.id, at.task, element]) }, `element ${element}`);
    return box(
      "Elements",
      list.length
        ? table(
            [["Element"], ["State"], ["Took", "number"], ["Reason"]],
            list.map((one) =>
              h(
                "tr",
                {},
                h("td", {}, link(one.element)),
                h("td", {}, stateOf(one.state)),
                h("td", { class: "number" }, one.seconds > 0 ? span(one.seconds * 1000) : ""),
                h(
                  "td",
                  { class: "wrap" },
                  one.reason || "",
                  one.state === "running" && meter(progressOf(at.task, one.element)),
                ),
              ),
            ),
          )
        : h("p", { class: "logs" }, logs.map((element) => [link(element), " "])),
    );
  }

  function drawTask() {
    const one = task(),
      { rows } = rowsOf(run, true);
    const row = rows.find((it) => it.task === one && it.element === at.element) || rows.find((it) => it.task === one),
      own = run.elements.find((it) => it.number === at.task && it.element === at.element) || one;
    show(
      body,
      box(
        at.element ? "Element" : "Task",
        facts([
          ["state", stateOf(row.state)],
          ["progress", meter(progressOf(at.task, at.element))],
          ["reason", row.reason],
          ["took", row.seconds > 0 ? span(row.seconds * 1000) : ""],
          ["attempts", row.attempts > 1 ? row.attempts : ""],
          ["started", moment(own.started)],
          ["ended", moment(own.ended)],
          ["result of", originOf(own)],
          ["after", one.after && one.after.replaceAll(" ", ", ")],
          ["key", own.key],
        ]),
      ),
      h("div", { class: "boxes shown" }, notes()),
      elements(rows),
    );
  }

  /** The task's log, which goes on as it grows. */
  function logOf(number_, element) {
    const text = h("pre", { class: "text tail", tabindex: "0", "aria-label": "log" }),
      state = h("p", { class: "quiet" });
    let offset = 0,
      busy = false,
      bottom = true;
    text.addEventListener("scroll", () => {
      bottom = text.scrollTop + text.clientHeight >= text.scrollHeight - 20;
    }, { passive: true });
    show(tail, box("Log", text, state));
    return async function more() {
      if (busy) return;
      busy = true;
      try {
        for (let page; (page = await api.flowLog(run.id, number_, element, offset)); ) {
          if (!page.text) {
            text.hidden = offset === 0;
            state.textContent = offset === 0 ? "Nothing was told." : "";
            break;
          }
          text.append(page.text);
          offset = page.offset;
          if (text.textContent.length > KEPT) text.textContent = text.textContent.slice(-KEPT / 2);
        }
      } catch (error) {
        state.textContent = error.message;
      } finally {
        busy = false;
      }
      if (bottom) text.scrollTop = text.scrollHeight;
    };
  }

  // ------------------------------------------------------------------------------------------------------------------

  function draw() {
    drawHead();
    if (at.task && !task()) show(body, h("p", { class: "empty" }, "The run has no such task."));
    else if (at.task) drawTask();
    else drawRun();
  }

  function forget() {
    for (const address of pictures.values()) URL.revokeObjectURL(address);
    pictures = new Map();
  }

  function live() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = turn;
      if (running() && !document.hidden) {
        await api.flow(run.id).then(
          async (next) => {
            if (mine !== turn) return;
            run = next;
            await steady(main, draw);
            await log?.();
          },
          () => {},
        );
      }
      if (mine === turn) live();
    }, LIVE);
  }

  async function update({ path }) {
    turn++;
    clearTimeout(timer);
    const mine = turn;
    const next = await api.flow(path[1]);
    if (mine !== turn) return;
    if (run?.id !== next.id) forget();
    run = next;
    at = { task: Number(path[2]) || 0, element: Number(path[3]) || 0 };
    log = null;
    show(tail);
    document.title = `${(at.task && task()?.name) || run.label} · recsys-run`;
    draw();
    if (at.task && task()) {
      log = logOf(at.task, at.element);
      await log();
    }
    live();
  }

  return {
    update,
    close: () => {
      turn++;
      clearTimeout(timer);
      forget();
    },
  };
}
