/** Lines over step or time with uPlot: a line through the buckets and a band from low to high. */

import uPlot from "uplot";
import { Bin, el } from "../dom";
import type { ChartSpec, LineSpec } from "../spec";
import type { Colours } from "../theme";
import type { Stretch } from "../thin";
import { listen, type Actions } from "./gestures";
import { middle, type Joined, type Table } from "./join";
import { increments, logRange, logTicks, xIncrements, xTick, yAxisSize, yRange, yTicks } from "./scales";

export interface LineHost extends Actions {
  colours(): Colours;
  /** The pointer moved over the plot: x there, or null when it left. */
  pointed(x: number | null): void;
  drawn(): void;
}

export const HEIGHT = 172;
const SERIES_A_LINE = 3;
const FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";

/** An opaque #rrggbb with some transparency. */
function faint(colour: string, alpha: string): string {
  return /^#[0-9a-f]{6}$/i.test(colour) ? colour + alpha : colour;
}

export class LinePlot {
  readonly plot = el("div", { class: "bml-plot", tabindex: "0", role: "group" });
  private readonly u: uPlot;
  private table: Table = { x: [], lines: [] };
  private quiet = false;

  constructor(
    private readonly chart: ChartSpec,
    private readonly host: LineHost,
    readonly logarithmic: boolean,
    parent: HTMLElement,
    bin: Bin,
  ) {
    parent.append(this.plot);
    this.u = new uPlot(this.options(), [[]], this.plot);
    this.canvas.setAttribute("role", "img");
    listen(this.plot, this.u, host, bin);
    bin.add(() => {
      this.u.destroy();
      this.plot.remove();
    });
  }

  get canvas(): HTMLCanvasElement {
    return this.u.ctx.canvas;
  }

  get width(): number {
    return this.plot.clientWidth;
  }

  /** The box has another width than the plot; a hidden box does not count. */
  get outgrown(): boolean {
    return this.width >= 40 && this.width !== this.u.width;
  }

  fit(): void {
    if (this.outgrown) this.u.setSize({ width: this.width, height: HEIGHT });
  }

  draw(table: Table, stretch: Stretch): void {
    this.table = table;
    this.plot.dataset["drawn"] = "true";
    const data = [table.x, ...table.lines.flatMap((line) => [middle(line), line.high, line.low].map((v) => this.clean(v)))];
    const to = stretch.to > stretch.from ? stretch.to : stretch.from + 1;
    this.u.batch(() => {
      this.u.setData(data as uPlot.AlignedData, false);
      this.u.setScale("x", { min: stretch.from, max: to });
    });
  }

  /** Shows the cursor at an x; null takes it away. */
  point(x: number | null): void {
    this.quiet = true;
    const left = x === null ? -10 : this.u.valToPos(x, "x");
    this.u.setCursor({ left, top: x === null ? -10 : 0 }, false);
    this.quiet = false;
  }

  /** The row of the table nearest to an x; null without rows. */
  row(x: number): number | null {
    return this.table.x.length === 0 ? null : this.u.valToIdx(x);
  }

  /** Powers of ten have no place for values at or below zero. */
  private clean(values: readonly Joined[]): readonly Joined[] {
    if (!this.logarithmic) return values;
    return values.map((value) => (typeof value === "number" && value <= 0 ? null : value));
  }

  private options(): uPlot.Options {
    const { chart } = this;
    return {
      width: 320,
      height: HEIGHT,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, auto: false, range: (_u, min, max) => [min, max] },
        y: {
          distr: this.logarithmic ? 3 : 1,
          range: (_u, low, high) => (this.logarithmic ? logRange(low, high) : yRange(chart, low, high)),
        },
      },
      axes: this.axes(),
      series: [{}, ...chart.lines.flatMap((line) => this.series(line))],
      bands: chart.lines.map((line, i) => ({
        series: [i * SERIES_A_LINE + 2, i * SERIES_A_LINE + 3],
        fill: () => faint(this.colour(line), "38"),
      })),
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: 7, show: (u, i) => this.cursorPoint(u, i) },
        bind: { dblclick: () => () => (this.host.reset(), null) },
      },
      hooks: {
        draw: [() => this.host.drawn()],
        setCursor: [(u) => this.quiet || this.host.pointed((u.cursor.left ?? -1) < 0 ? null : u.posToVal(u.cursor.left!, "x"))],
        setSelect: [(u) => this.selected(u)],
      },
    };
  }

  private axes(): uPlot.Axis[] {
    const { chart, host } = this;
    const common = {
      stroke: () => host.colours().muted,
      grid: { stroke: () => host.colours().grid, width: 1 },
      ticks: { show: false },
      font: FONT,
    };
    const steps = increments(chart.unit);
    return [
      { ...common, size: 28, gap: 7, space: 72, incrs: xIncrements(chart.x), grid: { show: false },
        values: (_u, values) => values.map((value) => xTick(value, chart.x)) },
      { ...common, gap: 6, space: 30, size: (_u, labels) => yAxisSize(labels),
        values: (_u, values) => yTicks(values, chart.unit),
        ...(steps ? { incrs: steps } : {}),
        ...(this.logarithmic ? { splits: (_u, _i, low, high) => logTicks(low, high), filter: (_u, splits) => splits } : {}) },
    ];
  }

  /** The middle of the buckets, their highest and their lowest values. */
  private series(line: LineSpec): uPlot.Series[] {
    const spanGaps = line.points;
    const edge = { stroke: () => faint(this.colour(line), "8c"), width: 1, spanGaps, points: { show: false } };
    const dash = line.dashed ? { dash: [6, 4] } : {};
    const dot = { show: true, size: 6, width: 1.5, stroke: () => this.colour(line), fill: () => this.host.colours().surface };
    const points = line.points ? dot : { size: 4 };
    return [{ stroke: () => this.colour(line), width: line.dashed ? 1.25 : 1.75, spanGaps, points, ...dash }, edge, { ...edge }];
  }

  private colour(line: LineSpec): string {
    return this.host.colours().lines[line.color] ?? this.host.colours().ink;
  }

  private cursorPoint(u: uPlot, series: number): HTMLElement {
    const node = el("div");
    if (series % SERIES_A_LINE === 1) node.className = "bml-cursor-point";
    else node.hidden = true;
    void u;
    return node;
  }

  private selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width < 4) return;
    const stretch = { from: u.posToVal(left, "x"), to: u.posToVal(left + width, "x") };
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.host.zoom(stretch);
  }
}
