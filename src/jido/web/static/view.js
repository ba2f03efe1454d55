// The page: asks what there is, draws the map, the list and the figures, and keeps them together.
import { MapView, base, placeText } from "./view-map.js";
import { el } from "./view-dom.js";
import { drawList } from "./view-list.js";
import { drawReports } from "./view-report.js";
import { Swipe } from "./view-swipe.js";
import { theme } from "./view-theme.js";
import { drawTime } from "./view-time.js";
import { drawValues } from "./view-values.js";

const $ = (id) => document.getElementById(id);

function say(text) {
  $("status").textContent = text;
}

async function begin() {
  const answer = await fetch(`${base}api/layers.json`);
  const facts = await answer.json();
  if (!answer.ok) return say(facts.error);
  for (const layer of facts.layers) Object.assign(layer, { opacity: layer.kind === "vector" ? 0.7 : 1, column: 0 });
  document.title = `${facts.title} · Jido`;
  $("title").textContent = facts.title;
  $("notes").replaceChildren(...facts.notes.map((note) => el("p", { className: "warn" }, note)));
  $("lead").textContent = facts.reports.length === 1 ? facts.reports[0].statement : "";
  drawReports($("reports"), facts);
  let view;
  try {
    view = new MapView($("map"), facts);
  } catch {
    return say("This browser cannot draw the map: WebGL is off or missing. The figures are below.");
  }
  view.addControls();
  const swipe = new Swipe(view, facts);
  const visible = () => facts.layers.filter((layer) => layer.visible);
  const update = () => Promise.all([view.show(visible()), swipe.layer && swipe.second?.show([swipe.layer])]);
  drawList($("layers"), facts, (layer) => {
    layer.refresh();
    update();
  });
  const compare = (layer) => {
    $("compare").value = layer.id;
    swipe.compare(layer);
  };
  const changed = (layers) => {
    for (const layer of layers) layer.refresh();
    update();
  };
  drawTime($("time"), facts, { changed, compared: () => swipe.layer, compare });
  compareChoice(facts, swipe);
  theme($("theme"), () => (view.recolour(), swipe.recolour()));
  mapEvents(facts, view, swipe, visible);
  await update();
  view.map.once("idle", () => document.documentElement.setAttribute("data-ready", ""));
}

function compareChoice(facts, swipe) {
  const choice = $("compare");
  const named = (layer) => `${layer.group}: ${layer.title}${layer.day && ` · ${layer.day}`}`;
  choice.append(...facts.layers.map((layer) => el("option", { value: layer.id }, named(layer))));
  choice.addEventListener("change", () => swipe.compare(facts.layers.find((layer) => layer.id === choice.value) ?? null));
}

function mapEvents(facts, view, swipe, visible) {
  const { map } = view;
  const labels = $("grid-labels");
  const grid = () => labels.replaceChildren(...view.drawGrid().map(gridLabel));
  view.ready.then(grid);
  map.on("move", grid);
  map.on("resize", grid);
  const identify = (place, point) => {
    const right = swipe.right(point);
    const layers = right ? [swipe.layer] : visible();
    view.markHere(place);
    drawValues($("here"), facts, right ? swipe.second : view, place, point, layers);
  };
  map.on("click", (event) => identify(event.lngLat, event.point));
  map.getCanvas().addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const middle = map.getCenter();
    identify(middle, map.project(middle));
  });
  map.on("mousemove", (event) => ($("pointer").textContent = placeText(event.lngLat, facts.placed)));
  map.on("mouseout", () => ($("pointer").textContent = ""));
  map.on("jido.note", (event) => say(event.text));
  map.on("error", (event) => {
    if (event.error?.name !== "AbortError") say("A part of the map could not be shown; the terminal may say why.");
  });
}

function gridLabel({ text, x, y }) {
  const label = el("span", {}, text);
  Object.assign(label.style, x === null ? { left: "4px", top: `${y - 8}px` } : { left: `${x + 3}px`, top: "3px" });
  return label;
}

begin().catch((error) => {
  say(`The page could not start: ${error.message}`);
  throw error;
});
