/** Ranges and ticks of the axes. */

import type uPlot from "uplot";
import type { Axis, ChartSpec } from "../spec";
import { formatClock, formatNumber, formatTick } from "../units";

const POWERS_OF_TWO = Array.from({ length: 48 }, (_, power) => 2 ** power);
const CLOCK = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200,
  86400, 172800, 604800,
];
const STEPS = [1, 2, 5].flatMap((digit) => Array.from({ length: 10 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b);

/** Distances between ticks that read well in the unit; undefined leaves it to uPlot. */
export function increments(unit: string): number[] | undefined {
  return unit === "bytes" ? POWERS_OF_TWO : undefined;
}

export function xIncrements(axis: Axis): number[] {
  return axis === "step" ? STEPS : CLOCK;
}

export function xTick(value: number, axis: Axis): string {
  return axis === "step" ? formatNumber(value) : formatClock(value);
}

export function yTicks(values: readonly number[], unit: string): string[] {
  return values.map((value) => formatTick(value, unit));
}

/** Ticks between two values on powers of ten: 1, 2, 5, 10 … or, over a short way, 1, 2, 3, 4 … */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const digits = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 8];
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) powers.push(power);
  const ticks = powers.flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

const PER_CHARACTER = 6.6;

/** Room for the longest label, in CSS pixels, in steps so that the plot does not tremble. */
export function yAxisSize(labels: readonly string[] | null): number {
  const longest = Math.max(3, ...(labels ?? []).map((label) => label.length));
  return 14 + Math.ceil(longest / 2) * 2 * PER_CHARACTER;
}

function padded(low: number, high: number): [number, number] {
  const spread = high - low;
  const pad = spread > 0 ? spread * 0.08 : Math.abs(high) * 0.1 || 1;
  return [low - pad, high + pad];
}

/** The vertical range: all values in view with some air, and what the chart always shows. */
export function yRange(chart: ChartSpec, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, chart.maximum ?? 1];
  let [bottom, top] = padded(low, high);
  if (low >= 0 && bottom < 0) bottom = 0;
  if (chart.from_zero) bottom = Math.min(0, low);
  if (chart.maximum !== null) top = Math.max(chart.maximum, high);
  return [bottom, top];
}

/** The same on powers of ten; values at or below zero have no place there. */
export function logRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || high <= 0) return [0.1, 1];
  const bottom = low > 0 ? low : high / 1e4;
  const air = Math.max(0.04, Math.log10(high / bottom) * 0.06);
  return [bottom / 10 ** air, high * 10 ** air];
}
