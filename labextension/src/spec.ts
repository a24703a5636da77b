/** What the kernel says about a run: the fixed part (spec) and the changing part (state). */

import type { Strings } from "./strings";

export type Axis = "step" | "time";
export type Origin = "measured" | "simulated" | "recorded";
export type Status = "running" | "paused" | "finished" | "stopped" | "failed" | "lost";
export type CommandName = "pause" | "resume" | "stop";

/** Whether a click reaches the training: now, only when the cell has ended, or never. */
export type Reach = "live" | "queued" | "none";

export interface StreamSpec {
  readonly name: string;
  readonly axis: Axis;
  readonly keys: readonly string[];
}

export interface MetricSpec {
  readonly label: string;
  readonly unit: string;
  readonly meaning: string;
}

export interface LineSpec {
  readonly metric: string;
  readonly color: number;
  readonly dashed: boolean;
  readonly points: boolean;
}

export interface ChartSpec {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  readonly x: Axis;
  readonly lines: readonly LineSpec[];
  readonly from_zero: boolean;
  readonly maximum: number | null;
  readonly logarithmic: boolean;
}

export interface Spec {
  readonly run_id: string;
  readonly title: string;
  readonly origin: Origin;
  readonly badge: string;
  readonly streams: readonly StreamSpec[];
  readonly metrics: Readonly<Record<string, MetricSpec>>;
  readonly charts: readonly ChartSpec[];
  readonly strings: Strings;
  readonly controls: boolean;
  readonly total_steps: number | null;
}

export interface RunState {
  readonly status: Status;
  readonly step: number | null;
  readonly epoch: number | null;
  readonly epochs: number | null;
  readonly elapsed: number | null;
  readonly eta: number | null;
  readonly unknown: Readonly<Record<string, string>>;
  readonly controls: Readonly<Record<string, Reach>>;
  readonly note: string;
}

const STATUSES: readonly string[] = ["running", "paused", "finished", "stopped", "failed", "lost"];
const REACHES: readonly string[] = ["live", "queued", "none"];

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function number(value: unknown, before: number | null): number | null {
  if (value === undefined) return before;
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function entries<T extends string>(value: Json, allowed: (v: string) => boolean): Record<string, T> {
  const pairs = Object.entries(value).filter(([, v]) => typeof v === "string" && allowed(v));
  return Object.fromEntries(pairs) as Record<string, T>;
}

/** The state after a message; what the message leaves out stays as it was. */
export function nextState(before: RunState | null, news: unknown): RunState | null {
  if (!isObject(news)) return before;
  const status = news["status"] ?? before?.status;
  if (typeof status !== "string" || !STATUSES.includes(status)) return before;
  const { unknown, controls } = news;
  return {
    status: status as Status,
    step: number(news["step"], before?.step ?? null),
    epoch: number(news["epoch"], before?.epoch ?? null),
    epochs: number(news["epochs"], before?.epochs ?? null),
    elapsed: number(news["elapsed"], before?.elapsed ?? null),
    eta: number(news["eta"], before?.eta ?? null),
    unknown: isObject(unknown) ? entries<string>(unknown, () => true) : (before?.unknown ?? {}),
    controls: isObject(controls)
      ? entries<Reach>(controls, (value) => REACHES.includes(value))
      : (before?.controls ?? {}),
    note: typeof news["note"] === "string" ? news["note"] : "",
  };
}

/** The training may still make steps. */
export function isLive(status: Status): boolean {
  return status === "running" || status === "paused";
}

/** The number of the last step, as the kernel counts; before the first one it says null or -1. */
export function stepsDone(state: RunState): number {
  return state.step === null ? 0 : Math.max(0, state.step);
}
