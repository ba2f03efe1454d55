// Clusters in rows: dragged with a pointer, or moved with the arrow keys.

import { el } from "./view-dom.js";

const FAR = 6;  // pixels a pointer moves before a press is a drag
const EDGE = 70, SPEED = 14;  // near the edge of the window it scrolls, pixels a frame

/** A copy of rows and aside without a cluster; rows that were its alone go. */
function without({ rows, aside }, name) {
  return {
    rows: rows.map((row) => row.filter((one) => one !== name)).filter((row) => row.length),
    aside: aside.filter((one) => one !== name),
  };
}

/**
 * Rows after a cluster was put to a place.
 * @param board {rows, aside}, the most developed row first
 * @param {string} name the cluster
 * @param {{row?: number, gap?: number, aside?: boolean}} place a row to join, a gap to lie in alone (0 above all
 *   rows), aside; none of them: not placed. Both count the rows as they were.
 */
export function moved(board, name, place) {
  const { rows, aside } = without(board, name);
  const alone = board.rows.findIndex((row) => row.length === 1 && row[0] === name);
  const shift = (at) => (alone >= 0 && at > alone ? at - 1 : at);  // its own row has gone
  if (place.aside) return { rows, aside: [...aside, name] };
  if (place.row !== undefined) {
    if (place.row === alone) return board;
    rows[shift(place.row)].push(name);
  } else if (place.gap !== undefined) rows.splice(shift(place.gap), 0, [name]);
  return { rows, aside };
}

/**
 * Rows after an arrow key: half a step, into a row as one of equals or out of it as a row alone.
 * @returns the board, the same one where it goes no further
 */
export function stepped(board, name, up) {
  const at = board.rows.findIndex((row) => row.includes(name));
  if (at < 0) return moved(board, name, { gap: up ? board.rows.length : 0 });
  if (board.rows[at].length > 1) return moved(board, name, { gap: up ? at : at + 1 });
  const next = at + (up ? -1 : 1);
  return next < 0 || next >= board.rows.length ? board : moved(board, name, { row: next });
}

/** Where a cluster lies, in words for who does not see it. */
export function whereIs({ rows, aside }, name) {
  const at = rows.findIndex((row) => row.includes(name));
  if (aside.includes(name)) return `Cluster ${name}: cannot say.`;
  if (at < 0) return `Cluster ${name}: not placed.`;
  const others = rows[at].filter((one) => one !== name);
  const same = others.length ? `, the same as ${others.join(", ")}` : "";
  const above = at ? `, below ${rows[at - 1].join(", ")}` : ", at the top";
  return `Cluster ${name}: row ${at + 1} of ${rows.length}${same}${above}.`;
}

/**
 * The board.
 * @param {HTMLElement} place
 * @param {{picture(name): string, caption(name): string, change(board, name): void, open(name): void}} hooks
 * @returns {(clusters: string[], board) => void} draws it
 */
export function makeRows(place, hooks) {
  let clusters = [], board = { rows: [], aside: [] }, shown = "";
  let dragging = false, late = null;  // what came while something was dragged

  function change(next, name) {
    if (JSON.stringify(next) === JSON.stringify(board)) return;
    board = next;
    draw();
    focus(name);
    hooks.change(board, name);
  }

  const focus = (name) => card(name)?.focus({ preventScroll: false });
  const cards = () => [...place.querySelectorAll(".card")];
  const card = (name) => cards().find((one) => one.dataset.name === name);

  function key(event) {
    const name = event.currentTarget.dataset.name;
    const free = !event.ctrlKey && !event.metaKey && !event.altKey;
    const act = {
      ArrowUp: () => change(stepped(board, name, true), name),
      ArrowDown: () => change(stepped(board, name, false), name),
      Home: () => change(moved(board, name, { gap: 0 }), name),
      End: () => change(moved(board, name, { gap: board.rows.length }), name),
      ArrowLeft: () => beside(event.currentTarget, -1),
      ArrowRight: () => beside(event.currentTarget, 1),
      Delete: () => change(moved(board, name, {}), name),
      Backspace: () => change(moved(board, name, {}), name),
      "?": () => change(moved(board, name, { aside: true }), name),
      Enter: () => hooks.open(name),
      " ": () => hooks.open(name),
    }[event.key];
    if (!act || !free) return;
    event.preventDefault();
    act();
  }

  function beside(here, step) {
    const all = cards();
    all[all.indexOf(here) + step]?.focus();
  }

  function cardOf(name) {
    return el("div", {
      class: "card", role: "button", tabindex: 0, "data-name": name, "aria-describedby": "rows-help",
      "aria-label": `${hooks.caption(name)}. ${whereIs(board, name)}`, onkeydown: key, onpointerdown: press,
    }, el("img", { src: hooks.picture(name), alt: "", draggable: false }), el("span", {}, name));
  }

  const zone = (kind, at, ...children) =>
    el("div", { class: `zone ${kind}`, "data-zone": kind, "data-at": at }, ...children);

  function draw() {
    shown = JSON.stringify([clusters, board]);
    const placed = new Set([...board.rows.flat(), ...board.aside]);
    const parts = [zone("gap", 0)];
    board.rows.forEach((row, i) => parts.push(
      zone("row", i, el("span", { class: "number" }, String(i + 1)), ...row.map(cardOf)), zone("gap", i + 1)));
    if (!board.rows.length) parts[0].append("Drag clusters here: the most developed on top.");
    place.replaceChildren(
      el("p", { class: "hint", id: "rows-help" },
        "Drag clusters into rows, the most developed on top; side by side means the same. By keyboard: ↑ ↓ move a ",
        "cluster, Home and End to an end, Delete takes it out, ? cannot say, Enter shows it at large."),
      el("div", { class: "desk" },
        el("div", { class: "rows" }, el("p", { class: "end" }, "more developed"), ...parts,
          el("p", { class: "end" }, "less developed")),
        el("div", { class: "loose" },
          el("h3", {}, "Not placed"), zone("tray", "", ...clusters.filter((name) => !placed.has(name)).map(cardOf)),
          el("h3", {}, "Cannot say"), zone("aside", "", ...board.aside.map(cardOf)))),
    );
  }

  // -- the pointer

  function press(event) {
    if (event.button) return;
    const from = event.currentTarget, name = from.dataset.name, start = [event.clientX, event.clientY];
    let ghost = null, over = null, pointer = start, frame = 0;
    const aim = () => {
      over?.classList.remove("over");
      over = document.elementFromPoint(...pointer)?.closest(".zone") ?? null;
      if (over && !place.contains(over)) over = null;
      over?.classList.add("over");
    };
    const scroll = () => {
      const y = pointer[1];
      const by = y < EDGE ? -SPEED : y > window.innerHeight - EDGE ? SPEED : 0;
      if (by) window.scrollBy(0, by);
      aim();
      frame = requestAnimationFrame(scroll);
    };
    const move = (now) => {
      pointer = [now.clientX, now.clientY];
      if (!ghost && Math.hypot(pointer[0] - start[0], pointer[1] - start[1]) < FAR) return;
      if (!ghost) {
        ghost = from.cloneNode(true);
        ghost.classList.add("ghost");
        ghost.removeAttribute("tabindex");
        ghost.setAttribute("aria-hidden", "true");
        document.body.append(ghost);
        from.classList.add("dragged");
        place.classList.add("dragging");
        dragging = true;
        frame = requestAnimationFrame(scroll);
      }
      ghost.style.left = `${pointer[0]}px`;
      ghost.style.top = `${pointer[1]}px`;
      aim();
    };
    const end = (now) => {
      from.removeEventListener("pointermove", move);
      from.removeEventListener("pointerup", end);
      from.removeEventListener("pointercancel", end);
      cancelAnimationFrame(frame);
      over?.classList.remove("over");
      from.classList.remove("dragged");
      place.classList.remove("dragging");
      if (!ghost) {
        if (now.type === "pointerup") hooks.open(name);
        return;
      }
      ghost.remove();
      dragging = false;
      if (late) show(...late);
      else if (now.type === "pointerup" && over) change(moved(board, name, target(over)), name);
    };
    from.setPointerCapture(event.pointerId);
    from.addEventListener("pointermove", move);
    from.addEventListener("pointerup", end);
    from.addEventListener("pointercancel", end);
  }

  const target = ({ dataset: { zone: kind, at } }) =>
    ({ gap: { gap: Number(at) }, row: { row: Number(at) }, aside: { aside: true } })[kind] ?? {};

  function show(names, next) {
    const same = JSON.stringify([names, next]) === shown;
    late = dragging && !same ? [names, next] : null;
    if (dragging || same) return;
    const held = place.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    [clusters, board] = [names, next];
    draw();
    if (held) focus(held);
  }

  return show;
}
