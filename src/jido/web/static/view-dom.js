// Elements without markup in strings: what comes from files stays text.

/** An element with properties (or, with a dash or in lower case, attributes) and children. */
export function el(tag, properties = {}, ...children) {
  const made = tag === "svg" || tag === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "color") made.style.background = value;
    else if (name in made && !(made instanceof SVGElement)) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const swatch = (color, extra = "") => el("span", { className: `swatch ${extra}`, ...(color ? { color } : {}), "aria-hidden": "true" });

/** A table; cells are texts or elements, columns named in `numbers` stand to the right. */
export function table(caption, head, rows, numbers = []) {
  const cell = (tag, content, i) => el(tag, { className: numbers.includes(i) ? "number" : "", ...(tag === "th" ? { scope: "col" } : {}) }, content);
  return el("table", {},
    caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, ...head.map((text, i) => cell("th", text, i)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((content, i) => cell("td", content, i))))));
}

/** A number as people read it: few digits, no exponent where it can be helped. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? value.toLocaleString("en", { useGrouping: Math.abs(value) > 9999 }) : String(Number(value.toPrecision(5)));
}
