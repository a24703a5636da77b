/** One view of one run: takes the messages in and draws, at most once an animation frame. */

import { Answer, Summary } from "./a11y";
import { Chart, type ChartHost } from "./chart";
import { Controls } from "./controls";
import { Bin, el, setText, show } from "./dom";
import { explain } from "./explain";
import { Folded } from "./folded";
import { Header } from "./header";
import { heldPanel, type HeldPanel } from "./held";
import type { Link } from "./link";
import { Popover } from "./popover";
import { Run } from "./run";
import { isLive, type Axis, type ChartSpec, type Spec } from "./spec";
import { fill } from "./strings";
import { ValueTable } from "./table";
import { applyTheme, readColours, sameColours, watchTheme, type Colours } from "./theme";
import { Tiles } from "./tiles";
import { Tips } from "./tips";
import { formatSeconds } from "./units";
import { Viewport } from "./viewport";

const SILENCE_MS = 5_000;
const CHECK_MS = 1_000;
/** On a slow machine charts rest this many times as long as their drawing took. */
const REST = 4;
const MOST_REST_MS = 300;

export class View {
  readonly root: HTMLDivElement;
  private readonly bin = new Bin();
  private readonly run: Run;
  private readonly viewport: Viewport;
  private readonly popover: Popover;
  private readonly summary = new Summary();
  private readonly answer = new Answer();
  private readonly notice = el("p", { class: "bml-notice", "data-testid": "bml-notice", hidden: "" });
  private readonly grid: HTMLElement;
  private readonly header: Header;
  private readonly controls: Controls;
  private readonly held: HeldPanel;
  private readonly tips: Tips;
  private readonly toolbar = el("div", { class: "bml-toolbar" });
  private tiles: Tiles;
  private table: ValueTable;
  private built: Spec;
  private readonly folded: Folded;
  private readonly charts = new Map<string, Chart>();
  private readonly seen: IntersectionObserver;
  private readonly cursors: Record<Axis, number | null> = { step: null, time: null };
  private colours: Colours | null = null;
  private tabular = false;
  private frame = 0;
  private draws = 0;
  private restUntil = 0;
  private heardAt = performance.now();

  constructor(
    id: string,
    spec: Spec,
    private readonly link: Link,
  ) {
    this.run = new Run(spec);
    this.built = spec;
    this.viewport = new Viewport(this.run, link);
    this.root = el("div", { class: "bml", "data-testid": "bml-dashboard" });
    this.popover = new Popover(id, this.bin);
    this.grid = el("div", { class: "bml-grid", role: "group", "aria-label": spec.strings.charts });
    this.header = new Header(this.run);
    this.controls = new Controls(this.run, (name) => link.command(name), () => this.schedule());
    this.held = heldPanel(spec.strings, this.controls.ways);
    this.tips = new Tips({
      run: this.run,
      send: (name, about) => link.advised(name, about),
      changed: () => this.schedule(),
      say: (text) => this.answer.say(text),
    });
    this.tiles = this.makeTiles();
    this.table = new ValueTable(this.run);
    this.folded = new Folded(this.run);
    this.seen = new IntersectionObserver((entries) => this.intersected(entries), { rootMargin: "200px" });
    this.build();
    this.watch();
  }

  /** Draws soon; many calls make one frame. */
  schedule(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
    this.frame = -1;
    for (const chart of this.charts.values()) chart.destroy();
    this.charts.clear();
    this.bin.empty();
    this.root.remove();
  }

  private build(): void {
    const { strings } = this.run.spec;
    const keys = el("button", { type: "button", class: "bml-tool", "aria-expanded": "false" }, strings.keys_title);
    keys.addEventListener("click", () => this.popover.toggle(keys, strings.keys_title, el("p", {}, strings.keys_text)));
    const table = el("button", { type: "button", class: "bml-tool", "aria-pressed": "false" }, strings.table);
    table.addEventListener("click", () => this.switchTable(table));
    this.header.actions.append(this.controls.buttons);
    this.toolbar.append(keys, table);
    this.root.append(
      this.header.node,
      this.controls.advice,
      this.notice,
      this.tiles.node,
      this.held.node,
      this.tips.node,
      this.toolbar,
      this.grid,
      this.table.node,
      this.folded.node,
      this.popover.node,
      this.summary.node,
      this.answer.node,
    );
    this.table.node.hidden = true;
  }

  private watch(): void {
    const { bin, link } = this;
    watchTheme(bin, () => this.restyle());
    bin.add(() => this.seen.disconnect());
    link.changed = (): void => this.heard();
    link.acknowledged = ({ name, ok, id }): void =>
      id === null ? this.controls.acknowledged(name, ok) : this.tips.acknowledged(id, ok);
    link.run = this.run;
    const timer = setInterval(() => this.schedule(), CHECK_MS);
    bin.add(() => clearInterval(timer));
    bin.listen<KeyboardEvent>(window, "keydown", (event) => this.guardKeys(event), { capture: true });
    this.schedule();
  }

  /** Keeps plain keys from JupyterLab's shortcuts (0 0 restarts a kernel) while the focus is in here. */
  private guardKeys(event: KeyboardEvent): void {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !(event.shiftKey && event.key === "Enter");
    if (plain && event.composedPath().includes(this.root)) this.root.dataset["lmSuppressShortcuts"] = "true";
    else delete this.root.dataset["lmSuppressShortcuts"];
  }

  /** The kernel sent a new spec: keys or charts were added. */
  private rebuild(): void {
    this.built = this.run.spec;
    this.popover.close(false);
    for (const chart of this.charts.values()) {
      this.seen.unobserve(chart.node);
      chart.destroy();
    }
    this.charts.clear();
    const [tiles, table] = [this.makeTiles(), new ValueTable(this.run)];
    this.tiles.node.replaceWith(tiles.node);
    this.table.node.replaceWith(table.node);
    [this.tiles, this.table] = [tiles, table];
    show(table.node, this.tabular);
  }

  private makeTiles(): Tiles {
    return new Tiles(this.run, (anchor, metrics, axis) => explain(this.popover, this.run, anchor, metrics, axis));
  }

  private heard(): void {
    this.heardAt = performance.now();
    this.schedule();
  }

  private restyle(): void {
    applyTheme(this.root);
    const colours = readColours(this.root);
    if (this.colours !== null && sameColours(colours, this.colours)) return;
    this.colours = colours;
    for (const chart of this.charts.values()) chart.repaint();
    this.schedule();
  }

  private switchTable(button: HTMLButtonElement): void {
    this.tabular = !this.tabular;
    button.setAttribute("aria-pressed", String(this.tabular));
    show(this.table.node, this.tabular);
    show(this.grid, !this.tabular);
    this.schedule();
  }

  private intersected(entries: readonly IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const chart = [...this.charts.values()].find((one) => one.node === entry.target);
      if (chart) chart.visible = entry.isIntersecting;
    }
    if (this.root.isConnected) this.restyle();
    this.schedule();
  }

  private draw(): void {
    this.frame = 0;
    const now = performance.now();
    if (this.colours === null && this.root.isConnected) this.restyle();
    if (this.built !== this.run.spec) this.rebuild();
    this.arrange();
    this.header.refresh();
    this.controls.refresh(now);
    this.drawAdvice();
    this.tiles.refresh();
    if (this.tabular) this.table.refresh();
    this.drawCharts(now);
    this.drawNotice(now);
    if (this.run.state !== null) this.summary.offer(() => this.header.summary());
    this.count();
  }

  /** While a step waits for memory, that and the tips stand first. */
  private drawAdvice(): void {
    const { held } = this.run.advice;
    const next = held === null ? this.held.node : this.toolbar;
    if (this.tiles.node.nextElementSibling !== next) next.before(this.tiles.node);
    this.held.draw(held);
    this.tips.refresh(this.controls.reach);
  }

  private drawCharts(now: number): void {
    if (now < this.restUntil) {
      this.schedule();
      return;
    }
    for (const chart of this.charts.values()) {
      chart.check();
      chart.draw();
    }
    const cost = performance.now() - now;
    this.restUntil = now + Math.min(MOST_REST_MS, cost * REST);
  }

  /** Draws what the person asked for without a rest. */
  private soon(): void {
    this.restUntil = 0;
    this.schedule();
  }

  /** Gives every chart that has data its box, in order; the rest is folded. */
  private arrange(): void {
    const { charts } = this.run.spec;
    const unseen = charts.filter((chart) => !this.charts.has(chart.key) && !this.run.chartSeen(chart));
    for (const chart of charts) {
      if (!this.charts.has(chart.key) && !unseen.includes(chart)) this.addChart(chart);
    }
    this.folded.refresh(this.run.state === null ? [] : unseen);
  }

  private addChart(spec: ChartSpec): void {
    const chart = new Chart(spec, this.host());
    const order = this.run.spec.charts.indexOf(spec);
    const next = this.run.spec.charts.slice(order + 1).find((later) => this.charts.has(later.key));
    this.grid.insertBefore(chart.node, next ? this.charts.get(next.key)!.node : null);
    this.charts.set(spec.key, chart);
    this.seen.observe(chart.node);
  }

  private host(): ChartHost {
    return {
      run: this.run,
      colours: () => this.colours ?? readColours(this.root),
      schedule: () => this.soon(),
      drawn: () => this.drawn(),
      view: (axis) => this.viewport.view(axis),
      zoomed: (axis) => this.viewport.zoomed(axis),
      zoom: (axis, stretch) => this.rezoom(axis, () => this.viewport.zoom(axis, stretch, this.root.clientWidth)),
      reset: (axis) => this.rezoom(axis, () => this.viewport.reset(axis)),
      cursor: (axis) => this.cursors[axis],
      point: (axis, x) => this.point(axis, x),
      say: (text) => this.answer.say(text),
      explain: (anchor, metrics, axis) => explain(this.popover, this.run, anchor, metrics, axis),
    };
  }

  private drawn(): void {
    this.draws += 1;
    this.root.dataset["draws"] = String(this.draws);
  }

  /** Charts over the same axis zoom together. */
  private rezoom(axis: Axis, change: () => void): void {
    change();
    for (const chart of this.charts.values()) if (chart.spec.x === axis) chart.repaint();
    this.soon();
  }

  /** Charts over the same axis share the cursor. */
  private point(axis: Axis, x: number | null): void {
    this.cursors[axis] = x;
    for (const chart of this.charts.values()) if (chart.spec.x === axis && chart.visible) chart.point(x);
  }

  private drawNotice(now: number): void {
    const { strings } = this.run.spec;
    const { state } = this.run;
    const silent = now - this.heardAt > SILENCE_MS;
    let text = state?.note ?? "";
    if (silent && state === null) text = strings.never_heard;
    if (silent && state !== null && isLive(state.status)) {
      text = fill(strings.no_news, { time: formatSeconds(Math.round((now - this.heardAt) / 1_000)) });
    }
    show(this.notice, text !== "");
    setText(this.notice, text);
  }

  /** Counters for tests and for the curious. */
  private count(): void {
    const { state, spec } = this.run;
    const counters: Record<string, string | number> = {
      seq: this.link.seq,
      msgs: this.link.messages,
      points: this.run.points,
      step: state?.step ?? -1,
      status: state?.status ?? "waiting",
      controls: this.controls.reach ?? (spec.controls ? "ended" : "off"),
    };
    for (const [name, value] of Object.entries(counters)) this.root.dataset[name] = String(value);
  }
}
