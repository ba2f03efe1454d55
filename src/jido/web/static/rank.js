// The page of one expert: questions, rows, what follows from them. All that counts is on the server; every
// answer is sent at once, one after the other, and the page shows what comes back.

import { drawGraph } from "./rank_graph.js";
import { ask, by, showError } from "./parts.js";
import { makeRows, whereIs } from "./rank_rows.js";
import { el } from "./view-dom.js";
import { theme } from "./view-theme.js";

const TILES = 9, MORE = 24;  // pictures of a cluster beside a question, and at a time at large

let state = null;
let queue = Promise.resolve(), waiting = 0;

const place = (name) => state.clusters.findIndex((one) => one.name === name);
const sheet = (name) => `sheet/${place(name)}`;
const tile = (name, i) => `tile/${place(name)}/${i}`;

function caption(name) {
  const { kind, tiles } = state.clusters[place(name)];
  return `Cluster ${name}${kind ? `, ${kind}` : ""}, ${tiles} tile${tiles === 1 ? "" : "s"}`;
}

/** Send a step after those that are on their way; of the answers only the last is shown. */
function send(path, body, said) {
  waiting += 1;
  queue = queue.then(async () => {
    try {
      state = await ask(path, { ...body, seen: state.seen });
      showError("");
      if (said) by("said").textContent = said;
    } catch (error) {
      if (error.state) state = error.state;
      showError(error.message);
      waiting = 1;  // what stands on the page may not be what is saved: show that
    }
    waiting -= 1;
    if (!waiting) show();
  });
  return queue;
}

// -- questions

function answer(sign) {
  if (!state.question || waiting) return;
  const { left, right } = state.question;
  const words = { ">": `${left} is more developed than ${right}`, "<": `${right} is more developed than ${left}`,
    "=": `${left} and ${right} are the same`, "?": `cannot say of ${left} and ${right}` }[sign];
  send("answer", { left, sign, right }, `Saved: ${words}.`);
}

function side(name, which) {
  const { pictures } = state.clusters[place(name)];
  const shown = Array.from({ length: Math.min(TILES, pictures) }, (_, i) =>
    el("img", { src: tile(name, i), alt: "", loading: "eager" }));
  return el("div", { class: "side", "data-name": name },
    el("button", { type: "button", class: `tiles ${state.whole ? "whole" : ""}`, onclick: () => look(name),
      "aria-label": `${which}: ${caption(name)}. Show at large` }, ...shown),
    el("p", { class: "caption" }, caption(name)));
}

function drawQuestion() {
  const box = by("questions");
  if (!state.question) {
    const { known, pairs } = state.progress;
    const words = state.conflict ? "Say first which statement goes."
      : known === pairs ? "The order is known for all pairs: you are done. Thank you!"
        : "There is nothing left to ask: you are done. Thank you!";
    box.replaceChildren(el("p", { class: "done" }, words));
    return;
  }
  const { left, right } = state.question;
  const choice = (sign, words, key) => el("button", {
    type: "button", class: "choice", "data-sign": sign, "aria-keyshortcuts": key, onclick: () => answer(sign),
  }, words);
  const at = document.activeElement?.dataset?.sign;
  box.replaceChildren(
    el("h2", { class: "question" }, `Which is more developed: cluster ${left} or cluster ${right}?`),
    el("div", { class: "pair" }, side(left, "Left"), side(right, "Right")),
    el("div", { class: "choices four" }, choice(">", "← Left", "ArrowLeft"), choice("=", "= The same", "="),
      choice("?", "? Cannot say", "?"), choice("<", "Right →", "ArrowRight")),
    el("p", { class: "hint" }, "Keys: ← left, → right, = the same, ? cannot say. A picture opens at large."));
  if (at) box.querySelector(`[data-sign="${at}"]`).focus();
}

document.addEventListener("keydown", (event) => {
  const sign = { ArrowLeft: ">", ArrowRight: "<", "=": "=", "?": "?" }[event.key];
  const elsewhere = by("questions").hidden || document.querySelector("dialog[open]")
    || event.target.closest("[role=tab], .graph, summary");
  if (!sign || elsewhere || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  event.preventDefault();
  answer(sign);
});

// -- rows

const drawRows = makeRows(by("board"), {
  picture: sheet, caption, open: look,
  change(board, name) {
    send("rows", board, whereIs(board, name));
  },
});

// -- at large

let looked = "", seenTiles = 0;

function look(name) {
  [looked, seenTiles] = [name, 0];
  by("look-title").textContent = caption(name);
  by("look-tiles").replaceChildren();
  by("look-tiles").classList.toggle("whole", state.whole);
  more();
  by("close-look").showModal();
}

function more() {
  const { pictures } = state.clusters[place(looked)];
  const end = Math.min(seenTiles + MORE, pictures);
  for (; seenTiles < end; seenTiles++) {
    const words = state.whole ? `Sheet of cluster ${looked}` : `Tile ${seenTiles + 1} of cluster ${looked}`;
    by("look-tiles").append(el("img", { src: tile(looked, seenTiles), alt: words }));
  }
  by("look-more").hidden = seenTiles >= pictures;
}

by("look-more").addEventListener("click", more);
by("look-close").addEventListener("click", () => by("close-look").close());
by("close-look").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();  // beside the pictures
});

// -- what cannot all hold

function drawConflict() {
  const box = by("conflict");
  if (!state.conflict) {
    if (box.open) box.close();
    return;
  }
  by("conflict-words").replaceChildren(...state.conflict.words.map((words) => el("li", {}, words)));
  by("conflict-choices").replaceChildren(...state.conflict.choices.map(({ words, drop, out }) =>
    el("button", { type: "button", onclick: () => send("settle", { drop, out }, words) }, words)));
  if (!box.open) box.showModal();
}

by("conflict").addEventListener("cancel", (event) => {  // Escape takes back what was said last
  event.preventDefault();
  send("undo", {}, "Taken back.");
});

// -- all of it

function show() {
  const { progress, steps } = state;
  by("expert").textContent = state.expert;
  by("progress").textContent = progress.words;
  by("bar").value = progress.pairs ? progress.known / progress.pairs : 0;
  by("undo").disabled = !steps.length;
  by("export").hidden = !state.graph.text;
  drawQuestion();
  drawRows(state.clusters.map((one) => one.name), { rows: state.rows, aside: state.aside });
  drawGraph(by("graph"), state.graph, sheet, "An arrow leads to the more developed one. In one box: the same. Boxes "
    + "side by side that no arrows join: not known.", look);
  by("steps-box").hidden = !steps.length;
  by("steps").replaceChildren(...steps.map((step) => el("li", { class: step.gone ? "gone" : "" },
    el("span", {}, step.words),
    step.stands ? el("button", { type: "button", "aria-label": `Take back: ${step.words}`,
      onclick: () => send("settle", { drop: [step.id], out: [] }, `Taken back: ${step.words}.`) }, "Take back")
      : null)));
  drawConflict();
}

const TABS = ["questions", "board"];

function turnTo(name, focus) {
  for (const one of TABS) {
    const tab = by(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === name));
    tab.tabIndex = one === name ? 0 : -1;
    by(one).hidden = one !== name;
    if (focus && one === name) tab.focus();
  }
}

for (const name of TABS) {
  by(`tab-${name}`).addEventListener("click", () => turnTo(name));
  by(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") turnTo(TABS.find((one) => one !== name), true);
  });
}
by("undo").addEventListener("click", () => send("undo", {}, "Taken back."));
theme(by("theme"), () => {});
ask("state").then((told) => {
  state = told;
  show();
  if (state.rows.length) turnTo("board");
}).catch((error) => showError(error.message));
