/**
 * Rows from the server, a page at a time, as they are looked at.
 *
 * Holds: at most MAX_PAGES pages are kept, those looked at last; at most MAX_ASKED requests are under way; a page that is
 *        not wanted any more is not waited for. What could not be had is asked for again, later and later.
 */

import { isAbort, Problem } from "./api";
import type { Line } from "./line";

export const PAGE_ROWS = 512;
export const MAX_PAGES = 48;
const MAX_ASKED = 3;
const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 5000;

/** Get what follows those rows of a page that are there; fewer than PAGE_ROWS in all where the log ends. */
export type Load = (page: number, have: readonly Line[], signal: AbortSignal) => Promise<readonly Line[]>;

export interface PagesHost {
  changed(): void;
  /** Null: all is well again. */
  failed(problem: Problem | null): void;
}

export class Pages {
  readonly #load: Load;
  readonly #host: PagesHost;
  readonly #kept = new Map<number, readonly Line[]>();
  readonly #asked = new Map<number, AbortController>();
  #wanted: readonly number[] = [];
  #retryMs = FIRST_RETRY_MS;
  #timer = 0;
  #size = 0;

  constructor(load: Load, host: PagesHost) {
    this.#load = load;
    this.#host = host;
  }

  row(index: number): Line | undefined {
    return this.#kept.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS];
  }

  /** Have these pages of `size` rows brought here, and let go of requests for others. */
  want(pages: readonly number[], size: number): void {
    this.#size = size;
    this.#wanted = pages;
    for (const [page, asked] of this.#asked) if (!pages.includes(page)) asked.abort();
    this.#ask();
  }

  put(page: number, lines: readonly Line[]): void {
    this.#kept.delete(page);
    this.#kept.set(page, lines);
    for (const old of this.#kept.keys()) {
      if (this.#kept.size <= MAX_PAGES) break;
      if (!this.#wanted.includes(old)) this.#kept.delete(old);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const asked of this.#asked.values()) asked.abort();
    this.#kept.clear();
    this.#wanted = [];
  }

  #ask(): void {
    if (this.#timer) return;
    for (const page of this.#wanted) {
      const have = this.#kept.get(page);
      if (have) this.put(page, have);
      const there = Math.min(PAGE_ROWS, this.#size - page * PAGE_ROWS);
      if ((have?.length ?? 0) >= there || this.#asked.has(page) || this.#asked.size >= MAX_ASKED) continue;
      void this.#fetch(page, have ?? []);
    }
  }

  async #fetch(page: number, have: readonly Line[]): Promise<void> {
    const asked = new AbortController();
    this.#asked.set(page, asked);
    try {
      const more = await this.#load(page, have, asked.signal);
      this.put(page, have.length ? [...have, ...more] : more);
      this.#retryMs = FIRST_RETRY_MS;
      this.#host.failed(null);
      this.#asked.delete(page);
      this.#host.changed();
      // A page that came short of what there is said to be is asked for again when there is reason to.
      if (more.length) this.#ask();
    } catch (error) {
      this.#asked.delete(page);
      if (!isAbort(error)) this.#later(error);
      else if (!asked.signal.aborted) this.#later(error);
      this.#ask();
    }
  }

  #later(error: unknown): void {
    this.#host.failed(error instanceof Problem ? error : new Problem(0, "", String(error), null));
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#ask();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }
}
