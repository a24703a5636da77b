/**
 * Decides what a data message means for a view: seq numbers tell whether one was missed.
 *
 * The first keyframe fills the view. A later one is ignored, unless a message was missed
 * since; until it comes the view goes on with what it has.
 */

import type { DataMessage } from "./wire";

export type Use = "replace" | "append" | "state only";

export class Inbox {
  seq = -1;
  private whole = false;

  /** The view has everything the kernel has sent. */
  get complete(): boolean {
    return this.whole;
  }

  /** A message could not be read: what it held is missing. */
  lost(): void {
    this.whole = false;
  }

  take(message: DataMessage): Use {
    const next = message.seq === this.seq + 1;
    const same = message.seq === this.seq && message.type === "keyframe";
    if (!next && !same) this.whole = false;
    this.seq = message.seq;
    if (message.type === "delta") return "append";
    if (this.whole) return "state only";
    this.whole = true;
    return "replace";
  }
}
