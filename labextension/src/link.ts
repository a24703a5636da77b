/** The line to the kernel: messages in through the inbox, hello, commands and range requests out. */

import { Inbox } from "./inbox";
import type { Run } from "./run";
import type { TipCommand } from "./advice";
import type { Axis, CommandName, Spec } from "./spec";
import type { Stretch } from "./thin";
import { decode, WireError, type AckMessage } from "./wire";

/** What this view uses of anywidget's model, the same from 0.9.21 to 0.11. */
export interface Model {
  get(name: "spec"): Spec;
  on(event: string, handler: (...values: never[]) => void): void;
  off(event: string, handler: (...values: never[]) => void): void;
  send(content: object): void;
}

const HELLO_MS = 2_000;
const SETTLE_MS = 120;

export class Link {
  run: Run | null = null;
  changed: () => void = () => undefined;
  acknowledged: (message: AckMessage) => void = () => undefined;
  messages = 0;
  private readonly inbox = new Inbox();
  private readonly requests = new Map<Axis, number>();
  private readonly timers = new Map<Axis, ReturnType<typeof setTimeout>>();
  private requested = 0;
  private helloAt = -Infinity;

  constructor(
    private readonly model: Model,
    private readonly view: string,
  ) {
    model.on("msg:custom", this.receive);
    model.on("change:spec", this.respec);
  }

  get seq(): number {
    return this.inbox.seq;
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.model.off("change:spec", this.respec);
    for (const axis of this.timers.keys()) this.forget(axis);
  }

  hello(): void {
    this.helloAt = performance.now();
    this.send({ type: "hello", view: this.view });
  }

  command(name: CommandName): void {
    this.send({ type: "command", name });
  }

  /** A command about one proposal. */
  advised(name: TipCommand, id: number): void {
    this.send({ type: "command", name, id });
  }

  /** Asks for finer data once the zoom has come to rest. */
  refine(axis: Axis, stretch: Stretch, buckets: number): void {
    this.forget(axis);
    this.timers.set(axis, setTimeout(() => this.request(axis, stretch, buckets), SETTLE_MS));
  }

  /** The answer to the last request of this axis is no longer wanted. */
  forget(axis: Axis): void {
    clearTimeout(this.timers.get(axis));
    this.timers.delete(axis);
    this.requests.delete(axis);
  }

  private request(axis: Axis, stretch: Stretch, buckets: number): void {
    this.requested += 1;
    this.requests.set(axis, this.requested);
    this.run?.spec.streams.forEach((stream, index) => {
      if (stream.axis !== axis) return;
      this.send({ type: "range", request: this.requested, stream: index, ...stretch, buckets: Math.round(buckets) });
    });
  }

  /** A closed comm throws; the view goes on with what it has. */
  private send(content: object): void {
    try {
      this.model.send(content);
    } catch (error) {
      console.warn("bigmodel_lab: the kernel cannot be reached", error);
    }
  }

  private readonly respec = (): void => {
    this.run?.follow(this.model.get("spec"));
    this.changed();
  };

  private readonly receive = (content: unknown, buffers: readonly DataView[] | undefined): void => {
    try {
      this.take(content, buffers ?? []);
    } catch (error) {
      // Whatever came, the view stays; the next keyframe brings what this message held.
      if (!(error instanceof WireError)) console.error("bigmodel_lab:", error);
      this.inbox.lost();
    }
    if (!this.inbox.complete) this.helloAgain();
    this.changed();
  };

  private take(content: unknown, buffers: readonly DataView[]): void {
    const { run } = this;
    if (run === null) return;
    this.messages += 1;
    const message = decode(content, buffers, run.spec.streams);
    if (message.type === "ack") this.acknowledged(message);
    else if (message.type === "tips") run.advice = message.advice;
    else if (message.type === "range") this.takeRange(run, message);
    else run.take(message, this.inbox.take(message));
  }

  private takeRange(run: Run, message: Parameters<Run["refine"]>[0]): void {
    if ([...this.requests.values()].includes(message.request)) run.refine(message);
  }

  private helloAgain(): void {
    if (performance.now() - this.helloAt > HELLO_MS) this.hello();
  }
}
