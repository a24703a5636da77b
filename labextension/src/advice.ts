/** Tips of the run, and the step that ran out of memory, as the kernel tells them. */

import { isObject, type Json } from "./spec";

export type TipState = "proposed" | "applied" | "kept" | "reverted" | "inconclusive" | "undone";
export type Goal = "memory" | "speed" | "quality" | "energy";
export type TipCommand = "apply" | "undo";

export interface TipCode {
  readonly framework: string;
  readonly text: string;
  readonly in_mid_run: boolean;
}

export interface Tip {
  readonly id: number;
  readonly state: TipState;
  readonly title: string;
  readonly why: string;
  readonly goal: Goal;
  readonly predicted: readonly string[];
  readonly costs: readonly string[];
  readonly measured: readonly string[];
  readonly verdict: string;
  readonly can_apply: boolean;
  readonly can_undo: boolean;
  readonly restart: boolean;
  readonly simulated: boolean;
  readonly code: readonly TipCode[];
}

export interface Share {
  readonly name: string;
  readonly label: string;
  readonly text: string;
  readonly share: number;
}

export interface Held {
  readonly title: string;
  readonly sentence: string;
  readonly facts: readonly (readonly [string, string])[];
  readonly categories: readonly Share[];
  readonly message: string;
  readonly waits: boolean;
}

export interface Advice {
  readonly cards: readonly Tip[];
  readonly held: Held | null;
}

function list(value: unknown): readonly never[] {
  return Array.isArray(value) ? (value as never[]) : [];
}

function tip(raw: Json): Tip {
  const lists = ["predicted", "costs", "measured", "code"].map((name) => [name, list(raw[name])]);
  return { ...raw, ...Object.fromEntries(lists) } as Tip;
}

/** The advice of a message; what does not look like a card is left out. */
export function readAdvice({ cards, held }: Json): Advice {
  return {
    cards: (list(cards) as readonly unknown[]).filter(isObject).map(tip),
    held: isObject(held) ? ({ ...held, facts: list(held["facts"]), categories: list(held["categories"]) } as unknown as Held) : null,
  };
}
