// What the report of a map says, beside the map.
import { el, swatch, table } from "./view-dom.js";

/** A section for each report and method sheet; the sentence of a single report stands at the top of the page. */
export function drawReports(root, { reports, sheets }) {
  root.replaceChildren(...reports.map((report, i) => section(report, i, reports.length > 1)), ...sheets.map(measured));
}

function measured({ group, rows }, i) {
  const head = `sheet-${i}`;
  return el("section", { "aria-labelledby": head },
    el("h2", { id: head }, `How ${group} was measured`),
    table("", ["", ""], Object.entries(rows).map(([name, words]) => [name, words])));
}

function section(report, i, several) {
  const head = `report-${i}`;
  const classed = (row) => el("span", {}, swatch(row.color), ` ${row.class}`);
  const areas = report.areas.map((row) => [classed(row), row.area === "–" ? row.cells.toLocaleString("en") : row.area, `${(row.share * 100).toFixed(1)} %`]);
  const judged = report.areas.some((row) => row.users);
  return el("section", { "aria-labelledby": head },
    el("h2", { id: head }, `How good is ${report.map}?`),
    several ? el("p", { className: "lead" }, report.statement) : null,
    report.leaks ? el("p", { className: "warn" }, "The split of the training leaks: the figure is too good for new places.") : null,
    table("Areas are counted cells: they carry the errors of the map and no interval.", ["Class", "Area", "Share"], areas, [1, 2]),
    judged ? el("details", {}, el("summary", {}, "Accuracy of every class"),
      table("With 95 % intervals.", ["Class", "User's", "Producer's"], report.areas.map((row) => [classed(row), row.users, row.producers]))) : null,
    report.figures.length ? el("details", {}, el("summary", {}, "All figures"),
      table("", ["Figure", "Value [95 % interval]"], report.figures.map((row) => [row.name, row.text]))) : null,
    el("p", { className: "small" }, `Made ${report.made} from ${report.images.join(", ")}.`),
    ...report.notes.map((note) => el("p", { className: "small" }, note)));
}
