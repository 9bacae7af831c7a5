/** What is told to people: in a strip above the rows, and to who cannot see it by one polite status. */

import type { Problem } from "./api";
import type { Desk } from "./desk";

/** The polite status speaks at most so often. */
const STATUS_MS = 5000;
/** What is wrong then stays wrong. */
const FATAL = new Set(["no-such-log", "not-signed-in", "not-allowed"]);

export class Notices {
  readonly #desk: Desk;
  notice: { text: string; actions: readonly (readonly [string, () => void])[] } | null = null;
  /** Gaps that were told and dismissed. */
  gapsRead = 0;
  fatal: Problem | null = null;
  offline: Problem | null = null;
  said = "";
  #saidAt = 0;
  #sayTimer = 0;

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  setOffline(problem: Problem | null): void {
    if (problem && FATAL.has(problem.type)) {
      this.fatal = problem;
    } else if (this.offline === null && problem === null) return;
    // What is fatal is shown instead of the rows.
    if (problem && problem.retryMs === null) this.say(problem.message, !this.fatal);
    this.offline = problem?.retryMs === null ? null : problem;
    this.#desk.host.changed();
  }

  setNotice(text: string, actions: readonly (readonly [string, () => void])[]): void {
    this.notice = { text, actions };
    this.say(text);
    this.#desk.host.changed();
  }

  /** Say something to who cannot see it, at most every few seconds; `seen`: to all. */
  say(text: string, seen = false): void {
    if (seen) this.notice = { text, actions: [] };
    clearTimeout(this.#sayTimer);
    this.#sayTimer = window.setTimeout(
      () => {
        this.said = text;
        this.#saidAt = performance.now();
        this.#desk.host.changed();
      },
      Math.max(100, this.#saidAt + STATUS_MS - performance.now()),
    );
    this.#desk.host.changed();
  }
}
