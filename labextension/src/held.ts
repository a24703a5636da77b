/** The alert about a step that ran out of memory: what was asked for, what held the memory, what happens now. */

import type { Held, Share } from "./advice";
import { el, show } from "./dom";
import type { Strings } from "./strings";

/** What held the memory, as one bar; the legend below says the same in words. */
function memory(shares: readonly Share[], label: string): HTMLElement {
  const words = shares.map((one) => `${one.label} ${one.text}`).join(", ");
  const bar = el("div", { class: "bml-shares", role: "img", "aria-label": `${label}: ${words}` });
  const legend = el("ul", { class: "bml-shares-legend" });
  for (const { name, label: of, text, share } of shares) {
    const part = el("span", { class: "bml-share", "data-kind": name, title: `${of} ${text}` });
    part.style.flexGrow = String(share);
    bar.append(part);
    legend.append(el("li", {}, el("span", { class: "bml-share", "data-kind": name }), `${of} `, el("b", {}, text)));
  }
  return el("figure", {}, el("figcaption", {}, label), bar, legend);
}

export interface HeldPanel {
  readonly node: HTMLElement;
  draw(held: Held | null): void;
}

/** The panel; `ways` is what stops the run. */
export function heldPanel(strings: Strings, ways: HTMLElement): HeldPanel {
  const node = el("section", { class: "bml-held", role: "alert", "data-testid": "bml-held", hidden: "" });
  let drawn = "null";
  return {
    node,
    draw(held): void {
      const mark = JSON.stringify(held);
      if (mark === drawn) return;
      drawn = mark;
      show(node, held !== null);
      if (held === null) return;
      const facts = held.facts.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value)));
      node.replaceChildren(el("h3", {}, held.title), el("p", {}, held.sentence), ways, el("dl", {}, ...facts));
      if (held.categories.length > 0) node.append(memory(held.categories, strings.in_use));
      if (held.message) node.append(el("details", {}, el("summary", {}, strings.original_error), el("pre", {}, held.message)));
    },
  };
}
