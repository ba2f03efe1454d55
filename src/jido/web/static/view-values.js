// What lies at a place: values of all bands of the files in view, and what polygons say.
import { base, placeText, tileUrl } from "./view-map.js";
import { el, number, swatch, table } from "./view-dom.js";

/** Draws the values at a place into `root`; a later call makes an earlier one moot. */
export async function drawValues(root, facts, view, place, point, layers) {
  const turn = (root.turn = (root.turn ?? 0) + 1);
  const parts = [el("p", { className: "small", id: "here-place" }, placeText(place, facts.placed, 6))];
  const found = facts.static ? await fromTiles(view, place, layers) : await fromFiles(place, layers);
  if (turn !== root.turn) return;
  for (const { group, values } of found) {
    const rows = values.map((row) => [row.band, el("span", {}, row.color ? swatch(row.color) : null, ` ${row.text}`)]);
    parts.push(el("h3", {}, group), rows.length ? table("", ["Band", "Value"], rows) : el("p", { className: "hint" }, "outside"));
  }
  for (const feature of view.featuresAt(point).slice(0, 12)) {
    const layer = facts.layers.find((one) => one.id === feature.id);
    const rows = Object.entries(feature.properties).map(([name, value]) => [name, number(value)]);
    parts.push(el("h3", {}, layer.title), rows.length ? table("", ["Column", "Value"], rows) : el("p", { className: "hint" }, "no columns"));
  }
  if (facts.static && layers.some((layer) => layer.kind === "image" || layer.kind === "percent" || layer.kind === "share")) {
    parts.push(el("p", { className: "hint" }, "This page is a copy: numbers of images are seen with `jido view`."));
  }
  root.replaceChildren(...parts);
}

async function fromFiles({ lng, lat }, layers) {
  const files = new Map(layers.filter((l) => l.kind !== "vector").map((layer) => [layer.group, layer]));
  return Promise.all([...files.values()].map(async (layer) => {
    const answer = await fetch(`${base}api/value/${layer.id}.json?lon=${lng}&lat=${lat}`);
    const facts = await answer.json();
    return answer.ok ? facts : { group: layer.group, values: [{ band: "", text: facts.error }] };
  }));
}

/** In a copy without a server: the class whose colour the tile has there. */
async function fromTiles(view, place, layers) {
  return Promise.all(layers.filter((l) => l.classes).map(async (layer) => {
    const n = 2 ** layer.maxzoom;
    const x = ((place.lng + 180) / 360) * n;
    const y = ((1 - Math.asinh(Math.tan((place.lat * Math.PI) / 180)) / Math.PI) / 2) * n;
    const url = tileUrl(layer).replace("{z}", layer.maxzoom).replace("{x}", Math.floor(x)).replace("{y}", Math.floor(y));
    const answer = await fetch(url);
    if (!answer.ok) return { group: `${layer.group}: ${layer.title}`, values: [] };
    const picture = await createImageBitmap(await answer.blob());
    const canvas = el("canvas", { width: picture.width, height: picture.height });
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0);
    const [r, g, b, a] = pen.getImageData(Math.floor((x % 1) * picture.width), Math.floor((y % 1) * picture.height), 1, 1).data;
    const hex = `#${[r, g, b].map((v) => v.toString(16).padStart(2, "0")).join("")}`.toUpperCase();
    const hit = a ? layer.classes.find((c) => c.color.toUpperCase() === hex) : null;
    return { group: `${layer.group}: ${layer.title}`, values: [{ band: "class", text: hit?.label ?? "no data", color: hit?.color }] };
  }));
}
