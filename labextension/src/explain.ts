/** The content of the bubble that explains a metric. */

import { el } from "./dom";
import type { Popover } from "./popover";
import type { Run } from "./run";
import type { Axis } from "./spec";
import { fill } from "./strings";
import { formatValue } from "./units";

function values(run: Run, metric: string, axis: Axis): string {
  const { strings } = run.spec;
  const { unit } = run.metric(metric);
  const [lowest, highest] = run.extremes(metric, axis);
  const latest = run.latest(metric, axis);
  const reason = run.reason(metric);
  if (!Number.isFinite(latest) && reason !== null) return fill(strings.unknown_now, { reason });
  const now = fill(strings.value_now, { value: formatValue(latest, unit) });
  const range = { lowest: formatValue(lowest, unit), highest: formatValue(highest, unit) };
  return `${now} ${fill(strings.value_range, range)}`;
}

function section(run: Run, metric: string, axis: Axis): HTMLElement {
  const { label, meaning } = run.metric(metric);
  const key = el("code", {}, metric);
  const [before = "", after = ""] = run.spec.strings.recorded_as.split("{key}");
  return el(
    "section",
    {},
    el("h4", {}, label),
    el("p", {}, meaning),
    el("p", { class: "bml-popover-value" }, values(run, metric, axis)),
    el("p", { class: "bml-popover-key" }, before, key, after),
  );
}

/** Opens or closes the explanation of some metrics at the number that was pressed. */
export function explain(popover: Popover, run: Run, anchor: HTMLElement, metrics: readonly string[], axis: Axis): void {
  const first = metrics[0] ?? "";
  popover.toggle(anchor, run.metric(first).label, ...metrics.map((metric) => section(run, metric, axis)));
}
