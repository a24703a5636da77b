/** Texts to take along: a button that copies, and a command for the terminal with its button. */

import { el, setText } from "./dom";
import type { Strings } from "./strings";

/** Copies the text of a node; where the page may not, selects it for the person to copy. */
export function copyButton(strings: Strings, from: HTMLElement, about = ""): HTMLElement {
  const label = el("span", {}, strings.copy);
  const button = el("button", { type: "button", class: "bml-tool bml-copy" }, label);
  if (about) button.append(el("span", { class: "bml-hidden" }, about));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(from.textContent ?? "");
      setText(label, strings.copied);
      setTimeout(() => setText(label, strings.copy), 2_000);
    } catch {
      getSelection()?.selectAllChildren(from);
    }
  });
  return button;
}

/** The command as code and its button. */
export function terminal(strings: Strings, command: string): readonly [HTMLElement, HTMLElement] {
  const code = el("code", { tabindex: "0" }, command);
  return [code, copyButton(strings, code, command)];
}
