/** The legend of a chart: a sample of each line, its name and its value; each opens its explanation. */

import { el, setText, show } from "./dom";
import type { ChartSpec, LineSpec } from "./spec";

const SVG = "http://www.w3.org/2000/svg";

/** A short piece of the line as it is drawn: dashed, or with a point on it. */
function sample(line: LineSpec): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 18 10");
  svg.setAttribute("class", `bml-sample bml-stroke-${line.color}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M1 5H17");
  if (line.dashed) path.setAttribute("stroke-dasharray", "4 3");
  svg.append(path);
  if (line.points) {
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", "9");
    dot.setAttribute("cy", "5");
    dot.setAttribute("r", "3");
    svg.append(dot);
  }
  return svg;
}

interface Item {
  readonly button: HTMLButtonElement;
  readonly value: HTMLElement;
}

export interface LegendHost {
  label(metric: string): string;
  whatIsThis: string;
  explain(anchor: HTMLElement, metric: string): void;
}

export class Legend {
  readonly node = el("div", { class: "bml-legend" });
  private readonly items: readonly Item[];

  constructor(chart: ChartSpec, host: LegendHost) {
    this.items = chart.lines.map((line) => {
      const value = el("span", { class: "bml-legend-value" });
      const label = el("span", { class: "bml-legend-label" }, host.label(line.metric));
      const button = el(
        "button",
        { type: "button", class: "bml-legend-item", "aria-expanded": "false", "data-metric": line.metric },
        sample(line),
        label,
        value,
        el("span", { class: "bml-hidden" }, host.whatIsThis),
      );
      button.title = host.whatIsThis;
      button.addEventListener("click", () => host.explain(button, line.metric));
      this.node.append(button);
      return { button, value };
    });
  }

  /** Shows a value for each line; null hides a line that never had one. */
  write(values: readonly (string | null)[]): void {
    this.items.forEach(({ button, value }, i) => {
      const text = values[i] ?? null;
      show(button, text !== null);
      setText(value, text ?? "");
    });
  }
}
