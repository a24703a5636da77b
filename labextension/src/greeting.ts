/**
 * Says hello until the kernel answers.
 *
 * JupyterLab opens its way past a busy cell (a subshell) when it learns of the widget, and
 * that takes a moment. What is sent before lies behind the cell until it ends.
 */

import type { Model } from "./link";
import { isObject } from "./spec";

const EVERY_MS = 250;
const TIMES = 40;

/** Begins to greet; the answer stops it, and so does the function that it returns. */
export function greet(model: Model): () => void {
  let left = TIMES;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    model.off("msg:custom", hear);
  };
  const hear = (content: unknown): void => {
    if (isObject(content) && content["type"] === "ack" && content["name"] === "hello") stop();
  };
  const say = (): void => {
    left -= 1;
    if (left <= 0) return stop();
    timer = setTimeout(say, EVERY_MS);
    try {
      model.send({ type: "hello", view: "model" });
    } catch (error) {
      stop();
      console.warn("bigmodel_lab: the kernel cannot be reached", error);
    }
  };
  model.on("msg:custom", hear);
  say();
  return stop;
}
