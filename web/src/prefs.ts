/**
 * What a reader has chosen for all logs; kept by the browser. Never anything of a log, and no token.
 */

import type { TimeMode } from "./times";

export interface Prefs {
  readonly time: TimeMode;
  readonly wrap: boolean;
  readonly source: boolean;
  readonly theme: "" | "light" | "dark";
  /** Whether single keys are shortcuts. */
  readonly keys: boolean;
  /** Silences of so many seconds are marked. */
  readonly gapS: number;
}

const NAME = "logflume-viewer";
const FIRST: Prefs = { time: "utc", wrap: false, source: false, theme: "", keys: true, gapS: 60 };

export function readPrefs(): Prefs {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    return typeof kept === "object" ? { ...FIRST, ...kept } : FIRST;
  } catch {
    return FIRST; // a browser that keeps nothing, or something of another kind
  }
}

export function keepPrefs(prefs: Prefs): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(prefs));
  } catch {
    // It counts for this page.
  }
}
