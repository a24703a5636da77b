/** The tips of the run, a card each; the person may fold them to one line. */

import type { Advice, Tip, TipCommand } from "./advice";
import { el, setAttribute, setText, show } from "./dom";
import type { Run } from "./run";
import type { Reach } from "./spec";
import { fill } from "./strings";
import { tipCard, type TipCard } from "./tip";

function standing({ state, verdict }: Tip): string {
  return `${state} ${verdict}`;
}

export interface TipsHost {
  readonly run: Run;
  send(name: TipCommand, id: number): void;
  changed(): void;
  /** Tells a screen reader. */
  say(text: string): void;
}

export class Tips {
  readonly node = el("section", { class: "bml-tips", "data-testid": "bml-tips", hidden: "" });
  private readonly fold = el("button", { type: "button", class: "bml-fold", "data-testid": "bml-fold" });
  private readonly list = el("div", { class: "bml-tip-list" });
  private readonly cards = new Map<number, TipCard>();
  private readonly pending = new Map<number, TipCommand>();
  private folded = false;
  private seen: Advice | null = null;
  private reach: Reach | null = null;
  private stale = true;

  constructor(private readonly host: TipsHost) {
    this.node.setAttribute("aria-label", host.run.spec.strings.tips);
    this.node.append(el("h3", {}, this.fold), this.list);
    this.fold.addEventListener("click", () => {
      this.folded = !this.folded;
      this.change();
    });
  }

  acknowledged(id: number, ok: boolean): void {
    if (!ok && this.pending.delete(id)) {
      this.host.say(this.host.run.spec.strings.command_refused);
      this.change();
    }
  }

  refresh(reach: Reach | null): void {
    const { advice } = this.host.run;
    if (advice === this.seen && reach === this.reach && !this.stale) return;
    if (this.seen) this.compare(this.seen, advice);
    [this.seen, this.reach, this.stale] = [advice, reach, false];
    this.drawFold(advice);
    this.drop(advice);
    advice.cards.forEach((tip, at) => this.drawCard(tip, at, reach));
  }

  private change(): void {
    this.stale = true;
    this.host.changed();
  }

  /** A card that says something new answers the press, and is told. */
  private compare(old: Advice, now: Advice): void {
    for (const tip of now.cards) {
      const before = old.cards.find((one) => one.id === tip.id);
      if (!before || standing(before) === standing(tip)) continue;
      this.pending.delete(tip.id);
      this.host.say(`${tip.title}: ${this.host.run.spec.strings[`tip_${tip.state}`]}. ${tip.verdict}`);
    }
  }

  private drawFold({ cards, held }: Advice): void {
    const { strings } = this.host.run.spec;
    const folded = this.folded && held === null;
    const titles = cards.map((tip) => tip.title).join("; ");
    show(this.node, cards.length > 0);
    show(this.list, !folded);
    setAttribute(this.fold, "aria-expanded", String(!folded));
    setAttribute(this.fold, "aria-disabled", String(held !== null));
    const line = fill(cards.length === 1 ? strings.tips_one : strings.tips_many, { count: cards.length, titles });
    setText(this.fold, folded ? line : strings.tips);
  }

  /** Takes away the cards that are no longer told; the focus stays in the section. */
  private drop({ cards }: Advice): void {
    for (const [id, card] of this.cards) {
      if (cards.some((tip) => tip.id === id)) continue;
      const focused = card.node.contains(document.activeElement);
      card.node.remove();
      this.cards.delete(id);
      this.pending.delete(id);
      if (focused) this.fold.focus({ preventScroll: true });
    }
  }

  private drawCard(tip: Tip, at: number, reach: Reach | null): void {
    const card = this.cards.get(tip.id) ?? this.addCard(tip.id);
    const there = this.list.children[at];
    if (there !== card.node) this.list.insertBefore(card.node, there ?? null);
    card.draw(tip, reach, this.pending.get(tip.id) ?? null);
  }

  private addCard(id: number): TipCard {
    const card = tipCard(id, this.host.run.spec, (name) => this.press(id, name));
    this.cards.set(id, card);
    return card;
  }

  private press(id: number, name: TipCommand): void {
    if (this.pending.has(id)) return;
    this.pending.set(id, name);
    this.host.send(name, id);
    this.change();
  }
}
