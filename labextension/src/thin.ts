/**
 * Reduces rows to about one bucket a pixel, by min and max.
 *
 * Bucket borders lie at multiples of a power of two, so that a growing run does not make
 * the drawn line flicker.
 */

import type { Rows } from "./series";

export type Cell = number | null;

/** Columns as uPlot takes them: null is unknown and makes a gap. */
export interface Thin {
  readonly x: number[];
  readonly low: Cell[][];
  readonly high: Cell[][];
}

export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** Index of the first row that passes the test; the rows before it all fail. */
function firstRow(rows: Rows, passes: (x: number) => boolean): number {
  let [left, right] = [0, rows.size];
  while (left < right) {
    const middle = (left + right) >> 1;
    if (passes(rows.x[middle]!)) right = middle;
    else left = middle + 1;
  }
  return left;
}

const notBefore = (rows: Rows, value: number): number => firstRow(rows, (x) => x >= value);
const after = (rows: Rows, value: number): number => firstRow(rows, (x) => x > value);

/** The rows of a stretch and one more at each end, so that lines reach the border. */
function within(rows: Rows, stretch: Stretch): Part {
  const start = Math.max(0, notBefore(rows, stretch.from) - 1);
  return { rows, start, end: Math.min(rows.size, after(rows, stretch.to) + 1) };
}

interface Part {
  readonly rows: Rows;
  readonly start: number;
  readonly end: number;
}

/** The rows of a stretch; where finer rows cover it, those. */
function parts(base: Rows, fine: Rows | null, stretch: Stretch): Part[] {
  const whole = within(base, stretch);
  if (fine === null || fine.size === 0) return [whole];
  const [first, last] = [fine.x[0]!, fine.x[fine.size - 1]!];
  return [
    { ...whole, end: Math.min(whole.end, notBefore(base, first)) },
    within(fine, stretch),
    { ...whole, start: Math.max(whole.start, after(base, last)) },
  ];
}

/** Width of a bucket for about so many buckets; 0 keeps every row. */
function bucketWidth(rows: number, stretch: Stretch, buckets: number): number {
  if (rows <= buckets) return 0;
  return 2 ** Math.ceil(Math.log2((stretch.to - stretch.from) / buckets));
}

export function thin(base: Rows, fine: Rows | null, stretch: Stretch, buckets: number): Thin {
  const used = parts(base, fine, stretch);
  const rows = used.reduce((sum, part) => sum + Math.max(0, part.end - part.start), 0);
  const width = bucketWidth(rows, stretch, buckets);
  const [x, marks] = places(used, width);
  return {
    x,
    low: base.low.map((_, key) => reduced(used, marks, x.length, (from) => from.low[key], 1)),
    high: base.high.map((_, key) => reduced(used, marks, x.length, (from) => from.high[key], -1)),
  };
}

/** The x of every bucket, and for every row in turn the bucket it falls into. */
function places(used: readonly Part[], width: number): [number[], number[]] {
  const x: number[] = [];
  const marks: number[] = [];
  let bucket = NaN;
  for (const { rows, start, end } of used) {
    for (let row = start; row < end; row += 1) {
      const at = rows.x[row]!;
      const here = width > 0 ? Math.floor(at / width) : at;
      if (here !== bucket) x.push(at);
      bucket = here;
      marks.push(x.length - 1);
    }
  }
  return [x, marks];
}

/** The lowest (sign 1) or highest (sign -1) value of every bucket; null where all are unknown. */
function reduced(
  used: readonly Part[],
  marks: readonly number[],
  size: number,
  column: (rows: Rows) => ArrayLike<number> | undefined,
  sign: 1 | -1,
): Cell[] {
  const best = new Float64Array(size).fill(Infinity);
  let i = 0;
  for (const { rows, start, end } of used) {
    const values = column(rows) ?? [];
    for (let row = start; row < end; row += 1, i += 1) {
      // NaN compares false, so that unknown values change nothing.
      const value = sign * values[row]!;
      if (value < best[marks[i]!]!) best[marks[i]!] = value;
    }
  }
  return Array.from(best, (value) => (Number.isFinite(value) ? sign * value : null));
}
