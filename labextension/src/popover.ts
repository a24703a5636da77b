/** The "what is this?" bubble: one a view, above everything, closed by Escape or a click elsewhere. */

import { el, type Bin, type Child } from "./dom";

export class Popover {
  readonly node: HTMLDivElement;
  private anchor: HTMLElement | null = null;

  constructor(view: string, bin: Bin) {
    this.node = el("div", { class: "bml-popover", id: `${view}-popover`, role: "dialog", tabindex: "-1" });
    this.node.hidden = true;
    if (this.topLayer) this.node.popover = "manual";
    bin.listen<KeyboardEvent>(document, "keydown", (event) => this.onKey(event), { capture: true });
    bin.listen<PointerEvent>(document, "pointerdown", (event) => this.onPointer(event), { capture: true });
    bin.listen(window, "scroll", () => this.place(), { capture: true, passive: true });
    bin.listen(window, "resize", () => this.place());
    bin.add(() => this.close(false));
  }

  get open(): boolean {
    return this.anchor !== null;
  }

  /** Opens below the anchor; a second press on the same anchor closes. */
  toggle(anchor: HTMLElement, label: string, ...content: Child[]): void {
    if (this.anchor === anchor) {
      this.close(true);
      return;
    }
    this.close(false);
    this.anchor = anchor;
    anchor.setAttribute("aria-expanded", "true");
    this.node.setAttribute("aria-label", label);
    this.node.replaceChildren(...content);
    this.node.hidden = false;
    if (this.topLayer) this.node.showPopover();
    this.place();
    this.node.focus({ preventScroll: true });
  }

  close(returnFocus: boolean): void {
    const anchor = this.anchor;
    if (anchor === null) return;
    this.anchor = null;
    anchor.setAttribute("aria-expanded", "false");
    if (this.topLayer && this.node.isConnected) this.node.hidePopover();
    this.node.hidden = true;
    if (returnFocus) anchor.focus({ preventScroll: true });
  }

  private get topLayer(): boolean {
    return typeof HTMLElement.prototype.showPopover === "function";
  }

  private onKey(event: KeyboardEvent): void {
    if (!this.open || event.key !== "Escape") return;
    // The notebook would leave its cell on Escape; here it only closes the bubble.
    event.stopPropagation();
    event.preventDefault();
    this.close(true);
  }

  private onPointer(event: PointerEvent): void {
    const path = event.composedPath();
    if (this.anchor !== null && !path.includes(this.node) && !path.includes(this.anchor)) this.close(false);
  }

  private place(): void {
    if (this.anchor === null) return;
    const edge = 8;
    const anchor = this.anchor.getBoundingClientRect();
    const own = this.node.getBoundingClientRect();
    const below = anchor.bottom + 6;
    const above = anchor.top - 6 - own.height;
    const top = below + own.height + edge > window.innerHeight && above > edge ? above : below;
    const left = Math.min(anchor.left, window.innerWidth - own.width - edge);
    this.node.style.top = `${top}px`;
    this.node.style.left = `${Math.max(edge, left)}px`;
  }
}
