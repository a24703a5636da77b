/** Tiles with the latest value of what matters most; a press explains the number. */

import { el, setAttribute, setText, show } from "./dom";
import type { Run } from "./run";
import type { Axis, ChartSpec } from "./spec";
import { formatValue } from "./units";

/** Charts whose number seldom decides anything get no tile. */
const QUIET = new Set(["gpu_power", "gpu_temperature", "host_cpu"]);

/** "2,876 samples/s" as number and unit; "1 min 15 s" stays whole. */
function parted(value: string): readonly [string, string] {
  const [number = "", unit, more] = value.split(" ");
  return unit === undefined || more !== undefined ? [value, ""] : [`${number} `, unit];
}

class Tile {
  readonly node: HTMLButtonElement;
  private readonly number = el("span");
  private readonly unit = el("small");
  private readonly label = el("span", { class: "bml-tile-label" });
  private readonly second = el("span", { class: "bml-tile-second" });

  constructor(
    private readonly chart: ChartSpec,
    private readonly run: Run,
    explain: (anchor: HTMLElement, metrics: readonly string[], axis: Axis) => void,
  ) {
    const { strings } = run.spec;
    this.node = el(
      "button",
      { type: "button", class: "bml-tile", "data-testid": `bml-tile-${chart.key}`, "aria-expanded": "false" },
      el("span", { class: "bml-tile-title" }, chart.title, el("span", { class: "bml-what", "aria-hidden": "true" }, "?")),
      el("span", { class: "bml-tile-value" }, this.number, this.unit),
      this.label,
      this.second,
      el("span", { class: "bml-hidden" }, strings.what_is_this),
    );
    this.node.title = strings.what_is_this;
    this.node.addEventListener("click", () => explain(this.node, this.metrics(), chart.x));
  }

  refresh(): void {
    const [first, second] = this.metrics();
    show(this.node, first !== undefined);
    if (first === undefined) return;
    const latest = this.run.latest(first, this.chart.x);
    const [number, unit] = parted(formatValue(latest, this.run.metric(first).unit));
    setText(this.number, number);
    setText(this.unit, unit);
    setText(this.label, this.run.metric(first).label);
    setAttribute(this.node, "data-unknown", String(!Number.isFinite(latest)));
    setText(this.second, second === undefined ? "" : this.sentence(second));
  }

  /** The first two lines of the chart that ever had a value. */
  private metrics(): string[] {
    const seen = this.chart.lines.filter((line) => this.run.seen(line.metric, this.chart.x));
    return seen.slice(0, 2).map((line) => line.metric);
  }

  private sentence(metric: string): string {
    const { label, unit } = this.run.metric(metric);
    return `${formatValue(this.run.latest(metric, this.chart.x), unit)} ${label}`;
  }
}

export class Tiles {
  readonly node: HTMLElement;
  private readonly tiles: readonly Tile[];

  constructor(run: Run, explain: (anchor: HTMLElement, metrics: readonly string[], axis: Axis) => void) {
    const charts = run.spec.charts.filter((chart) => !QUIET.has(chart.key));
    this.tiles = charts.map((chart) => new Tile(chart, run, explain));
    const label = run.spec.strings.latest_values;
    this.node = el("div", { class: "bml-tiles", role: "group", "aria-label": label }, ...this.tiles.map((t) => t.node));
  }

  refresh(): void {
    for (const tile of this.tiles) tile.refresh();
  }
}
