/** The entry point that anywidget loads: each call of render makes one view of the model. */

import "uplot/dist/uPlot.min.css";
import "../style/dashboard.css";
import { greet } from "./greeting";
import { Link, type Model } from "./link";
import { View } from "./view";

interface RenderContext {
  readonly model: Model;
  readonly el: HTMLElement;
  /** Since anywidget 0.10. */
  readonly signal?: AbortSignal;
}

/** Called once a model, whether or not it is ever shown: a page that is slow to draw is heard all the same. */
function initialize({ model }: { readonly model: Model }): () => void {
  return greet(model);
}

let views = 0;

function render({ model, el, signal }: RenderContext): () => void {
  views += 1;
  const id = `bml-${views}-${Math.random().toString(36).slice(2, 8)}`;
  const link = new Link(model, id);
  const view = new View(id, model.get("spec"), link);
  el.append(view.root);
  link.hello();
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    link.close();
    view.destroy();
  };
  signal?.addEventListener("abort", close, { once: true });
  return close;
}

export { formatValue } from "./units";
export default { initialize, render };
