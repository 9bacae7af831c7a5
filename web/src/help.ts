/** The help: every key, in words. */

import { html, type TemplateResult } from "lit/html.js";

type Entry = readonly [keys: readonly string[], does: string];

/** A key as it is in `KeyboardEvent.key`. */
export const HELP: readonly (readonly [title: string, entries: readonly Entry[]])[] = [
  [
    "Move",
    [
      [["j", "ArrowDown"], "next line"],
      [["k", "ArrowUp"], "previous line"],
      [[" ", "PageDown"], "next page"],
      [["b", "PageUp"], "previous page"],
      [["g", "Home"], "first line"],
      [["G", "End"], "last line"],
      [[":"], "go to a line or time"],
      [["F"], "follow the end"],
    ],
  ],
  [
    "Find",
    [
      [["/"], "search (also Ctrl+F; twice: the browser’s own)"],
      [["n", "N"], "next, previous hit"],
      [["e", "E"], "next, previous error"],
      [["]", "["], "next, previous group"],
      [["1", "2", "3", "4", "5"], "all · info · warning · error · critical and above"],
      [["m"], "mark the line"],
      [["'", '"'], "next, previous mark"],
    ],
  ],
  [
    "Look",
    [
      [["x", "X"], "fold the group or record, all of them"],
      [["Enter"], "open the record of the line"],
      [["w"], "wrap long lines"],
      [["t"], "times: UTC, local, since start, off"],
      [["s"], "show sources"],
      [["f"], "full screen"],
    ],
  ],
  [
    "Take",
    [
      [["y"], "copy a link to the line or lines"],
      [["d"], "download"],
      [["?"], "this help"],
      [["Escape"], "close, clear, cancel"],
    ],
  ],
];

const NAMES: Readonly<Record<string, string>> = {
  " ": "Space",
  ArrowDown: "↓",
  ArrowUp: "↑",
  PageDown: "PgDn",
  PageUp: "PgUp",
  Escape: "Esc",
};

export function helpBody(singleKeys: boolean, setKeys: (on: boolean) => void): TemplateResult {
  return html`<div class="keys">
      ${HELP.map(
        ([title, entries]) => html`<section>
          <h3>${title}</h3>
          <dl>
            ${entries.map(
              ([keys, does]) =>
                html`<div><dt>${keys.map((key) => html`<kbd>${NAMES[key] ?? key}</kbd> `)}</dt><dd>${does}</dd></div>`,
            )}
          </dl>
        </section>`,
      )}
    </div>
    <label class="check"
      ><input
        type="checkbox"
        .checked=${singleKeys}
        @change=${(event: Event) => setKeys((event.target as HTMLInputElement).checked)}
      />
      Single keys are shortcuts</label
    >`;
}
