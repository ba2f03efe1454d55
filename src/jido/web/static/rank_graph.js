// The partial order as a graph: levels from the bottom up, arrows that do not follow from others, and names
// that nothing is said of. Layers after Sugiyama et al. 1981 (doi 10.1109/TSMC.1981.4308636): long arrows
// get a bend on each level they cross, and each level is sorted by the middle of its neighbours.

import { el } from "./view-dom.js";

const WIDE = 92, HIGH = 126, BOX = 86, PICTURE = 56, LEAST = 54, SWEEPS = 8;

/**
 * Places of boxes and bends.
 * @param {{nodes: {members: string[], level: number}[], edges: [number, number][]}} graph
 * @returns {{x: number[], levels: number[][], ways: number[][]}} x in columns for every box and bend; what lies
 *   on each level; each arrow as boxes and bends from the lower to the higher one
 */
export function layout({ nodes, edges }) {
  const level = nodes.map((node) => node.level);
  const ways = edges.map(([low, high]) => {
    const way = [low];
    for (let at = level[low] + 1; at < level[high]; at++) way.push(level.push(at) - 1);
    return [...way, high];
  });
  const levels = Array.from({ length: Math.max(-1, ...level) + 1 }, () => []);
  level.forEach((at, i) => levels[at].push(i));
  const near = level.map(() => []);
  for (const way of ways) {
    for (let i = 1; i < way.length; i++) {
      near[way[i]].push(way[i - 1]);
      near[way[i - 1]].push(way[i]);
    }
  }
  const widest = Math.max(1, ...levels.map((row) => row.length));
  const x = new Array(level.length).fill(0);
  const spread = (row) => row.forEach((one, i) => { x[one] = (widest - row.length) / 2 + i; });
  levels.forEach(spread);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const order = sweep % 2 ? levels.toReversed() : levels;
    const step = sweep % 2 ? 1 : -1;
    for (const row of order) {
      const middle = new Map(row.map((one) => {
        const seen = near[one].filter((other) => level[other] === level[one] + step);
        return [one, seen.length ? seen.reduce((sum, other) => sum + x[other], 0) / seen.length : x[one]];
      }));
      row.sort((a, b) => middle.get(a) - middle.get(b));
      spread(row);
    }
  }
  return { x, levels, ways };
}

/**
 * Draw a graph.
 * @param {HTMLElement} place is emptied
 * @param graph as layout() takes it, with skipped and text
 * @param {(name: string) => string} picture address of the small picture of a cluster
 * @param {string} words what boxes side by side mean
 * @param {(name: string) => void} [open] shows a cluster at large
 */
export function drawGraph(place, graph, picture, words, open) {
  const skipped = graph.skipped.length ? ` Nothing is said yet of: ${graph.skipped.join(", ")}.` : "";
  const hint = el("p", { class: "hint" }, graph.nodes.length ? words + skipped : "The order grows here.");
  if (!graph.nodes.length) {
    place.replaceChildren(hint);
    return;
  }
  const frame = el("div", { class: "graph", tabindex: 0, role: "group", "aria-label": "Graph of the order" });
  frame.append(drawn(graph, picture, open));
  const old = place.querySelector(".graph");
  const [left, top] = [old?.scrollLeft ?? 0, old?.scrollTop ?? 0];
  place.replaceChildren(hint, frame,
    el("p", { class: "text" }, "In one line: ", el("code", {}, graph.text)));
  frame.scrollTo(left, top);
}

function drawn(graph, picture, open) {
  const { x, levels, ways } = layout(graph);
  const columns = Math.max(...levels.map((row) => row.length));
  const width = columns * WIDE, height = levels.length * HIGH;
  const at = new Map();
  levels.forEach((row, i) => row.forEach((one) => {
    at.set(one, [(x[one] + 0.5) * WIDE, height - (i + 0.5) * HIGH]);
  }));
  const made = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": `Order: ${graph.text}`,
  });
  made.style.minWidth = `${columns * LEAST}px`;
  made.append(svg("defs", {}, svg("marker", {
    id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto",
  }, svg("path", { d: "M0 0 8 4 0 8z", class: "tip" }))));
  for (const way of ways) {
    made.append(svg("path", { d: line(way.map((one) => at.get(one))), class: "arrow", "marker-end": "url(#tip)" }));
  }
  graph.nodes.forEach((node, i) => made.append(box(node, at.get(i), picture, open)));
  return made;
}

/** From the top of the first place to the foot of the last one: bends between levels, straight beside boxes. */
function line(places) {
  const [[left, top], ...rest] = places;
  let [x, y] = [left, top - BOX / 2];
  let d = `M${x} ${y}`;
  rest.forEach(([toX, middle], i) => {
    const toY = middle + BOX / 2 + (i === rest.length - 1 ? 2 : 0), half = (y + toY) / 2;
    d += `C${x} ${half} ${toX} ${half} ${toX} ${toY}`;
    [x, y] = [toX, middle - BOX / 2];
    if (i < rest.length - 1) d += `V${y}`;
  });
  return d;
}

/** An element of a drawing; `on...` is listened to. */
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A group of equals: pictures side by side, names below. */
function box({ members }, [left, top], picture, open) {
  const shown = members.slice(0, 3);
  const side = Math.min(PICTURE, (WIDE - 12) / shown.length);
  const names = members.join(" = ");
  const short = names.length > 9 && members.length > 1 ? `${members[0]} +${members.length - 1}` : names;
  const made = svg("g", { class: "box", transform: `translate(${left} ${top})` }, svg("title", {}, names),
    svg("rect", { x: -WIDE / 2 + 3, y: -BOX / 2, width: WIDE - 6, height: BOX, rx: 6 }));
  shown.forEach((name, i) => made.append(svg("image", {
    href: picture(name), x: (i - shown.length / 2) * side + 1, y: -BOX / 2 + 4, width: side - 2, height: PICTURE,
    preserveAspectRatio: "xMidYMid slice", onclick: () => open?.(name),
  })));
  made.append(svg("text", { y: BOX / 2 - 8, "text-anchor": "middle" }, short));
  return made;
}
