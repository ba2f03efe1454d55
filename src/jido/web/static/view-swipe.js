// Two maps, one over the other and cut off at a divider: the list to the left, one layer to the right.
import { MapView } from "./view-map.js";

export class Swipe {
  constructor(view, facts) {
    this.view = view;
    this.facts = facts;
    this.layer = null;
    this.box = document.getElementById("divider");
    this.place = document.getElementById("divider-place");
    this.line = document.getElementById("divider-line");
    this.over = document.getElementById("over");
    this.place.addEventListener("input", () => this.cut());
    this.wait = null;
  }

  /** Compares with a layer; with none the divider goes. */
  async compare(layer) {
    this.layer = layer;
    this.over.hidden = this.box.hidden = !layer;
    if (!layer) return;
    if (!this.second) {
      const { bounds, placed } = this.facts;
      this.second = new MapView(this.over, { bounds, placed, interactive: false });
      this.second.map.getCanvas().tabIndex = -1;
      this.second.map.getCanvas().setAttribute("aria-hidden", "true");
      const follow = () => {
        this.second.map.jumpTo({ center: this.view.map.getCenter(), zoom: this.view.map.getZoom() });
        this.second.drawGrid();
      };
      this.view.map.on("move", follow);
      this.view.map.on("resize", follow);
      follow();
    }
    this.second.map.resize();
    this.cut();
    await this.second.show([layer]);
    this.second.drawGrid();
  }

  cut() {
    const share = this.place.value / 100;
    const left = `calc(17px + ${share} * (100% - 34px))`; // where the middle of the thumb is
    this.line.style.left = left;
    this.over.style.clipPath = `inset(0 0 0 ${left})`;
    const side = this.layer ? this.layer.title : "";
    this.place.setAttribute("aria-valuetext", `${this.place.value} %, right of it ${side}`);
  }

  /** Whether a place on the screen lies on the right side. */
  right(point) {
    if (!this.layer) return false;
    const width = this.over.clientWidth;
    return point.x > 17 + (this.place.value / 100) * (width - 34);
  }

  recolour() {
    this.second?.recolour();
  }
}
