/** Puts the lines of a chart, from one or more streams, over one common x, as uPlot wants it. */

import type { Cell, Thin } from "../thin";

export interface Source {
  readonly columns: Thin;
  readonly key: number;
}

/** undefined: the line's stream has no row there (no gap); null: it has, and it is unknown. */
export type Joined = Cell | undefined;

export interface Line {
  readonly low: readonly Joined[];
  readonly high: readonly Joined[];
}

export interface Table {
  readonly x: readonly number[];
  readonly lines: readonly Line[];
}

function union(all: readonly Thin[]): number[] {
  return [...new Set(all.flatMap((columns) => columns.x))].sort((a, b) => a - b);
}

function spread(x: readonly number[], columns: Thin, values: readonly Cell[]): Joined[] {
  let row = 0;
  return x.map((at) => (columns.x[row] === at ? values[row++] : undefined));
}

export function join(sources: readonly (Source | null)[]): Table {
  const all = [...new Set(sources.flatMap((source) => (source ? [source.columns] : [])))];
  const x = all.length === 1 ? all[0]!.x : union(all);
  const lines = sources.map((source) => {
    if (source === null) return { low: [], high: [] };
    const { columns, key } = source;
    const [low, high] = [columns.low[key] ?? [], columns.high[key] ?? []];
    if (all.length === 1) return { low, high };
    return { low: spread(x, columns, low), high: spread(x, columns, high) };
  });
  return { x, lines };
}

function half(low: Joined, high: Joined): Joined {
  return typeof low === "number" && typeof high === "number" ? (low + high) / 2 : low;
}

/** The line through the middle of the buckets. */
export function middle(line: Line): Joined[] {
  return line.low.map((low, i) => half(low, line.high[i]));
}

/** Index of the value a line has at a row: there, or for sparse lines the last one before. */
export function valueAt(line: Line, row: number, sparse: boolean): number {
  let i = row;
  while (i > 0 && (line.low[i] === undefined || (sparse && line.low[i] === null))) i -= 1;
  return i;
}
