/** Texts for screen readers: a summary now and then, and the cursor of the keyboard at once. */

import { el, setText } from "./dom";

export const QUIET_MS = 5_000;

/** A hidden status line that speaks at most every five seconds and never twice the same. */
export class Summary {
  readonly node = el("div", { class: "bml-hidden", role: "status" });
  private spokenAt = -Infinity;

  offer(text: () => string): void {
    const now = performance.now();
    if (now - this.spokenAt < QUIET_MS) return;
    this.spokenAt = now;
    setText(this.node, text());
  }
}

/** A hidden line for what the person has just asked for. */
export class Answer {
  readonly node = el("div", { class: "bml-hidden", "aria-live": "polite", "aria-atomic": "true" });

  say(text: string): void {
    setText(this.node, text);
  }
}
