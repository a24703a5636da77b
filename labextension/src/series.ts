/**
 * Everything one view knows of one stream: buckets of x, lowest and highest value.
 *
 * When the most buckets are reached, neighbours are merged in pairs by min and max, so a
 * spike of a single step survives however long the run becomes.
 */

import type { Group } from "./wire";

export const MOST_BUCKETS = 20_000;

/** Rows that can be drawn: a whole stream, or the finer data of one stretch. */
export interface Rows {
  readonly size: number;
  readonly x: ArrayLike<number>;
  readonly low: readonly ArrayLike<number>[];
  readonly high: readonly ArrayLike<number>[];
}

/** The smaller of two values; NaN counts as absent. */
export function lower(a: number, b: number): number {
  return a <= b || b !== b ? a : b;
}

/** The larger of two values; NaN counts as absent. */
export function higher(a: number, b: number): number {
  return a >= b || b !== b ? a : b;
}

type Floats = Float32Array<ArrayBuffer>;

function grown(old: Floats, size: number): Floats {
  const larger = new Float32Array(size).fill(NaN);
  larger.set(old.subarray(0, Math.min(old.length, size)));
  return larger;
}

export class Series implements Rows {
  size = 0;
  version = 0;
  x = new Float64Array(256);
  low: Floats[] = [];
  high: Floats[] = [];
  /** The latest value of every key; NaN is unknown. */
  last = new Float32Array(0);
  /** The extremes of the whole run by key; NaN while nothing came. */
  lowest = new Float32Array(0);
  highest = new Float32Array(0);

  constructor(keys: number) {
    this.widen(keys);
  }

  /** Makes room for keys that the run added later; their past is unknown. */
  widen(keys: number): void {
    while (this.low.length < keys) {
      this.low.push(new Float32Array(this.x.length).fill(NaN));
      this.high.push(new Float32Array(this.x.length).fill(NaN));
    }
    if (this.last.length < keys) {
      this.last = grown(this.last, keys);
      this.lowest = grown(this.lowest, keys);
      this.highest = grown(this.highest, keys);
    }
  }

  clear(): void {
    this.size = 0;
    this.version += 1;
    for (const all of [this.last, this.lowest, this.highest]) all.fill(NaN);
  }

  /** Adds rows; a row that lies before the last one is already known and left out. */
  append(group: Group): void {
    for (let row = 0; row < group.size; row += 1) this.place(group, row);
    group.low.forEach((values, key) => this.extend(key, values, group.high[key] ?? values));
    this.last.set(group.last);
    this.version += 1;
  }

  /** The key had a value at least once. */
  seen(key: number): boolean {
    return Number.isFinite(this.lowest[key] ?? NaN);
  }

  private place(group: Group, row: number): void {
    const x = group.x[row] ?? NaN;
    const before = this.size > 0 ? (this.x[this.size - 1] ?? NaN) : -Infinity;
    if (x > before) this.push(x, group, row);
    else if (x === before) this.mix(group, row);
  }

  private push(x: number, group: Group, row: number): void {
    if (this.size === this.x.length) this.makeRoom();
    const at = this.size;
    this.size += 1;
    this.x[at] = x;
    for (let key = 0; key < this.low.length; key += 1) {
      this.low[key]![at] = group.low[key]?.[row] ?? NaN;
      this.high[key]![at] = group.high[key]?.[row] ?? NaN;
    }
  }

  private mix(group: Group, row: number): void {
    const at = this.size - 1;
    for (let key = 0; key < this.low.length; key += 1) {
      const [low, high] = [this.low[key]!, this.high[key]!];
      low[at] = lower(low[at]!, group.low[key]?.[row] ?? NaN);
      high[at] = higher(high[at]!, group.high[key]?.[row] ?? NaN);
    }
  }

  private extend(key: number, low: Float32Array, high: Float32Array): void {
    for (const value of low) this.lowest[key] = lower(this.lowest[key]!, value);
    for (const value of high) this.highest[key] = higher(this.highest[key]!, value);
  }

  private makeRoom(): void {
    if (this.x.length >= MOST_BUCKETS) {
      this.halve();
      return;
    }
    const capacity = Math.min(MOST_BUCKETS, this.x.length * 2);
    const x = new Float64Array(capacity);
    x.set(this.x);
    this.x = x;
    this.low = this.low.map((column) => grown(column, capacity));
    this.high = this.high.map((column) => grown(column, capacity));
  }

  private halve(): void {
    const half = Math.floor(this.size / 2);
    for (let i = 0; i < half; i += 1) this.x[i] = this.x[2 * i]!;
    for (const column of this.low) {
      for (let i = 0; i < half; i += 1) column[i] = lower(column[2 * i]!, column[2 * i + 1]!);
    }
    for (const column of this.high) {
      for (let i = 0; i < half; i += 1) column[i] = higher(column[2 * i]!, column[2 * i + 1]!);
    }
    this.size = half;
  }
}
