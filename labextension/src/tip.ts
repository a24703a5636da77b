/** The card of one tip: what to do and why, what it is expected to do, and what it did here. */

import type { Tip, TipCode, TipCommand } from "./advice";
import { copyButton, terminal } from "./copy";
import { el, setAttribute, setText, show } from "./dom";
import type { Reach, Spec } from "./spec";
import type { Strings } from "./strings";

const WAITING = { apply: "applying", undo: "undoing" } as const;

export interface TipCard {
  readonly node: HTMLElement;
  /** Draws what changed; the parts that stay keep their place and the focus. */
  draw(tip: Tip, reach: Reach | null, pending: TipCommand | null): void;
}

function effect(kind: "expected" | "measured", strings: Strings, lines: readonly string[]): HTMLElement {
  return el("div", { class: `bml-${kind}` }, el("dt", {}, strings[kind]), ...lines.map((line) => el("dd", {}, line)));
}

function effects(strings: Strings, { predicted, measured, verdict }: Tip): HTMLElement[] {
  const shown = predicted.length > 0 ? [effect("expected", strings, predicted)] : [];
  const found = verdict ? [...measured, verdict] : measured;
  return found.length > 0 ? [...shown, effect("measured", strings, found)] : shown;
}

function recipe(strings: Strings, { framework, text, in_mid_run: now }: TipCode): HTMLElement {
  const code = el("pre", { tabindex: "0", "aria-label": framework }, text);
  const when = el("span", { class: now ? "bml-now" : "bml-later" }, now ? strings.in_mid_run : strings.in_new_run);
  return el("section", {}, el("h5", {}, framework, when, copyButton(strings, code, framework)), code);
}

/** What the details show beyond the whole of the reason. */
function details(strings: Strings, { costs, code }: Tip): HTMLElement[] {
  const prices = el("ul", {}, ...costs.map((cost) => el("li", {}, cost)));
  const parts = costs.length > 0 ? [el("h5", {}, strings.costs), prices] : [];
  return [...parts, ...code.map((one) => recipe(strings, one))];
}

/** Rebuilds the children only where the content is another. */
function rebuilder(node: HTMLElement): (content: unknown, make: () => readonly (Node | string)[]) => void {
  let drawn = "";
  return (content, make) => {
    const mark = JSON.stringify(content);
    if (mark === drawn) return;
    drawn = mark;
    node.replaceChildren(...make());
  };
}

export function tipCard(id: number, { strings, run_id: run }: Spec, press: (name: TipCommand) => void): TipCard {
  const button = (css: string, label: string, click: () => void): HTMLButtonElement => {
    const made = el("button", { type: "button", class: `bml-tool bml-tip-${css}`, "data-testid": `bml-tip-${css}` }, label);
    made.addEventListener("click", click);
    return made;
  };
  const tags = el("div", { class: "bml-tags" });
  const title = el("h4");
  const why = el("p", { class: "bml-why" });
  const numbers = el("dl");
  const way = el("span", { class: "bml-terminal" });
  const more = el("div", { class: "bml-more", hidden: "" });
  const apply = button("apply", "", () => press("apply"));
  const undo = button("undo", "", () => press("undo"));
  const open = button("details", strings.details, () => unfold(more.hidden));
  const node = el(
    "article",
    { class: "bml-tip", "data-testid": "bml-tip", "data-id": String(id) },
    el("header", {}, title, tags),
    why,
    numbers,
    el("div", { class: "bml-tip-buttons" }, apply, undo, open, way),
    more,
  );
  const [drawTags, drawNumbers, drawMore, drawWay] = [rebuilder(tags), rebuilder(numbers), rebuilder(more), rebuilder(way)];

  function unfold(wide: boolean): void {
    show(more, wide);
    open.setAttribute("aria-expanded", String(wide));
    node.toggleAttribute("data-open", wide);
  }

  function draw(tip: Tip, reach: Reach | null, pending: TipCommand | null): void {
    const focused = document.activeElement;
    const { state, goal, simulated, restart } = tip;
    const can = { apply: tip.can_apply && state === "proposed", undo: tip.can_undo };
    node.dataset["state"] = state;
    setAttribute(node, "aria-label", tip.title);
    setText(title, tip.title);
    setText(why, tip.why);
    drawTags([state, goal, simulated, restart], () => [
      el("span", { class: "bml-goal", "data-goal": goal }, strings[`goal_${goal}`] ?? goal),
      ...(simulated ? [el("span", { class: "bml-tag" }, strings.simulated)] : []),
      ...(restart ? [el("span", { class: "bml-tag" }, strings.needs_restart)] : []),
      el("span", { class: "bml-tip-state", "data-state": state }, strings[`tip_${state}`] ?? state),
    ]);
    drawNumbers([tip.predicted, tip.measured, tip.verdict], () => effects(strings, tip));
    drawMore([tip.costs, tip.code], () => details(strings, tip));
    for (const [name, made] of [["apply", apply], ["undo", undo]] as const) {
      show(made, can[name] && reach === "live");
      setText(made, strings[pending === name ? WAITING[name] : name]);
      setAttribute(made, "aria-disabled", String(pending !== null));
      setAttribute(made, "aria-busy", String(pending === name));
    }
    const far = reach === "queued" || reach === "none";
    const command = far && (can.apply || can.undo) ? `bigmodel-lab ctl ${can.undo ? "undo" : "apply"} ${run} --tip ${id}` : "";
    drawWay(command, () => (command ? terminal(strings, command) : []));
    // Apply turns into Undo under the finger of a keyboard: the focus goes along.
    if ((focused === apply && apply.hidden) || (focused === undo && undo.hidden)) (undo.hidden ? open : undo).focus({ preventScroll: true });
  }

  unfold(false);
  return { node, draw };
}
