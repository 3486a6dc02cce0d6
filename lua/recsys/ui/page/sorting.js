// sorting.js - cards in an order that people give them, by dragging a card's grip or by its arrow keys.

import { h, say } from "./dom.js";

/** Names in the order of 'list' as far as that has them, the others as they are. */
export function arranged(names, list) {
  const place = new Map(list.map((name, i) => [name, i]));
  const given = names.filter((name) => place.has(name)).sort((a, b) => place.get(a) - place.get(b));
  return [...given, ...names.filter((name) => !place.has(name))];
}

/** The shortest list that arranges 'before' so that it becomes 'after'. */
export function shortest(before, after) {
  for (let n = 0; n < after.length; n++) {
    const list = after.slice(0, n);
    if (arranged(before, list).every((name, i) => name === after[i])) return list;
  }
  return after;
}

const cardsOf = (card) => [...card.parentElement.children].filter((one) => one.matches(".card"));

/** Scroll on while a card is held at the edge of the window. */
function scrollAt(y) {
  if (y < 70) scrollBy(0, -14);
  else if (y > innerHeight - 50) scrollBy(0, 14);
}

/** Move a card to a place by moving those that it passes: one that is taken out of the page loses pointer and focus. */
function moveTo(card, place) {
  const all = cardsOf(card);
  const from = all.indexOf(card);
  const to = Math.max(0, Math.min(all.length - 1, place));
  if (to === from) return false;
  for (let i = from + 1; i <= to; i++) card.before(all[i]);
  for (let i = from - 1; i >= to; i--) card.after(all[i]);
  return true;
}

/** A button by which 'card()' is moved among its neighbours; done(cards) is told of their new order. */
export function grip(name, card, done) {
  let held = false,
    moved = false;
  const follow = ({ clientX, clientY }) => {
    scrollAt(clientY);
    const over = document.elementFromPoint(clientX, clientY)?.closest(".card");
    if (!over || over === card() || over.parentElement !== card().parentElement) return;
    moved = moveTo(card(), cardsOf(card()).indexOf(over)) || moved;
  };
  const finish = () => {
    card().classList.remove("held");
    if (moved) done(cardsOf(card()));
    held = moved = false;
  };
  return h("button", {
    type: "button",
    class: "grip plain",
    title: "drag to move, or the arrow keys",
    "aria-label": `move ${name}`,
    onpointerdown: (event) => {
      if (event.button !== 0) return;
      held = true;
      event.target.setPointerCapture(event.pointerId);
      card().classList.add("held");
    },
    onpointermove: (event) => held && follow(event),
    onpointerup: (event) => {
      if (!held) return;
      follow(event);
      finish();
    },
    onpointercancel: () => held && finish(),
    onkeydown: (event) => {
      const at = cardsOf(card()).indexOf(card());
      const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: Infinity }[
        event.key
      ];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      if (!moveTo(card(), to)) return;
      done(cardsOf(card()));
      const all = cardsOf(card());
      say(`${name}: ${all.indexOf(card()) + 1} of ${all.length}`);
    },
  });
}
