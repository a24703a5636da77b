/** Light or dark, and the colours of the page, read when something is drawn. */

import type { Bin } from "./dom";

export interface Colours {
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  readonly surface: string;
  readonly lines: readonly string[];
}

const SETTLE_MS = 300;
const PALETTE = [0, 1, 2, 3, 4, 5] as const;
const WATCHED = ["class", "style", "theme", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"];

/** Share of light of a CSS colour, 0 … 1; null when it is (nearly) transparent. */
function luminance(colour: string): number | null {
  const [r = 0, g = 0, b = 0, alpha = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return alpha < 0.5 ? null : (0.299 * r + 0.587 * g + 0.114 * b) / 255;
}

function declaredDark(): boolean | null {
  const { body, documentElement: html } = document;
  if (body.dataset["jpThemeLight"] !== undefined) return body.dataset["jpThemeLight"] === "false";
  const kind = body.dataset["vscodeThemeKind"] ?? body.className;
  if (/vscode-(high-contrast-)?light/.test(kind)) return false;
  if (/vscode-(dark|high-contrast)/.test(kind)) return true;
  const theme = html.getAttribute("theme") ?? html.dataset["theme"];
  return theme === undefined || theme === "" ? null : /dark/.test(theme);
}

function paintedDark(root: Element): boolean | null {
  for (let node = root.parentElement; node !== null; node = node.parentElement) {
    const light = luminance(getComputedStyle(node).backgroundColor);
    if (light !== null) return light < 0.5;
  }
  return null;
}

function isDark(root: Element): boolean {
  return declaredDark() ?? paintedDark(root) ?? matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Sets data-theme on the root, so that the style sheet and the canvases agree. */
export function applyTheme(root: HTMLElement): void {
  const theme = isDark(root) ? "dark" : "light";
  if (root.dataset["theme"] !== theme) root.dataset["theme"] = theme;
}

export function sameColours(a: Colours, b: Colours): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

export function readColours(root: HTMLElement): Colours {
  const style = getComputedStyle(root);
  const read = (name: string): string => style.getPropertyValue(`--bml-${name}`).trim();
  return {
    ink: read("ink"),
    muted: read("muted"),
    grid: read("grid"),
    surface: read("surface"),
    lines: PALETTE.map((index) => read(`line-${index}`)),
  };
}

/** Calls back after every change of theme of the page or of the system. */
export function watchTheme(bin: Bin, changed: () => void): void {
  let later: ReturnType<typeof setTimeout> | undefined;
  const observer = new MutationObserver(() => {
    changed();
    // Some pages set the attribute before the style sheet of the new theme is there.
    clearTimeout(later);
    later = setTimeout(changed, SETTLE_MS);
  });
  bin.add(() => clearTimeout(later));
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: WATCHED });
  }
  bin.add(() => observer.disconnect());
  bin.listen(matchMedia("(prefers-color-scheme: dark)"), "change", changed);
}
