/**
 * A search, which the server does: where its hits are, and how far it is.
 *
 * Holds: of a hit only its line number is kept, of at most MAX_HITS_KEPT; ending it ends it on the server.
 * Order: as in the log.
 */

import { type Api, type Gap, type Item, isAbort, type Params, Problem } from "./api";
import { type Find, finderOf } from "./highlight";

export const MAX_HITS_KEPT = 50_000;
const HITS_ASKED = 10_000;

export interface Wanted {
  readonly q: string;
  readonly regex: boolean;
}

interface Done {
  readonly whole: boolean;
  readonly after: string | null;
  readonly seq: number;
  readonly gaps: readonly Gap[];
}

export class Search {
  readonly wanted: Wanted;
  readonly hits: number[] = [];
  /** Lines that were searched. */
  seenLines = 0;
  /** Whether all was searched. */
  whole = false;
  running = true;
  problem: Problem | null = null;

  /** Where its text is in a line. */
  readonly find: Find;

  readonly #changed: () => void;
  readonly #ended = new AbortController();

  constructor(api: Api, wanted: Wanted, filters: Params, changed: () => void) {
    this.wanted = wanted;
    this.find = finderOf(wanted.q, wanted.regex, this.ignoresCase);
    this.#changed = changed;
    void this.#run(api, filters);
  }

  /** Letters of both cases are wanted where only small ones were given. */
  get ignoresCase(): boolean {
    return !this.wanted.regex && this.wanted.q === this.wanted.q.toLowerCase();
  }

  cancel(): void {
    this.#ended.abort();
    this.running = false;
    this.#changed();
  }

  /** The first hit after a line, else null. */
  next(line: number): number | null {
    return this.hits[this.#countTo(line + 1)] ?? null;
  }

  previous(line: number): number | null {
    return this.hits[this.#countTo(line) - 1] ?? null;
  }

  /** Which hit a line is, from 1; 0: it is none. */
  numberOf(line: number): number {
    const before = this.#countTo(line);
    return this.hits[before] === line ? before + 1 : 0;
  }

  has(line: number): boolean {
    return this.numberOf(line) > 0;
  }

  /** How many hits are before a line. */
  #countTo(line: number): number {
    let low = 0;
    let high = this.hits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.hits[middle]! < line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #run(api: Api, filters: Params): Promise<void> {
    const { q, regex } = this.wanted;
    const params: Params = { ...filters, [regex ? "regex" : "q"]: q, ignore_case: this.ignoresCase, limit: HITS_ASKED };
    let more: Params = {};
    try {
      while (this.running) {
        const done = await this.#ask(api, { ...params, ...more });
        if (done === null) throw new Problem(0, "", "The search broke off.", null);
        this.whole = done.whole;
        if (done.whole || this.hits.length >= MAX_HITS_KEPT || done.after === null) break;
        more = { after: done.after, seq: done.seq };
      }
    } catch (error) {
      if (!isAbort(error) && !this.#ended.signal.aborted) {
        this.problem = error instanceof Problem ? error : new Problem(0, "", String(error), null);
      }
    }
    this.running = false;
    this.#changed();
  }

  async #ask(api: Api, params: Params): Promise<Done | null> {
    for await (const told of api.lines("search", params, this.#ended.signal)) {
      if (told.done) return this.#end(told.done as Done);
      if (told.progress) this.#progress(told.progress as { seq: number });
      else this.#hit(told as { seq: number; rows: Item[] });
    }
    return null;
  }

  #hit({ seq, rows }: { seq: number; rows: Item[] }): void {
    this.hits.push(
      seq +
        Math.max(
          0,
          rows.findIndex((item) => this.#isIn(item)),
        ),
    );
    if (this.hits.length === 1) this.#changed();
  }

  #isIn(item: Item): boolean {
    if (this.wanted.regex) return true;
    const text = JSON.stringify(item);
    return this.ignoresCase ? text.toLowerCase().includes(this.wanted.q) : text.includes(this.wanted.q);
  }

  #progress({ seq }: { seq: number }): void {
    this.seenLines = seq;
    this.#changed();
  }

  #end(done: Done): Done {
    this.seenLines = done.seq;
    this.#changed();
    return done;
  }
}
