// A slider over the days of layers that show the same on several days.

/** Of a series what is shown, and what is shown on a day: the last layer until then. */
function of(layers, day) {
  const before = layers.find((layer) => layer.visible);
  const now = layers.filter((layer) => layer.day <= day).sort((a, b) => (a.day < b.day ? 1 : -1))[0];
  return { layers, before, now };
}

/** A layer with the opacity, bands and stretch of another: days are compared in the same colours. */
function like(layer, other) {
  layer.opacity = other.opacity;
  if (layer.bands?.length === other.bands?.length) Object.assign(layer, { bandsChosen: other.bandsChosen, stretch: other.stretch });
  return layer;
}

/** Shows the slider when there is a series; it moves what is compared, else what the list shows. */
export function drawTime(form, facts, { changed, compared, compare }) {
  const dated = facts.layers.filter((layer) => layer.day);
  const days = [...new Set(dated.map((layer) => layer.day))].sort();
  if (days.length < 2) return;
  const place = form.querySelector("input");
  const output = form.querySelector("output");
  const series = Map.groupBy(dated, (layer) => `${layer.kind} ${layer.title}`);
  const first = dated.find((layer) => layer.visible) ?? dated[0];
  place.max = days.length - 1;
  place.value = days.indexOf(first.day);
  const say = () => {
    output.value = days[place.value];
    place.setAttribute("aria-valuetext", days[place.value]);
  };
  const apply = () => {
    say();
    const members = [...series.values()].map((layers) => of(layers, days[place.value])).filter((m) => m.now);
    if (compared()?.day) {
      const member = members.find((m) => m.layers.includes(compared()));
      return member && compare(like(member.now, compared()));
    }
    const seen = members.filter((m) => m.before);
    if (!seen.length) {
      for (const layer of facts.layers) if (layer.kind !== "vector") layer.visible = false; // they would hide it
      members[0].now.visible = true;
    }
    for (const { layers, before, now } of seen) {
      for (const layer of layers) layer.visible = layer === now;
      like(now, before);
    }
    changed(facts.layers);
  };
  place.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  say();
}
