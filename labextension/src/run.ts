/** What one view knows of its run: the series, the state, and where each metric lies. */

import type { Advice } from "./advice";
import { Series, type Rows } from "./series";
import { nextState, type Axis, type ChartSpec, type MetricSpec, type RunState, type Spec } from "./spec";
import { thin, type Stretch, type Thin } from "./thin";
import type { DataMessage, Group, RangeMessage } from "./wire";
import type { Use } from "./inbox";

export interface Place {
  readonly stream: number;
  readonly key: number;
}

interface Fine {
  readonly request: number;
  readonly rows: Rows;
}

interface Cached {
  readonly mark: string;
  readonly columns: Thin;
}

function rows(group: Group): Rows {
  return { size: group.size, x: group.x, low: group.low, high: group.high };
}

export class Run {
  state: RunState | null = null;
  advice: Advice = { cards: [], held: null };
  readonly series: Series[] = [];
  private places = new Map<string, Place>();
  private fine = new Map<number, Fine>();
  private cache = new Map<number, Cached>();

  constructor(public spec: Spec) {
    this.follow(spec);
  }

  /** Takes a spec over; the kernel sends a new one when streams, keys or charts are added. */
  follow(spec: Spec): void {
    this.spec = spec;
    spec.streams.forEach((stream, index) => {
      const known = this.series[index];
      if (known) known.widen(stream.keys.length);
      else this.series.push(new Series(stream.keys.length));
    });
    this.places.clear();
    this.cache.clear();
  }

  take(message: DataMessage, use: Use): void {
    this.state = nextState(this.state, message.state);
    if (use === "state only") return;
    if (use === "replace") for (const series of this.series) series.clear();
    for (const group of message.groups) this.series[group.stream]?.append(group);
  }

  /** Keeps the finer data of a stretch until the next zoom. */
  refine(message: RangeMessage): void {
    for (const group of message.groups) {
      this.fine.set(group.stream, { request: message.request, rows: rows(group) });
      const series = this.series[group.stream];
      if (series) series.version += 1;
    }
  }

  coarsen(axis: Axis): void {
    this.spec.streams.forEach((stream, index) => {
      if (stream.axis === axis) this.fine.delete(index);
    });
  }

  /** The stream and column of a metric on an axis; the first stream that has it wins. */
  place(metric: string, axis: Axis): Place | null {
    const name = `${axis} ${metric}`;
    const known = this.places.get(name);
    if (known) return known;
    const stream = this.spec.streams.findIndex((s) => s.axis === axis && s.keys.includes(metric));
    if (stream < 0) return null;
    const place = { stream, key: this.spec.streams[stream]!.keys.indexOf(metric) };
    this.places.set(name, place);
    return place;
  }

  metric(key: string): MetricSpec {
    return this.spec.metrics[key] ?? { label: key, unit: "", meaning: "" };
  }

  seen(metric: string, axis: Axis): boolean {
    const place = this.place(metric, axis);
    return place !== null && (this.series[place.stream]?.seen(place.key) ?? false);
  }

  chartSeen(chart: ChartSpec): boolean {
    return chart.lines.some((line) => this.seen(line.metric, chart.x));
  }

  /** Why a metric has no value now, in the kernel's words. */
  reason(metric: string): string | null {
    return this.state?.unknown[metric] ?? null;
  }

  latest(metric: string, axis: Axis): number {
    const place = this.place(metric, axis);
    return place === null ? NaN : (this.series[place.stream]?.last[place.key] ?? NaN);
  }

  extremes(metric: string, axis: Axis): readonly [number, number] {
    const place = this.place(metric, axis);
    const series = place === null ? undefined : this.series[place.stream];
    if (place === null || series === undefined) return [NaN, NaN];
    return [series.lowest[place.key] ?? NaN, series.highest[place.key] ?? NaN];
  }

  /** From the first to the last x of all streams on an axis. */
  whole(axis: Axis): Stretch | null {
    let [from, to] = [Infinity, -Infinity];
    this.spec.streams.forEach((stream, index) => {
      const series = this.series[index];
      if (stream.axis !== axis || series === undefined || series.size === 0) return;
      from = Math.min(from, series.x[0]!);
      to = Math.max(to, series.x[series.size - 1]!);
    });
    return from <= to ? { from, to } : null;
  }

  /** Columns of a stream for a stretch; charts of one stream share them. */
  columns(stream: number, stretch: Stretch, buckets: number): Thin {
    const series = this.series[stream]!;
    const fine = this.fine.get(stream) ?? null;
    const mark = [series.version, fine?.request ?? -1, stretch.from, stretch.to, buckets].join();
    const cached = this.cache.get(stream);
    if (cached?.mark === mark) return cached.columns;
    const columns = thin(series, fine?.rows ?? null, stretch, buckets);
    this.cache.set(stream, { mark, columns });
    return columns;
  }

  get points(): number {
    return this.series.reduce((sum, series) => sum + series.size, 0);
  }
}
