/**
 * Pause, Resume and Stop: buttons where a click reaches the training, and otherwise the ways that do.
 *
 * A press answers at once ("Pausing…") and waits for the state to confirm it.
 */

import { terminal } from "./copy";
import { el, icon, setText, show } from "./dom";
import type { Run } from "./run";
import { isLive, type CommandName, type Reach, type Status } from "./spec";
import type { Strings } from "./strings";

const SLOW_MS = 3_000;
const REACHED: Readonly<Record<CommandName, readonly Status[]>> = {
  pause: ["paused"],
  resume: ["running"],
  stop: ["stopped"],
};
const SHAPES: Readonly<Record<CommandName, string>> = {
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  resume: "M4 2.5v11l9-5.5z",
  stop: "M3.5 3.5h9v9h-9z",
};
const WAITING = { pause: "pausing", resume: "resuming", stop: "stopping" } as const;

interface Pending {
  readonly name: CommandName;
  readonly since: number;
  readonly acknowledged: boolean;
}

class Button {
  readonly node: HTMLButtonElement;
  private readonly label = el("span");

  constructor(
    readonly name: CommandName,
    private readonly strings: Strings,
    press: (name: CommandName) => void,
    id: string = name,
  ) {
    this.node = el("button", { type: "button", class: `bml-command bml-${name}`, "data-testid": `bml-${id}` });
    this.node.append(icon(SHAPES[name]), this.label);
    this.node.addEventListener("click", () => press(name));
  }

  refresh(visible: boolean, pending: Pending | null): void {
    const mine = pending?.name === this.name;
    show(this.node, visible);
    setText(this.label, mine ? this.strings[WAITING[this.name]] : this.strings[this.name]);
    // aria-disabled, not disabled: a disabled button would drop the keyboard focus.
    this.node.setAttribute("aria-disabled", String(pending !== null));
    this.node.setAttribute("aria-busy", String(mine));
  }
}

export class Controls {
  readonly buttons = el("div", { class: "bml-commands" });
  readonly advice = el("div", { class: "bml-advice", "data-testid": "bml-advice" });
  /** Stops a run whose step waits for memory, where that is told. */
  readonly ways = el("div", { class: "bml-commands" });
  private readonly stopHere: Button;
  private readonly all: readonly Button[];
  private pending: Pending | null = null;
  private refused = false;
  private shown = "";

  constructor(
    private readonly run: Run,
    private readonly send: (name: CommandName) => void,
    private readonly changed: () => void,
  ) {
    const names: readonly CommandName[] = ["pause", "resume", "stop"];
    this.all = names.map((name) => new Button(name, run.spec.strings, (pressed) => this.press(pressed)));
    this.buttons.append(...this.all.map((button) => button.node));
    this.stopHere = new Button("stop", run.spec.strings, (pressed) => this.press(pressed), "held-stop");
    this.ways.append(this.stopHere.node);
    this.advice.hidden = true;
  }

  /** Whether clicks reach the training; null where there is nothing to control. */
  get reach(): Reach | null {
    const { state, spec } = this.run;
    if (!spec.controls || state === null || !isLive(state.status)) return null;
    const wanted: CommandName = state.status === "paused" ? "resume" : "pause";
    return state.controls[wanted] ?? state.controls["pause"] ?? "none";
  }

  acknowledged(name: string, ok: boolean): void {
    if (this.pending?.name !== name) return;
    this.refused = !ok;
    this.pending = ok ? { ...this.pending, acknowledged: true } : null;
    this.changed();
  }

  refresh(now: number): void {
    this.settle();
    const reach = this.reach;
    const paused = this.run.state?.status === "paused";
    const visible: Record<CommandName, boolean> = { pause: !paused, resume: paused, stop: true };
    const focused = this.all.find((button) => button.node === document.activeElement);
    for (const button of this.all) button.refresh(reach === "live" && visible[button.name], this.pending);
    if (focused?.node.hidden) this.passFocus();
    this.stopHere.refresh(reach === "live" && this.run.advice.held?.waits === true, this.pending);
    this.advise(reach, now);
  }

  private press(name: CommandName): void {
    if (this.pending !== null) return;
    this.refused = false;
    this.pending = { name, since: performance.now(), acknowledged: false };
    this.send(name);
    this.changed();
  }

  /** The state has confirmed the command, or the run has ended. */
  private settle(): void {
    const status = this.run.state?.status;
    if (this.pending === null || status === undefined) return;
    if (REACHED[this.pending.name].includes(status) || !isLive(status)) this.pending = null;
  }

  /** Pause turns into Resume under the finger of a keyboard: the focus goes along. */
  private passFocus(): void {
    this.all.find((button) => !button.node.hidden)?.node.focus({ preventScroll: true });
  }

  private advise(reach: Reach | null, now: number): void {
    const { strings } = this.run.spec;
    const slow = this.pending !== null && !this.pending.acknowledged && now - this.pending.since > SLOW_MS;
    let text: string | null = null;
    if (reach === "queued") text = strings.controls_queued;
    else if (reach === "none") text = strings.controls_none;
    else if (slow) text = strings.command_slow;
    else if (this.refused) text = strings.command_refused;
    const paused = this.run.state?.status === "paused";
    const held = this.run.advice.held?.waits === true;
    if (paused && !held && (reach === "queued" || reach === "none")) text = strings.controls_paused;
    const command = text === null ? "" : `bigmodel-lab ctl ${held ? "stop" : paused ? "resume" : "pause"} ${this.run.spec.run_id}`;
    this.writeAdvice(text, command);
  }

  private writeAdvice(text: string | null, command: string): void {
    const mark = `${text ?? ""}\n${command}`;
    if (mark === this.shown) return;
    this.shown = mark;
    show(this.advice, text !== null);
    if (text === null) return;
    const { strings } = this.run.spec;
    const [before = "", after = ""] = strings.controls_terminal.split("{command}");
    this.advice.replaceChildren(el("p", {}, text), el("p", {}, before, ...terminal(strings, command), after));
  }
}
