/** One chart of the dashboard: heading, switches, legend and plot, redrawn only when it must be. */

import { Bin, el, setAttribute, setText, show } from "./dom";
import { Legend } from "./legend";
import { join, valueAt, type Source, type Table } from "./renderers/join";
import { LinePlot } from "./renderers/line";
import type { Run } from "./run";
import type { Axis, ChartSpec } from "./spec";
import { fill } from "./strings";
import type { Colours } from "./theme";
import type { Stretch } from "./thin";
import { formatClock, formatNumber, formatSpan, formatValue } from "./units";

export interface ChartHost {
  readonly run: Run;
  colours(): Colours;
  schedule(): void;
  drawn(): void;
  view(axis: Axis): { readonly now: Stretch; readonly whole: Stretch } | null;
  zoomed(axis: Axis): boolean;
  zoom(axis: Axis, stretch: Stretch): void;
  reset(axis: Axis): void;
  cursor(axis: Axis): number | null;
  point(axis: Axis, x: number | null): void;
  say(text: string): void;
  explain(anchor: HTMLElement, metrics: readonly string[], axis: Axis): void;
}

/** Where an x lies, in words: "step 120" or "1:30 after the start". */
export function placeText(run: Run, axis: Axis, x: number): string {
  const { strings } = run.spec;
  return axis === "step"
    ? fill(strings.cursor_step, { step: formatNumber(x) })
    : fill(strings.cursor_time, { time: formatClock(x) });
}

export class Chart {
  readonly node: HTMLElement;
  visible = false;
  dirty = true;
  private readonly bin = new Bin();
  private plotBin = new Bin();
  private readonly legend: Legend;
  private readonly log: HTMLButtonElement;
  private readonly reset: HTMLButtonElement;
  private readonly where = el("span", { class: "bml-where" });
  private readonly box = el("div", { class: "bml-plot-box" });
  private plot: LinePlot;
  private table: Table = { x: [], lines: [] };
  private mark = "";
  private describedAt = -Infinity;

  constructor(
    readonly spec: ChartSpec,
    private readonly host: ChartHost,
  ) {
    const { strings } = host.run.spec;
    this.legend = new Legend(spec, {
      label: (metric) => host.run.metric(metric).label,
      whatIsThis: strings.what_is_this,
      explain: (anchor, metric) => host.explain(anchor, [metric], spec.x),
    });
    this.log = el("button", { type: "button", class: "bml-tool", "aria-pressed": "false" }, strings.log_scale);
    this.log.title = strings.log_scale_title;
    this.log.hidden = !spec.logarithmic;
    this.log.addEventListener("click", () => this.switchScale());
    this.reset = el("button", { type: "button", class: "bml-tool", hidden: "" }, strings.reset_zoom);
    this.reset.title = strings.reset_zoom_title;
    this.reset.addEventListener("click", () => host.reset(spec.x));
    this.node = this.build();
    this.plot = this.makePlot();
    const resized = new ResizeObserver(() => this.resized());
    resized.observe(this.box);
    this.bin.add(() => resized.disconnect());
  }

  /** Marks the chart for drawing if what it shows has changed. */
  check(): void {
    const { run } = this.host;
    const versions = this.spec.lines.map((line) => {
      const place = run.place(line.metric, this.spec.x);
      return place === null ? -1 : run.series[place.stream]?.version;
    });
    const mark = versions.join();
    if (mark !== this.mark) this.dirty = true;
    this.mark = mark;
  }

  draw(): void {
    const view = this.host.view(this.spec.x);
    if (!this.dirty || !this.visible || view === null) return;
    this.plot.fit();
    this.dirty = false;
    this.table = join(this.spec.lines.map((line) => this.source(line.metric, view.now)));
    this.plot.draw(this.table, view.now);
    this.point(this.host.cursor(this.spec.x));
    show(this.reset, this.host.zoomed(this.spec.x));
    this.describe();
  }

  /** Shows the values at the cursor, or the latest ones. */
  point(x: number | null): void {
    const row = x === null ? null : this.plot.row(x);
    this.plot.point(row === null ? null : (this.table.x[row] ?? null));
    this.legend.write(this.values(row));
    const at = row === null ? undefined : this.table.x[row];
    setText(this.where, at === undefined ? "" : placeText(this.host.run, this.spec.x, at));
    setAttribute(this.plot.plot, "data-cursor", at === undefined ? "" : String(at));
  }

  /** New colours: everything on the canvas has to be painted again. */
  repaint(): void {
    this.dirty = true;
  }

  destroy(): void {
    this.plotBin.empty();
    this.bin.empty();
    this.node.remove();
  }

  private build(): HTMLElement {
    const { spec } = this;
    const title = el("h3", { class: "bml-chart-title" }, spec.title);
    const tools = el("span", { class: "bml-chart-tools" }, this.log, this.reset);
    const head = el("header", { class: "bml-chart-head" }, title, this.where, tools);
    return el(
      "section",
      { class: "bml-chart", "data-testid": `bml-chart-${spec.key}`, "aria-label": spec.title },
      head,
      this.legend.node,
      this.box,
    );
  }

  private makePlot(): LinePlot {
    const { host, spec } = this;
    const axis = spec.x;
    const label = fill(host.run.spec.strings.chart_label, { title: spec.title });
    const plot = new LinePlot(
      spec,
      {
        colours: () => host.colours(),
        view: () => host.view(axis),
        zoom: (stretch) => host.zoom(axis, stretch),
        reset: () => host.reset(axis),
        move: (rows) => this.move(rows),
        leave: () => host.point(axis, null),
        pointed: (x) => host.point(axis, x),
        drawn: () => host.drawn(),
      },
      this.log.getAttribute("aria-pressed") === "true",
      this.box,
      this.plotBin,
    );
    plot.plot.setAttribute("aria-label", label);
    return plot;
  }

  private switchScale(): void {
    const pressed = this.log.getAttribute("aria-pressed") !== "true";
    this.log.setAttribute("aria-pressed", String(pressed));
    this.plotBin.empty();
    this.plotBin = new Bin();
    this.plot = this.makePlot();
    this.dirty = true;
    this.host.schedule();
  }

  private resized(): void {
    if (!this.plot.outgrown) return;
    this.dirty = true;
    this.host.schedule();
  }

  private source(metric: string, stretch: Stretch): Source | null {
    const { run } = this.host;
    const place = run.place(metric, this.spec.x);
    if (place === null) return null;
    const buckets = Math.max(100, this.plot.width);
    return { columns: run.columns(place.stream, stretch, buckets), key: place.key };
  }

  private values(row: number | null): (string | null)[] {
    const { run } = this.host;
    return this.spec.lines.map(({ metric, points }, i) => {
      if (!run.seen(metric, this.spec.x)) return null;
      const { unit } = run.metric(metric);
      const line = this.table.lines[i];
      if (row === null || line === undefined) return formatValue(run.latest(metric, this.spec.x), unit);
      const at = valueAt(line, row, points);
      return formatSpan(line.low[at], line.high[at], unit);
    });
  }

  /** Moves the cursor by rows from where it is, or from the end, and says what lies there. */
  private move(rows: number): void {
    const { host, spec } = this;
    const last = this.table.x.length - 1;
    if (last < 0) return;
    const cursor = host.cursor(spec.x);
    const from = cursor === null ? (rows < 0 ? last + 1 : -1) : (this.plot.row(cursor) ?? last);
    const row = Math.min(last, Math.max(0, from + rows));
    const x = this.table.x[row]!;
    host.point(spec.x, x);
    host.say(`${placeText(host.run, spec.x, x)}: ${this.sentence(row)}`);
  }

  private sentence(row: number | null): string {
    const values = this.values(row);
    const parts = this.spec.lines.map((line, i) => [this.host.run.metric(line.metric).label, values[i]] as const);
    return parts.flatMap(([label, value]) => (value ? [`${label} ${value}`] : [])).join(", ");
  }

  /** The label of the canvas, for screen readers, now and then. */
  private describe(): void {
    const now = performance.now();
    if (now - this.describedAt < 5_000) return;
    this.describedAt = now;
    const values = { title: this.spec.title, values: this.sentence(null) };
    this.plot.canvas.setAttribute("aria-label", fill(this.host.run.spec.strings.chart_summary, values));
  }
}
