/** Which stretch of x the charts show: everything, following the run, or what the person zoomed to. */

import type { Link } from "./link";
import type { Run } from "./run";
import type { Axis } from "./spec";
import type { Stretch } from "./thin";
import { clamped } from "./renderers/gestures";

export class Viewport {
  private readonly zooms: Record<Axis, Stretch | null> = { step: null, time: null };

  constructor(
    private readonly run: Run,
    private readonly link: Link,
  ) {}

  view(axis: Axis): { readonly now: Stretch; readonly whole: Stretch } | null {
    const whole = this.run.whole(axis);
    return whole === null ? null : { now: this.zooms[axis] ?? whole, whole };
  }

  zoomed(axis: Axis): boolean {
    return this.zooms[axis] !== null;
  }

  /** Zooms, and asks the kernel for finer data of the stretch. */
  zoom(axis: Axis, stretch: Stretch, buckets: number): void {
    const whole = this.run.whole(axis);
    const zoom = whole === null ? null : clamped(stretch, whole);
    this.zooms[axis] = zoom;
    if (zoom === null) this.reset(axis);
    else this.link.refine(axis, zoom, buckets);
  }

  /** Shows everything again and follows the run. */
  reset(axis: Axis): void {
    this.zooms[axis] = null;
    this.run.coarsen(axis);
    this.link.forget(axis);
  }
}
