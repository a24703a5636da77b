/** The charts as a table: latest, lowest and highest value of every series. */

import { el, setText, show } from "./dom";
import type { Run } from "./run";
import type { ChartSpec, LineSpec } from "./spec";
import { formatValue } from "./units";

interface Row {
  readonly chart: ChartSpec;
  readonly line: LineSpec;
  readonly node: HTMLTableRowElement;
  readonly cells: readonly HTMLTableCellElement[];
}

export class ValueTable {
  readonly node: HTMLElement;
  private readonly rows: readonly Row[];

  constructor(private readonly run: Run) {
    const { strings, charts } = run.spec;
    const heads = [
      strings.table_chart,
      strings.table_series,
      strings.table_latest,
      strings.table_lowest,
      strings.table_highest,
    ];
    this.rows = charts.flatMap((chart) => chart.lines.map((line) => this.row(chart, line)));
    const table = el(
      "table",
      { "data-testid": "bml-table" },
      el("caption", {}, strings.table_caption),
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...this.rows.map((row) => row.node)),
    );
    this.node = el("div", { class: "bml-table-box", tabindex: "0", role: "region", "aria-label": strings.table_caption }, table);
  }

  refresh(): void {
    for (const { chart, line, node, cells } of this.rows) {
      const seen = this.run.seen(line.metric, chart.x);
      show(node, seen);
      if (!seen) continue;
      const { unit } = this.run.metric(line.metric);
      const [lowest, highest] = this.run.extremes(line.metric, chart.x);
      [this.run.latest(line.metric, chart.x), lowest, highest].forEach((value, i) => {
        setText(cells[i]!, formatValue(value, unit));
      });
    }
  }

  private row(chart: ChartSpec, line: LineSpec): Row {
    const cells = [el("td"), el("td"), el("td")];
    const name = el("th", { scope: "row" }, this.run.metric(line.metric).label);
    const node = el("tr", { "data-metric": line.metric }, el("td", { class: "bml-table-chart" }, chart.title), name, ...cells);
    return { chart, line, node, cells };
  }
}
