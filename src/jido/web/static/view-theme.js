// The colours of a page: those of the system, or the ones chosen.

const THEMES = ["auto", "light", "dark"];

/** Light and dark: as the system says, or as chosen. */
export function theme(button, recolour) {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = stored() ?? "auto";
  const apply = () => {
    root.dataset.theme = chosen;
    root.toggleAttribute("data-dark", chosen === "dark" || (chosen === "auto" && dark.matches));
    button.textContent = `Colours: ${chosen}`;
    recolour();
  };
  button.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    try {
      localStorage.setItem("jido-theme", chosen);
    } catch {
      // a browser that keeps nothing still shows everything
    }
    apply();
  });
  dark.addEventListener("change", apply);
  apply();
}

function stored() {
  try {
    return THEMES.find((name) => name === localStorage.getItem("jido-theme"));
  } catch {
    return null;
  }
}
