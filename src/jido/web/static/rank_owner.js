// The page of who asks the experts: how far each is, how far they agree, and where not.

import { drawGraph } from "./rank_graph.js";
import { ask, by, showError } from "./parts.js";
import { el } from "./view-dom.js";
import { theme } from "./view-theme.js";

const EVERY = 15000;  // milliseconds between two looks

const VERDICTS = { agrees: "agrees", unrelated: "has little to do with the others", reversed: "says the opposite" };
const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

function table(head, rows) {
  const cell = (name, scope) => (value) => el(name, scope ? { scope } : {}, value);
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map(cell("th", "col")))),
    el("tbody", {}, ...rows.map(([first, ...rest]) =>
      el("tr", {}, el("th", { scope: "row" }, first), ...rest.map(cell("td"))))));
}

function drawExperts({ experts }) {
  by("experts").replaceChildren(table(
    ["Expert", "Questions", "Pairs known", "Tau with the others", "Verdict", "Against the others"],
    experts.map((one) => [one.name, String(one.asked), `${one.known} of ${one.pairs}`, figure(one.reliability),
      VERDICTS[one.verdict] ?? "", (one.against ?? []).slice(0, 6).join(", ") || "–"])));
}

function drawTau({ names, tau }) {
  const shade = (value) => (value === null ? "none" : `t${Math.max(0, Math.min(4, Math.floor(value * 5)))}`);
  const made = table(["", ...names], tau.map((row, i) => [names[i], ...row.map(figure)]));
  made.querySelectorAll("tbody tr").forEach((row, i) => row.querySelectorAll("td").forEach((cell, j) => {
    cell.classList.add(i === j ? "none" : shade(tau[i][j]));
  }));
  by("tau").replaceChildren(names.length > 1 ? made : el("p", { class: "hint" }, "Two experts have to answer first."));
}

function drawDisputes({ disputes }, picture) {
  if (!disputes.length) {
    by("disputes").replaceChildren(el("p", { class: "hint" }, "No expert contradicts another so far."));
    return;
  }
  const one = (name) => el("figure", {}, el("img", { src: picture(name), alt: "" }), el("figcaption", {}, name));
  by("disputes").replaceChildren(el("ul", { class: "disputes" }, ...disputes.map((pair) => el("li", {},
    one(pair.left), one(pair.right),
    el("p", {}, `${pair.left} is more developed: ${pair.more.join(", ")}. ${pair.right}: ${pair.less.join(", ")}.`,
      pair.same.length ? ` The same: ${pair.same.join(", ")}.` : "")))));
}

async function look() {
  try {
    const told = await ask("state");
    const picture = (name) => `sheet/${told.clusters.findIndex((one) => one.name === name)}`;
    showError("");
    by("why").textContent = told.why;
    by("why").hidden = !told.why;
    drawExperts(told);
    drawTau(told);
    drawDisputes(told, picture);
    by("export").hidden = !told.names.length;
    const words = "An arrow leads to the more developed one. In one box: what cannot be told apart.";
    if (told.graph) drawGraph(by("graph"), told.graph, picture, words);
    else by("graph").replaceChildren(el("p", { class: "hint" }, told.why || "Nobody has answered yet."));
  } catch (error) {
    showError(error.message);
  }
}

by("again").addEventListener("click", look);
theme(by("theme"), () => {});
look();
setInterval(() => { if (!document.hidden) look(); }, EVERY);
