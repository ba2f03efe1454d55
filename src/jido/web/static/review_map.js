// What is behind an outline: images to choose from, the map over them, and the outline itself.
import { MapView, base } from "./view-map.js";

const NOTHING = { type: "FeatureCollection", features: [] };
const AROUND = 0.32; // of the shorter side of the stage, left free on each side of an outline
const FARTHER = 2; // zooms
const SMALL = 64; // pixels: a smaller outline is shown larger, however coarse the image becomes

export class ReviewMap {
  constructor(container, facts) {
    this.view = new MapView(container, facts);
    this.map = this.view.map;
    this.view.addControls();
    for (const layer of facts.layers) layer.opacity = layer.kind === "classes" ? 0.55 : 1;
    this.classes = facts.layers.find((layer) => layer.kind === "classes") ?? null;
    this.pictures = facts.layers.filter((layer) => layer.kind === "image").flatMap(choices);
    this.finest = Math.max(...facts.layers.map((layer) => layer.maxzoom)) + 1;
    this.chosen = this.pictures[0];
    this.classesOn = false;
    this.far = false;
    this.outlines = new Map();
    this.ready = this.view.ready.then(() => this.#addOutline());
  }

  #addOutline() {
    this.map.addSource("item", { type: "geojson", data: NOTHING });
    const line = (id, color, width) => ({ id, type: "line", source: "item", paint: { "line-color": color, "line-width": width } });
    const ring = (id, color, width) => ({ id, type: "circle", source: "item", filter: ["==", ["geometry-type"], "Point"],
      paint: { "circle-radius": 12, "circle-opacity": 0, "circle-stroke-color": color, "circle-stroke-width": width } });
    this.map.addLayer(line("item-dark", "#000000", 5));
    this.map.addLayer(line("item-light", "#ffe14d", 2.5));
    this.map.addLayer(ring("item-ring-dark", "#000000", 5));
    this.map.addLayer(ring("item-ring-light", "#ffe14d", 2.5));
    return this.refresh();
  }

  /** Shows what is chosen now. */
  refresh() {
    this.chosen.layer.bandsChosen = this.chosen.bands;
    return this.view.show([...(this.classesOn && this.classes ? [this.classes] : []), this.chosen.layer]);
  }

  /** The outline of an item, asked for once. */
  outline(id) {
    if (!this.outlines.has(id)) {
      const asked = fetch(`${base}api/outline.json?item=${encodeURIComponent(id)}`).then((answer) => {
        if (!answer.ok) throw new Error("The outline could not be loaded: is Jido still running?");
        return answer.json();
      });
      asked.catch(() => this.outlines.delete(id));
      this.outlines.set(id, asked);
    }
    return this.outlines.get(id);
  }

  /** Goes to an item; only the last one that was asked for is shown. */
  async go(id) {
    this.wanted = id;
    const [found] = await Promise.all([this.outline(id), this.ready]);
    if (this.wanted !== id) return;
    this.map.getSource("item").setData({ type: "Feature", properties: {}, geometry: found.geometry });
    this.bounds = found.bounds;
    this.fit();
  }

  /** The item in the middle, with more around it when that is wanted. */
  fit() {
    if (!this.bounds) return;
    const canvas = this.map.getCanvas();
    const [west, south, east, north] = this.bounds;
    const padding = AROUND * Math.min(canvas.clientWidth, canvas.clientHeight);
    const camera = this.map.cameraForBounds([[west, south], [east, north]], { padding, maxZoom: 24 });
    const side = Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * padding;
    const enlarged = east > west ? camera.zoom - Math.log2(side / SMALL) : 0; // a point has no size
    const zoom = Math.min(camera.zoom, Math.max(this.finest, enlarged));
    this.map.jumpTo({ center: camera.center, zoom: this.far ? zoom - FARTHER : zoom });
  }
}

/** An image in the combinations of bands that it has; the first as it is shown without a choice. */
function choices(layer) {
  const name = `${layer.group}${layer.day ? ` (${layer.day})` : ""}`;
  const known = Object.entries(layer.combinations);
  if (!known.length) return [{ layer, bands: layer.shown, title: `${name}: ${layer.shown.map((band) => layer.bands[band - 1]).join(", ")}` }];
  return known.map(([words, bands]) => ({ layer, bands, title: `${name}: ${words}` }));
}
