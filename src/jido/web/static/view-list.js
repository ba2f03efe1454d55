// The list of layers: what is shown, how strongly, in which colours and bands.
import { base } from "./view-map.js";
import { el, number, swatch } from "./view-dom.js";

const LONG = 24; // letters of a class name from which on the legend has one column

/** Draws the list; `changed(layer)` is called when somebody changes one. */
export function drawList(root, facts, changed) {
  const groups = new Map();
  for (const layer of facts.layers) groups.set(layer.group, [...(groups.get(layer.group) ?? []), layer]);
  for (const [group, layers] of groups) {
    root.append(el("h3", {}, group), ...layers.map((layer) => line(layer, facts, changed)));
  }
}

function line(layer, facts, changed) {
  const more = el("div", { className: "more" });
  const box = el("input", { type: "checkbox", checked: layer.visible, onchange: () => {
    layer.visible = box.checked;
    changed(layer);
  } });
  layer.refresh = () => {
    box.checked = layer.visible;
    more.hidden = !layer.visible;
    if (layer.visible && !more.hasChildNodes()) more.append(...details(layer, facts, changed));
  };
  layer.refresh();
  const day = layer.day ? ` · ${layer.day}` : "";
  return el("div", { className: "layer", id: `layer-${layer.id}` }, el("label", {}, box, `${layer.title}${day}`), more);
}

function details(layer, facts, changed) {
  const opacity = el("input", { type: "range", min: 0, max: 100, value: Math.round(layer.opacity * 100), id: `opacity-${layer.id}`, oninput: () => {
    layer.opacity = opacity.value / 100;
    changed(layer);
  } });
  const parts = [el("p", { className: "row" }, el("label", { htmlFor: opacity.id }, "Opacity"), opacity)];
  const legend = el("div");
  const redraw = () => legend.replaceChildren(...legendOf(layer));
  if (layer.kind === "vector" && layer.columns.length) parts.push(columnChoice(layer, () => (redraw(), changed(layer))));
  if (!facts.static && (layer.kind === "image" || layer.kind === "cells")) parts.push(...bandControls(layer, () => (redraw(), changed(layer))));
  if (!facts.static && layer.kind === "share" && layer.choices.length > 1) parts.push(bandChoice(layer, "Class", () => (redraw(), changed(layer))));
  redraw();
  return [...parts, legend];
}

function legendOf(layer) {
  const column = layer.kind === "vector" ? layer.columns[layer.column] : null;
  const classes = layer.classes ?? column?.classes;
  if (classes) {
    const long = classes.some((c) => c.label.length > LONG);
    return [el("ul", { className: long ? "legend long" : "legend", "aria-label": "Legend" }, ...classes.map((c) => el("li", {}, swatch(c.color), c.label)))];
  }
  if (layer.kind === "unsure") return [el("ul", { className: "legend long", "aria-label": "Legend" }, el("li", {}, swatch("", "unsure"), "the map is unsure here"))];
  if (layer.kind === "vector" && !column) return [el("ul", { className: "legend", "aria-label": "Legend" }, el("li", {}, swatch(layer.color), "outlines"))];
  if (column) return ramp(layer, column.low, column.high, "");
  if (layer.kind === "percent" || layer.kind === "share") return ramp(layer, layer.low, layer.high, layer.unit);
  if ((layer.kind === "image" || layer.kind === "cells") && shownBands(layer).length === 1 && layer.limits) return ramp(layer, ...layer.limits, "");
  return [];
}

function ramp(layer, low, high, unit) {
  const bar = el("div", { className: "ramp", role: "img", "aria-label": `Colours from ${number(low)} to ${number(high)}` });
  bar.style.background = `linear-gradient(to right, ${layer.ramp.join(", ")})`;
  const ends = [low, (low + high) / 2, high].map((value) => el("span", {}, `${number(value)}${unit && ` ${unit}`}`));
  return [bar, el("div", { className: "ends" }, ...ends)];
}

function columnChoice(layer, redraw) {
  const id = `column-${layer.id}`;
  const choice = el("select", { id, onchange: () => {
    layer.column = Number(choice.value);
    redraw();
  } }, ...layer.columns.map((column, i) => el("option", { value: i }, column.name)), el("option", { value: -1 }, "outlines only"));
  choice.value = layer.column;
  return el("p", { className: "row" }, el("label", { htmlFor: id }, "Colour by"), choice);
}

export const shownBands = (layer) => layer.bandsChosen ?? layer.shown;

function bandSelect(layer, value, label, chosen) {
  const select = el("select", { "aria-label": label, onchange: () => chosen(Number(select.value)) },
    ...layer.choices.map((band) => el("option", { value: band }, layer.bands[band - 1])));
  select.value = value;
  return select;
}

function bandChoice(layer, label, redraw) {
  const select = bandSelect(layer, shownBands(layer)[0], label, (band) => {
    layer.bandsChosen = [band];
    redraw();
  });
  return el("p", { className: "row" }, el("span", { className: "small" }, label), select);
}

/** Which bands are red, green and blue, or which one is shown; and between which values. */
function bandControls(layer, redraw) {
  const own = el("div");
  const stretch = el("div");
  const presets = Object.entries(layer.combinations);
  const choose = (bands) => {
    layer.bandsChosen = bands;
    layer.stretch = null;
    drawOwn();
    drawStretch(layer, stretch, redraw);
    redraw();
  };
  const drawOwn = () => {
    const bands = shownBands(layer);
    const names = bands.length === 3 ? ["Red", "Green", "Blue"] : ["Band"];
    own.replaceChildren(...names.map((name, i) => el("p", { className: "row" }, el("span", { className: "small" }, name),
      bandSelect(layer, bands[i], `${name} of ${layer.group}`, (band) => choose(bands.with(i, band))))));
  };
  const mode = el("select", { "aria-label": `Bands of ${layer.group}`, onchange: () => {
    const preset = layer.combinations[mode.value];
    const all = layer.choices;
    choose(preset ?? (mode.value === "one" ? [shownBands(layer)[0]] : [0, 1, 2].map((i) => shownBands(layer)[i] ?? all[i % all.length])));
  } },
    ...presets.map(([title]) => el("option", { value: title }, title)),
    layer.kind === "image" && layer.choices.length > 2 ? el("option", { value: "three" }, "three bands") : null,
    el("option", { value: "one" }, "one band"));
  const same = presets.find(([, bands]) => String(bands) === String(shownBands(layer)));
  mode.value = same ? same[0] : shownBands(layer).length === 3 ? "three" : "one";
  drawOwn();
  const box = el("details", { ontoggle: () => box.open && drawStretch(layer, stretch, redraw) }, el("summary", {}, "Bands and stretch"), own, stretch);
  if (shownBands(layer).length === 1) drawStretch(layer, stretch, redraw);
  return [el("p", { className: "row" }, el("span", { className: "small" }, "Show"), mode), box];
}

/** Histograms, with the values that are darkest and brightest. */
async function drawStretch(layer, root, redraw) {
  const asked = String(shownBands(layer));
  const answer = await fetch(`${base}api/stretch/${layer.id}.json?bands=${asked}`);
  if (!answer.ok) return;
  const { bands } = await answer.json();
  if (String(shownBands(layer)) !== asked) return; // other bands were chosen while it came
  const limits = layer.stretch ?? bands.flatMap((band) => [band.low, band.high]);
  layer.limits = limits.slice(0, 2);
  const apply = (values) => {
    layer.stretch = values;
    layer.limits = (values ?? limits).slice(0, 2);
    redraw();
  };
  const inputs = limits.map((value, i) => el("input", { type: "number", step: "any", value, "aria-label": `${i % 2 ? "Brightest" : "Darkest"} value of ${layer.bands[bands[i >> 1].band - 1]}`, onchange: () => {
    const values = inputs.map((input) => Number(input.value));
    if (inputs.every((input) => input.value !== "") && values.every((v, k) => k % 2 === 0 || values[k - 1] < v)) apply(values);
  } }));
  const boxes = bands.map((band, i) => el("fieldset", { className: "band" },
    el("legend", { className: "small" }, layer.bands[band.band - 1]), histogram(band),
    el("p", { className: "row" }, inputs[2 * i], "to", inputs[2 * i + 1])));
  const reset = el("button", { type: "button", onclick: () => {
    layer.stretch = null;
    drawStretch(layer, root, redraw);
  } }, "Stretch by itself");
  root.replaceChildren(...boxes, reset);
  redraw();
}

function histogram({ counts, from, to }) {
  const most = Math.max(...counts, 1);
  const bars = counts.map((count, i) => el("rect", { x: i, y: 10 - (10 * count) / most, width: 0.92, height: (10 * count) / most }));
  return el("svg", { viewBox: `0 0 ${counts.length || 1} 10`, preserveAspectRatio: "none", role: "img",
    "aria-label": `How the values lie between ${number(from)} and ${number(to)}` }, ...bars);
}
