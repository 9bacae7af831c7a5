/**
 * One line on screen.
 *
 * Holds: everything of a log becomes a text node or a style name; nothing is ever parsed as markup.
 */

import { parseLine } from "./ansi";
import type { Line } from "./line";

export function paintRow(element: HTMLElement, line: Line | undefined, index: number): void {
  if (element.dataset.stale === undefined) return;
  delete element.dataset.stale;
  element.setAttribute("aria-rowindex", String(index + 1));
  if (line) element.dataset.seq = String(line.seq ?? index);
  else delete element.dataset.seq;
  const cell = (name: string, text: string): HTMLElement => {
    const made = document.createElement("span");
    made.className = name;
    made.setAttribute("role", "cell");
    made.textContent = text;
    return made;
  };
  const text = cell("x", "");
  text.append(...parseLine(line?.text ?? "…").map((run) => document.createTextNode(run.text)));
  element.replaceChildren(cell("n", String((line?.seq ?? index) + 1)), cell("t", line?.ts.slice(11, 23) ?? ""), text);
}
