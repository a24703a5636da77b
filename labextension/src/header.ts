/** The top of the dashboard: what runs, where it stands, how far it is. */

import { el, icon, setAttribute, setText, show } from "./dom";
import type { Run } from "./run";
import { isLive, stepsDone, type RunState, type Status } from "./spec";
import { fill } from "./strings";
import { formatNumber, formatSeconds } from "./units";

/** A shape of its own for each status, so that colour is never the only sign. */
const SHAPES: Readonly<Record<Status | "waiting", string>> = {
  running: "M4 2.5v11l9-5.5z",
  paused: "M4 3h3v10H4zM9 3h3v10H9z",
  finished: "M6.3 13 1.8 8.5l1.8-1.8 2.7 2.7 6.1-6.2L14.2 5z",
  stopped: "M3.5 3.5h9v9h-9z",
  failed: "M4.2 2.4 8 6.2l3.8-3.8 1.8 1.8L9.8 8l3.8 3.8-1.8 1.8L8 9.8l-3.8 3.8-1.8-1.8L6.2 8 2.4 4.2z",
  lost: "M8 1.2 15.2 14H.8zM7 5.6v4h2v-4zm0 5v2h2v-2z",
  waiting: "M3 7h2v2H3zM7 7h2v2H7zM11 7h2v2h-2z",
};

export class Header {
  readonly node: HTMLElement;
  readonly actions = el("div", { class: "bml-actions" });
  private readonly pill = el("span", { class: "bml-pill", "data-testid": "bml-status" });
  private readonly facts = el("p", { class: "bml-facts" });
  private readonly bar = el("span", { class: "bml-bar-done" });
  private readonly progress: HTMLElement;
  private drawn = "";

  constructor(private readonly run: Run) {
    const { title, origin, badge, strings } = run.spec;
    const heading = el("h2", { class: "bml-title" }, title);
    const origins = el("span", { class: "bml-badge", "data-testid": "bml-badge", "data-origin": origin }, badge);
    origins.hidden = badge === "";
    this.progress = el(
      "div",
      { class: "bml-bar", role: "progressbar", "aria-label": strings.progress, "aria-valuemin": "0", "aria-valuemax": "100" },
      this.bar,
    );
    const name = el("div", { class: "bml-name" }, this.pill, heading, origins);
    this.node = el("header", { class: "bml-header" }, name, this.actions, this.progress, this.facts);
  }

  refresh(): void {
    const { state } = this.run;
    this.drawPill(state?.status ?? "waiting");
    show(this.facts, state !== null);
    if (state === null) {
      show(this.progress, false);
      return;
    }
    this.drawFacts(this.sentences(state));
    this.drawProgress(state);
  }

  /** The facts in one sentence, for screen readers. */
  summary(): string {
    const { state, spec } = this.run;
    if (state === null) return spec.strings.status_waiting;
    return [spec.strings[`status_${state.status}`], ...this.sentences(state)].join(", ");
  }

  private drawPill(status: Status | "waiting"): void {
    if (this.drawn === status) return;
    this.drawn = status;
    this.pill.dataset["status"] = status;
    this.pill.replaceChildren(icon(SHAPES[status]), this.run.spec.strings[`status_${status}`]);
  }

  private drawFacts(sentences: readonly string[]): void {
    while (this.facts.childElementCount < sentences.length) this.facts.append(el("span"));
    [...this.facts.children].forEach((node, i) => setText(node, sentences[i] ?? ""));
  }

  private sentences(state: RunState): string[] {
    const { strings, total_steps: total } = this.run.spec;
    const step = formatNumber(stepsDone(state));
    const facts = [total === null ? fill(strings.step_only, { step }) : fill(strings.step_of, { step, total: formatNumber(total) })];
    const { epoch, epochs } = state;
    if (epoch !== null) facts.push(epochs === null ? fill(strings.epoch_only, { epoch }) : fill(strings.epoch_of, { epoch, epochs }));
    if (state.elapsed !== null) facts.push(fill(strings.elapsed, { time: formatSeconds(state.elapsed) }));
    if (state.eta !== null && isLive(state.status)) facts.push(fill(strings.time_left, { time: formatSeconds(state.eta) }));
    return facts;
  }

  private drawProgress(state: RunState): void {
    const total = this.run.spec.total_steps;
    show(this.progress, total !== null && total > 0);
    if (total === null || total <= 0) return;
    const share = state.status === "finished" ? 1 : Math.min(1, stepsDone(state) / total);
    this.bar.style.transform = `scaleX(${share})`;
    setAttribute(this.progress, "aria-valuenow", String(Math.round(share * 100)));
    setAttribute(this.progress, "data-status", state.status);
  }
}
