// One map: layers as MapLibre knows them, the lines of latitude and longitude, and where things are.
import * as maplibregl from "./maplibre-gl.mjs";

export const base = new URL(".", document.baseURI).href;
maplibregl.setWorkerUrl(`${base}static/maplibre-gl-worker.mjs`);

const EARTH = 20037508.342789244; // metres from the middle of web Mercator to its edge
const NOTHING = { type: "FeatureCollection", features: [] };
const MISSING = "#9E9E9E";

/** Metres of web Mercator; images without a place on Earth have their columns and rows there. */
export function plane(lng, lat) {
  const y = Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)) / Math.PI;
  return [(lng / 180) * EARTH, y * EARTH];
}

function lngLat(x, y) {
  return [(x / EARTH) * 180, (Math.atan(Math.exp((y / EARTH) * Math.PI)) * 360) / Math.PI - 90];
}

/** A place in words: degrees, or column and row. */
export function placeText({ lng, lat }, placed, digits = 5) {
  if (!placed) {
    const [x, y] = plane(lng, lat);
    return `column ${Math.floor(x)}, row ${Math.floor(-y)}`;
  }
  const [ns, ew] = [lat < 0 ? "S" : "N", lng < 0 ? "W" : "E"];
  return `${Math.abs(lat).toFixed(digits)}° ${ns}, ${Math.abs(lng).toFixed(digits)}° ${ew}`;
}

/** The address of a layer's tiles with the bands and the stretch that are chosen. */
export function tileUrl(layer) {
  let url = base + layer.tiles;
  if (layer.bandsChosen) url += `&bands=${layer.bandsChosen.join(",")}`;
  if (layer.stretch) url += `&stretch=${layer.stretch.join(",")}`;
  return url;
}

function colour(layer) {
  const column = layer.columns[layer.column];
  if (!column) return layer.color;
  const value = ["get", column.name];
  if (column.classes) {
    const pairs = column.classes.flatMap((c) => [String(c.value), c.color]);
    return ["match", ["to-string", value], ...pairs, MISSING];
  }
  const span = column.high - column.low || 1;
  const stops = layer.ramp.flatMap((c, i) => [column.low + (span * i) / (layer.ramp.length - 1), c]);
  return ["case", ["==", ["typeof", value], "number"], ["interpolate", ["linear"], value, ...stops], MISSING];
}

export class MapView {
  constructor(container, { bounds, placed, interactive = true }) {
    this.placed = placed;
    this.shown = new Map(); // id of a layer -> what was last said of it
    this.urls = new Map(); // id of a layer -> where its tiles come from
    this.begun = false;
    this.map = new maplibregl.Map({
      container,
      style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background" }] },
      bounds: [bounds.slice(0, 2), bounds.slice(2)],
      fitBoundsOptions: { padding: 30, maxZoom: 21 },
      maxZoom: 24,
      hash: interactive ? "at" : false,
      interactive,
      attributionControl: false,
      renderWorldCopies: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate?.disableRotation();
    this.map.keyboard.disableRotation();
    this.ready = new Promise((done) => this.map.once("load", done));
    this.ready.then(() => this.#begin());
  }

  addControls() {
    this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    if (this.placed) this.map.addControl(new maplibregl.ScaleControl({ maxWidth: 140 }), "bottom-left");
  }

  #begin() {
    this.map.addSource("grid", { type: "geojson", data: NOTHING });
    this.map.addLayer({ id: "grid", type: "line", source: "grid", paint: { "line-width": 1, "line-opacity": 0.45 } });
    this.map.addSource("here", { type: "geojson", data: NOTHING });
    this.map.addLayer({
      id: "here",
      type: "circle",
      source: "here",
      paint: { "circle-radius": 6, "circle-color": "#ffffff", "circle-stroke-width": 3, "circle-stroke-color": "#000000" },
    });
    this.map.on("moveend", () => this.#loadInView());
    this.begun = true;
    this.recolour();
  }

  /** Takes the colours of the theme. */
  recolour() {
    if (!this.begun) return;
    const style = getComputedStyle(document.documentElement);
    this.map.setPaintProperty("ground", "background-color", style.getPropertyValue("--ground").trim());
    this.map.setPaintProperty("grid", "line-color", style.getPropertyValue("--grid").trim());
  }

  /** Shows layers, the first one on top, and hides all others; vectors lie above rasters. */
  async show(layers) {
    await this.ready;
    const wanted = [...layers.filter((l) => l.kind !== "vector").reverse(), ...layers.filter((l) => l.kind === "vector").reverse()];
    const ids = new Set(wanted.map((layer) => layer.id));
    for (const id of this.shown.keys()) if (!ids.has(id)) this.#visible(id, "none");
    for (const layer of wanted) {
      if (!this.map.getSource(layer.id)) this.#add(layer);
      this.#paint(layer.id, layer);
      this.#visible(layer.id, "visible");
      for (const part of this.#parts(layer.id)) this.map.moveLayer(part, "grid");
    }
    this.#loadInView();
  }

  #parts(id) {
    return [`${id}-fill`, `${id}-line`, `${id}-point`, id].filter((part) => this.map.getLayer(part));
  }

  #visible(id, visibility) {
    for (const part of this.#parts(id)) this.map.setLayoutProperty(part, "visibility", visibility);
    if (visibility === "none") this.shown.delete(id);
  }

  #add(layer) {
    const { id } = layer;
    if (layer.kind !== "vector") {
      const { bounds, minzoom, maxzoom } = layer;
      this.urls.set(id, tileUrl(layer));
      this.map.addSource(id, { type: "raster", tiles: [this.urls.get(id)], tileSize: 256, bounds, minzoom, maxzoom });
      const resampling = layer.kind === "image" ? "linear" : "nearest";
      this.map.addLayer({ id, type: "raster", source: id, paint: { "raster-resampling": resampling, "raster-fade-duration": 0 } });
      return;
    }
    const data = layer.whole ? `${base}api/features/${id}.json` : NOTHING;
    this.map.addSource(id, { type: "geojson", data });
    if (layer.points) {
      this.map.addLayer({ id: `${id}-point`, type: "circle", source: id, paint: { "circle-stroke-width": 1, "circle-stroke-color": "#000000" } });
      return;
    }
    this.map.addLayer({ id: `${id}-fill`, type: "fill", source: id, paint: { "fill-antialias": false } });
    this.map.addLayer({ id: `${id}-line`, type: "line", source: id });
  }

  #paint(id, layer) {
    this.shown.set(id, layer);
    const set = (part, name, value) => this.map.setPaintProperty(part, name, value);
    if (layer.kind !== "vector") {
      set(id, "raster-opacity", layer.opacity);
      const url = tileUrl(layer);
      if (this.urls.get(id) !== url) this.map.getSource(id).setTiles([url]);
      this.urls.set(id, url);
      return;
    }
    const fill = colour(layer);
    if (layer.points) {
      set(`${id}-point`, "circle-color", fill);
      set(`${id}-point`, "circle-opacity", layer.opacity);
      set(`${id}-point`, "circle-radius", ["interpolate", ["linear"], ["zoom"], 6, 3, 14, 7]);
      return;
    }
    const column = layer.columns[layer.column];
    set(`${id}-fill`, "fill-color", fill);
    set(`${id}-fill`, "fill-opacity", column ? layer.opacity : layer.opacity * 0.15);
    set(`${id}-line`, "line-color", fill);
    set(`${id}-line`, "line-width", column ? 1 : 2);
    set(`${id}-line`, "line-opacity", Math.min(1, layer.opacity + 0.2));
  }

  /** Of layers with very many features those in view. */
  async #loadInView() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    for (const [id, layer] of this.shown) {
      if (layer.kind !== "vector" || layer.whole) continue;
      const box = this.map.getBounds().toArray().flat();
      const zoom = this.map.getZoom();
      const answer = await fetch(`${base}api/features/${id}.json?bbox=${box}&zoom=${zoom.toFixed(1)}`);
      if (!answer.ok) continue;
      const found = await answer.json();
      if (turn !== this.turn) return; // somebody moved on while it came
      this.map.getSource(id)?.setData(found);
      const words = `${layer.title}: the ${found.shown.toLocaleString("en")} largest of ${found.found.toLocaleString("en")} in view.`;
      this.map.fire("jido.note", { text: found.shown < found.found ? `${words} Zoom in for the others.` : "" });
    }
  }

  markHere({ lng, lat }) {
    const point = { type: "Feature", properties: {}, geometry: { type: "Point", coordinates: [lng, lat] } };
    this.map.getSource("here")?.setData(point);
  }

  /** Features of the vector layers that are shown at a place on the screen, once each. */
  featuresAt(point) {
    const parts = [...this.shown].filter(([, l]) => l.kind === "vector").flatMap(([id]) => this.#parts(id));
    const box = [[point.x - 3, point.y - 3], [point.x + 3, point.y + 3]];
    const seen = new Map();
    for (const part of parts) {
      const where = part.endsWith("-fill") ? point : box;
      for (const feature of this.map.queryRenderedFeatures(where, { layers: [part] })) {
        seen.set(`${feature.source} ${feature.id}`, { id: feature.source, properties: feature.properties });
      }
    }
    return [...seen.values()];
  }

  /** Lines of latitude and longitude (or of columns and rows) and where their words stand. */
  drawGrid() {
    const { map, placed } = this;
    if (!this.begun) return [];
    const [[west, south], [east, north]] = map.getBounds().toArray();
    const to = placed ? (lng, lat) => [lng, lat] : plane;
    const from = placed ? (x, y) => [x, y] : lngLat;
    const [left, low] = to(west, south);
    const [right, high] = to(east, north);
    const step = round((right - left) / 5);
    const lines = [];
    const words = [];
    const line = (a, b) => lines.push({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: [a, b] } });
    for (let x = Math.ceil(left / step) * step; x <= right && lines.length < 60; x += step) {
      line(from(x, low), from(x, high));
      words.push({ text: name(x, step, placed, "E", "W"), x: map.project(from(x, low)).x, y: null });
    }
    for (let y = Math.ceil(low / step) * step; y <= high && lines.length < 120; y += step) {
      line(from(left, y), from(right, y));
      words.push({ text: placed ? name(y, step, placed, "N", "S") : name(-y, step), x: null, y: map.project(from(left, y)).y });
    }
    map.getSource("grid")?.setData({ type: "FeatureCollection", features: lines });
    return words;
  }
}

/** 1, 2 or 5 times a power of ten that is near. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

function name(value, step, placed = false, plus = "", minus = "") {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (!placed) return (Math.abs(value) < step / 2 ? 0 : value).toFixed(digits);
  return `${Math.abs(value).toFixed(digits)}° ${value < -step / 2 ? minus : value > step / 2 ? plus : ""}`.trim();
}
