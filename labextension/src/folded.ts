/** Charts without any value, in one line for each reason instead of a row of empty boxes. */

import { el, setText, show } from "./dom";
import type { Run } from "./run";
import type { ChartSpec } from "./spec";

export class Folded {
  readonly node = el("ul", { class: "bml-folded", "data-testid": "bml-folded" });
  private mark = "";

  constructor(private readonly run: Run) {}

  refresh(charts: readonly ChartSpec[]): void {
    const lines = this.lines(charts);
    const mark = JSON.stringify(lines);
    if (mark === this.mark) return;
    this.mark = mark;
    show(this.node, lines.length > 0);
    this.node.replaceChildren(...lines.map(([titles, reason]) => this.line(titles, reason)));
  }

  private line(titles: string, reason: string): HTMLElement {
    const strong = el("strong");
    setText(strong, `${titles}:`);
    return el("li", {}, strong, ` ${reason}`);
  }

  /** Titles that share a reason come together, in the order of the dashboard. */
  private lines(charts: readonly ChartSpec[]): [string, string][] {
    const titles = new Map<string, string[]>();
    for (const chart of charts) {
      const reason = this.reason(chart);
      titles.set(reason, [...(titles.get(reason) ?? []), chart.title]);
    }
    return [...titles].map(([reason, names]) => [names.join(", "), reason]);
  }

  private reason(chart: ChartSpec): string {
    const known = chart.lines.map((line) => this.run.reason(line.metric)).find((reason) => reason !== null);
    return known ?? this.run.spec.strings.no_values_yet;
  }
}
