// The page of a review: shows one item after the other, sends what is decided of it, and knows its keys.
import { ask, by, showError } from "./parts.js";
import { el, swatch } from "./view-dom.js";
import { placeText } from "./view-map.js";
import { theme } from "./view-theme.js";
import { ReviewMap } from "./review_map.js";

const ACTIONS = {
  label: [["keep", "K", "Keep it"], ["drop", "X", "Drop it"], ["skip", "S", "Skip"]],
  object: [["add", "T", "Add it"], ["keep", "K", "It is none"], ["skip", "S", "Skip"]],
  point: [["skip", "S", "Cannot tell"]],
};
const SURE = [["high", "H"], ["medium", "M"], ["low", "L"]];
const MARKS = { keep: "✓", relabel: "→", drop: "✕", add: "+", skip: "–", label: "✓" };
const DONE = { keep: "kept", drop: "dropped", add: "added", skip: "skipped" };

let facts = null, stage = null, items = [], decided = new Map(), rows = [];
let current = 0, chosen = ""; // chosen: a class that waits for how sure one is
let queue = Promise.resolve();

const item = () => items[current];
const classOf = (label) => facts.classes.find((one) => one.label === label);
const named = (label) => {
  const one = classOf(label);
  return one ? [...new Set([one.label, one.name])].join(" ").trim() : label;
};
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// -- what is asked

function showItem(words = "") {
  chosen = "";
  by("asked").hidden = false;
  const one = item(), said = decided.get(one.id);
  by("item").textContent = capital(one.id);
  by("facts").replaceChildren(...factRows(one, said));
  by("question").textContent = questionOf(one);
  by("note").value = said?.note ?? "";
  const actions = ACTIONS[one.kind].map(([decision, key, text]) => button(text, key, () => decide(decision), said?.decision === decision));
  by("actions").replaceChildren(...actions);
  by("classes").hidden = !facts.choose;
  for (const made of by("classes").children) {
    made.setAttribute("aria-pressed", String((said?.after ?? "") === made.dataset.label));
    made.disabled = one.kind === "label" && made.dataset.label === one.given;
    made.classList.toggle("said", made.dataset.label === one.said);
  }
  askSure();
  rows.forEach((row, place) => row.setAttribute("aria-current", String(place === current)));
  inList(rows[current]);
  by("said").textContent = `${words} ${capital(one.id)}. ${spoken(one)}`.trim();
  stage?.go(one.id).catch((error) => showError(error.message));
  const after = items[undecidedAfter(current)];
  if (after) stage?.outline(after.id).catch(() => {});
}

const withColour = (label) => el("span", {}, swatch(classOf(label)?.color ?? ""), ` ${named(label)}`);
const percent = (share) => `${Math.round(100 * share)} %`;

function factRows(one, said) {
  const place = facts.view.placed ? `${one.lat.toFixed(5)}, ${one.lon.toFixed(5)}` : placeText({ lng: one.lon, lat: one.lat }, false);
  const rows = [];
  if (one.kind === "label") rows.push(["Its class", withColour(one.given)]);
  if (one.said) rows.push([facts.choose ? "Models say" : "The map says", el("span", {}, withColour(one.said), `, ${percent(one.confidence)} sure`)]);
  if (one.suspicion !== null) rows.push(["Suspicion", percent(one.suspicion)]);
  rows.push([facts.view.placed ? "Lat, lon" : "Place", el("span", { className: "place" }, place)]);
  if (said) rows.push(["Decided", told(said)]);
  return rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
}

function told(said) {
  if (said.decision === "relabel") return `now ${named(said.after)}`;
  if (said.decision === "label") return `${named(said.after)}, ${said.confidence} confidence`;
  return said.decision === "skip" && facts.kind === "points" ? "cannot tell" : DONE[said.decision];
}

function spoken(one) {
  if (one.kind === "label") return `Its class is ${named(one.given)}; ${facts.choose ? "models say" : "the map says"} ${named(one.said)}, ${percent(one.confidence)} sure.`;
  return one.kind === "object" ? `No label touches it; the map says ${named(one.said)}, ${percent(one.confidence)} sure.` : "";
}

function questionOf(one) {
  if (one.kind === "label") return facts.choose ? "Is its class right? Else choose the right one." : "Is this label right?";
  if (one.kind === "object") return `No label touches this. Is it a ${named(one.said)} that was missed?`;
  return "Which class covers most of the square?";
}

function button(text, key, run, pressed) {
  const made = el("button", { type: "button", onclick: run, "aria-pressed": String(Boolean(pressed)) }, `${text} `, el("kbd", {}, key));
  made.setAttribute("aria-keyshortcuts", key === "Esc" ? "Escape" : key);
  return made;
}

/** The three degrees of being sure, once a class of a point is chosen. */
function askSure() {
  by("sure").hidden = !chosen;
  by("sure-question").textContent = chosen ? `${named(chosen)}: how sure are you?` : "";
  if (chosen) {
    for (const made of by("classes").children) made.setAttribute("aria-pressed", String(made.dataset.label === chosen));
    by("sure").querySelector("button").focus({ preventScroll: true });
  }
}

function chooseClass(label) {
  if (facts.kind === "labels") {
    if (item().kind === "label" && item().given !== label) decide("relabel", label);
    return;
  }
  chosen = label;
  askSure();
}

// -- what is decided

/** Shows a decision at once, sends it after those on their way, and takes it back when it was not saved. */
function decide(decision, after = "", confidence = "") {
  const { id } = item(), before = decided.get(id);
  const said = { item: id, decision, after, confidence, note: by("note").value.trim() };
  mark(id, said);
  queue = queue.then(async () => {
    try {
      mark(id, (await ask("api/decide", said)).said);
      showError("");
    } catch (error) {
      mark(id, before);
      showError(error.message);
    }
  });
  by("written").textContent = "";
  const next = undecidedAfter(current);
  const words = `${capital(id)}: ${told(said)}.`;
  if (next >= 0) current = next;
  showItem(next >= 0 ? words : `${words} All are decided.`);
}

function undo() {
  queue = queue.then(async () => {
    try {
      const back = await ask("api/undo", {});
      if (!back.item) return (by("said").textContent = "Nothing is left to undo.");
      mark(back.item, back.said);
      current = items.findIndex((one) => one.id === back.item);
      by("written").textContent = "";
      showItem("Taken back.");
    } catch (error) {
      showError(error.message);
    }
  });
}

function write() {
  by("write").disabled = true;
  queue = queue.then(async () => {
    try {
      const { output, log, decided: number, ...counts } = await ask("api/write", {});
      const words = Object.entries(counts).map(([name, value]) => `${value} ${name}`).join(", ");
      by("written").textContent = `Written: ${output} (${words}). Log: ${log}`;
    } catch (error) {
      showError(error.message);
    }
    by("write").disabled = false;
  });
}

function mark(id, said) {
  if (said) decided.set(id, said);
  else decided.delete(id);
  const place = items.findIndex((one) => one.id === id);
  const row = rows[place];
  row.querySelector(".mark").textContent = said ? MARKS[said.decision] : "";
  row.querySelector(".what").textContent = rowWords(items[place], said);
  progress();
}

function progress() {
  const done = items.filter((one) => decided.has(one.id)).length;
  by("bar").max = items.length || 1;
  by("bar").value = done;
  by("progress").textContent = `${done} of ${items.length} decided`;
}

/** The place of the next item of which nothing was said, from the top again after the end; -1 for none. */
function undecidedAfter(place) {
  const order = [...items.keys()].map((step) => (place + 1 + step) % items.length);
  return order.find((one) => one !== place && !decided.has(items[one].id)) ?? -1;
}

function move(step) {
  current = (current + step + items.length) % items.length;
  showItem();
}

// -- list and keys

/** Scrolls the list, and nothing else, to a row. */
function inList(row) {
  const list = by("list"), top = row.offsetTop;
  if (top < list.scrollTop || top + row.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
}

function rowWords(one, said) {
  if (one.kind === "point") return said ? told(said) : "";
  if (one.kind === "object") return one.said;
  const now = said?.decision === "relabel" ? said.after : one.said;
  return now === one.given ? now : `${one.given} → ${now}`;
}

function drawList() {
  rows = items.map((one, place) => el("button", { type: "button", onclick: () => { current = place; showItem(); } },
    el("span", { className: "mark" }), el("span", {}, one.id), el("span", { className: "what" }),
    el("span", { className: "soft" }, one.suspicion === null ? "" : one.suspicion.toFixed(2))));
  by("list").replaceChildren(...rows.map((row) => el("li", {}, row)));
  for (const one of items) mark(one.id, decided.get(one.id));
}

function drawClasses() {
  by("classes").replaceChildren(...facts.classes.map(({ label, color, key }) => {
    const made = el("button", { type: "button", onclick: () => chooseClass(label), "aria-pressed": "false" },
      swatch(color), el("span", {}, named(label)), key ? el("kbd", {}, key.toUpperCase()) : null);
    if (key) made.setAttribute("aria-keyshortcuts", key.toUpperCase());
    made.dataset.label = label;
    return made;
  }));
  by("sure").append(...SURE.map(([word, key]) => button(capital(word), key, () => decide("label", chosen, word))),
    button("Another class", "Esc", () => showItem()));
}

function drawPictures() {
  by("picture").replaceChildren(...stage.pictures.map(({ title }, place) => el("option", { value: String(place) }, title)));
  by("overlay").hidden = !stage.classes;
}

/** What a key does now; undefined for none. */
function actionOf(key) {
  if (chosen) {
    const sure = SURE.find(([, letter]) => letter.toLowerCase() === key);
    return sure ? () => decide("label", chosen, sure[0]) : key === "escape" ? () => showItem() : undefined;
  }
  const action = ACTIONS[item().kind].find(([, letter]) => letter.toLowerCase() === key);
  if (action) return () => decide(action[0]);
  const one = facts.choose && key ? facts.classes.find((known) => known.key === key) : null;
  if (one) return () => chooseClass(one.label);
  return { u: undo, n: () => by("note").focus(), i: nextPicture, m: toggleMap, z: toggleFar, o: () => stage?.fit(),
    arrowleft: () => move(-1), arrowright: () => move(1) }[key];
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !items.length) return;
  const { target } = event;
  if (target.id === "note") {
    if (["Enter", "Escape"].includes(event.key)) { event.preventDefault(); by("item").focus(); }
    return;
  }
  if (target.matches("select, input[type=range]") || (target.matches("canvas") && event.key.startsWith("Arrow"))) return;
  const run = actionOf(event.key.toLowerCase());
  if (!run) return;
  event.preventDefault();
  run();
}

function nextPicture() {
  if (!stage) return;
  by("picture").selectedIndex = (by("picture").selectedIndex + 1) % stage.pictures.length;
  choosePicture();
}

function choosePicture() {
  stage.chosen = stage.pictures[by("picture").selectedIndex];
  stage.refresh();
}

function toggleMap() {
  if (!stage?.classes) return;
  by("map-on").checked = !by("map-on").checked;
  showMap();
}

function showMap() {
  stage.classesOn = by("map-on").checked;
  stage.classes.opacity = Number(by("map-opacity").value) / 100;
  stage.refresh();
}

function toggleFar() {
  if (!stage) return;
  stage.far = !stage.far;
  by("far").setAttribute("aria-pressed", String(stage.far));
  stage.fit();
}

const KEYS = [["Letters and digits", "what stands beside a button"], ["← →", "item before, next item"], ["N", "write a note; Enter goes back"],
  ["U", "take the last decision back"], ["I", "next image"], ["M", "map on or off (labels)"], ["Z", "see more around"], ["O", "back to the outline"]];

async function begin() {
  facts = await ask("api/review.json");
  ({ items } = facts);
  decided = new Map(Object.entries(facts.decided));
  document.title = `${facts.title} – Jido`;
  by("title").textContent = facts.title;
  by("note").maxLength = facts.longest_note;
  by("keys").replaceChildren(...KEYS.flatMap(([key, words]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)]));
  by("write").textContent = facts.kind === "points" ? "Write into the sample" : "Write the corrected labels";
  by("write-words").textContent = "Every decision is saved at once. The file is written now, or when Jido is stopped with Ctrl-C.";
  drawList();
  drawClasses();
  try {
    stage = new ReviewMap(by("map"), facts.view);
    drawPictures();
  } catch {
    showError("This browser cannot draw the map: WebGL is off or missing.");
  }
  theme(by("theme"), () => stage?.view.ready.then(() => stage.view.recolour()));
  listen();
  if (!items.length) return showError("There is nothing to look at.");
  current = Math.max(undecidedAfter(items.length - 1), 0);
  if (!decided.has(items[items.length - 1].id) && items.length === 1) current = 0;
  showItem();
  stage?.map.once("idle", () => document.documentElement.setAttribute("data-ready", ""));
}

function listen() {
  document.addEventListener("keydown", onKey);
  const on = (id, event, run) => by(id).addEventListener(event, run);
  on("back", "click", () => move(-1));
  on("next", "click", () => move(1));
  on("undo", "click", undo);
  on("write", "click", write);
  on("picture", "change", choosePicture);
  on("map-on", "change", showMap);
  on("map-opacity", "input", () => { by("map-on").checked = true; showMap(); });
  on("far", "click", toggleFar);
  on("fit", "click", () => stage?.fit());
}

begin().catch((error) => {
  showError(`The page could not start: ${error.message}`);
  throw error;
});
