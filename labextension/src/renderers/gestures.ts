/** Mouse, wheel and keyboard on a plot, turned into cursor moves and stretches of x. */

import type uPlot from "uplot";
import type { Bin } from "../dom";
import type { Stretch } from "../thin";

export interface Actions {
  /** The stretch in view and the whole one; null before the first data. */
  view(): { readonly now: Stretch; readonly whole: Stretch } | null;
  zoom(stretch: Stretch): void;
  reset(): void;
  /** Moves the cursor by rows; -Infinity and Infinity go to the ends. */
  move(rows: number): void;
  leave(): void;
}

const ZOOM = 0.8;
const PAGE = 10;

export function scaled(now: Stretch, center: number, factor: number): Stretch {
  return { from: center - (center - now.from) * factor, to: center + (now.to - center) * factor };
}

export function shifted(now: Stretch, distance: number): Stretch {
  return { from: now.from + distance, to: now.to + distance };
}

/** Wheel: zooms about the pointer, with Ctrl or ⌘, or plainly once the plot has the focus. */
function onWheel(event: WheelEvent, plot: HTMLElement, u: uPlot, actions: Actions): void {
  const wanted = event.ctrlKey || event.metaKey || plot.contains(document.activeElement);
  const view = actions.view();
  if (!wanted || view === null || event.deltaY === 0) return;
  event.preventDefault();
  const left = event.clientX - u.over.getBoundingClientRect().left;
  actions.zoom(scaled(view.now, u.posToVal(left, "x"), event.deltaY < 0 ? ZOOM : 1 / ZOOM));
}

/** Follows the pointer from a press until it is let go, and moves the stretch with it. */
function pan(event: MouseEvent, u: uPlot, actions: Actions): void {
  const view = actions.view();
  if (view === null || event.button !== 0) return;
  event.preventDefault();
  event.stopPropagation();
  const perPixel = (view.now.to - view.now.from) / Math.max(1, u.over.clientWidth);
  const drag = new AbortController();
  const move = (e: MouseEvent): void => {
    // Let go outside the window: no mouseup came.
    if (e.buttons === 0) drag.abort();
    else actions.zoom(shifted(view.now, (event.clientX - e.clientX) * perPixel));
  };
  document.addEventListener("mousemove", move, { signal: drag.signal });
  document.addEventListener("mouseup", () => drag.abort(), { signal: drag.signal });
}

function onKey(event: KeyboardEvent, actions: Actions): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const view = actions.view();
  if (view === null) return;
  const { now } = view;
  const [width, center] = [now.to - now.from, (now.to + now.from) / 2];
  const keys: Record<string, () => void> = {
    ArrowLeft: () => (event.shiftKey ? actions.zoom(shifted(now, -width / PAGE)) : actions.move(-1)),
    ArrowRight: () => (event.shiftKey ? actions.zoom(shifted(now, width / PAGE)) : actions.move(1)),
    PageUp: () => actions.move(-PAGE),
    PageDown: () => actions.move(PAGE),
    Home: () => actions.move(-Infinity),
    End: () => actions.move(Infinity),
    "+": () => actions.zoom(scaled(now, center, ZOOM)),
    "-": () => actions.zoom(scaled(now, center, 1 / ZOOM)),
    "0": () => actions.reset(),
    Escape: () => actions.leave(),
  };
  const act = keys[event.key];
  if (act === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

export function listen(plot: HTMLElement, u: uPlot, actions: Actions, bin: Bin): void {
  bin.listen<WheelEvent>(u.over, "wheel", (event) => onWheel(event, plot, u, actions), { passive: false });
  bin.listen<MouseEvent>(u.over, "mousedown", (event) => event.shiftKey && pan(event, u, actions), { capture: true });
  const axis = u.root.querySelector<HTMLElement>(".u-axis");
  if (axis) {
    axis.classList.add("bml-axis-drag");
    bin.listen<MouseEvent>(axis, "mousedown", (event) => pan(event, u, actions));
  }
  bin.listen<KeyboardEvent>(plot, "keydown", (event) => onKey(event, actions));
  bin.listen(plot, "blur", () => actions.leave());
}

/** Keeps a stretch inside the whole and not narrower than makes sense. */
export function clamped(stretch: Stretch, whole: Stretch): Stretch | null {
  const width = stretch.to - stretch.from;
  const most = whole.to - whole.from;
  if (!(width > 0) || width >= most) return null;
  const least = Math.max(most * 1e-6, 1e-6);
  const kept = Math.max(width, least);
  const from = Math.min(Math.max(stretch.from, whole.from), whole.to - kept);
  return { from, to: from + kept };
}
