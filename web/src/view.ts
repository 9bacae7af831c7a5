/**
 * What rows there are: those of the whole log, some folded away, or those that pass filters.
 *
 * Holds: rows are counted by the server; here are only the pages that were looked at, the folds, and for a filtered log
 *        where each page begins.
 */

import { type Api, type Item, isAbort, type Params, Problem, type Rows } from "./api";
import { Folds } from "./folds";
import { type Line, MAX_RECORD_LINES, readLines } from "./line";
import { type Filters, NO_FILTERS } from "./link";
import { PAGE_ROWS, Pages } from "./pages";

/** Bytes that the server sends of a line: at least what is shown of it. */
const CUT_BYTES = 32_768;

export interface View {
  /** Rows there are, as far as is known. */
  readonly count: number;
  line(row: number): Line | undefined;
  /** These rows are on screen. */
  want(first: number, last: number): void;
  /** The row of a line of the merged log, or of the next one that is shown. */
  rowOf(seq: number): number;
  /** The line at a row; null: not known yet. */
  seqOf(row: number): number | null;
  close(): void;
}

export interface ViewHost {
  changed(): void;
  failed(problem: Problem | null): void;
}

export function isFiltered(filters: Filters): boolean {
  return JSON.stringify(filters) !== JSON.stringify(NO_FILTERS);
}

/** The whole log. */
export class WholeView implements View {
  readonly folds = new Folds();
  /** Lines of the merged log. */
  lines = 0;
  readonly #api: Api;
  readonly #pages: Pages;

  constructor(api: Api, host: ViewHost) {
    this.#api = api;
    this.#pages = new Pages(async (page, have, signal) => {
      const from = page * PAGE_ROWS + have.length;
      return readLines(await api.get<Rows>("rows", { from, n: PAGE_ROWS - have.length, cut: CUT_BYTES }, signal));
    }, host);
  }

  get count(): number {
    return Math.max(0, this.lines - this.folds.hiddenLines);
  }

  line(row: number): Line | undefined {
    return this.#pages.row(this.folds.lineOf(row));
  }

  want(first: number, last: number): void {
    const pages = new Set<number>();
    for (let row = first; row <= last; row += 1) pages.add(Math.floor(this.folds.lineOf(row) / PAGE_ROWS));
    this.#pages.want([...pages], this.lines);
  }

  /** Ask for a line before it is known how many there are. */
  prefetch(seq: number): void {
    const page = Math.floor(seq / PAGE_ROWS);
    this.#pages.want([page], (page + 1) * PAGE_ROWS);
  }

  rowOf(seq: number): number {
    return this.folds.rowOf(seq);
  }

  seqOf(row: number): number {
    return this.folds.lineOf(row);
  }

  /** All lines of the record that a line is of, whole. */
  async record(line: Line): Promise<Line[]> {
    const from = line.record?.seq ?? line.seq ?? 0;
    const n = Math.max(1, Math.min(line.record?.lines ?? 1, MAX_RECORD_LINES));
    return readLines(await this.#api.get<Rows>("rows", { from, n }));
  }

  close(): void {
    this.#pages.close();
  }
}

/** A few rows whose numbers nobody knows yet. */
export class FixedView implements View {
  readonly #lines: readonly Line[];

  constructor(lines: readonly Line[]) {
    this.#lines = lines;
  }

  static async ofEnd(api: Api, rows: number, signal: AbortSignal): Promise<FixedView> {
    return new FixedView(readLines(await api.get<Rows>("rows", { from: -rows, n: rows, cut: CUT_BYTES }, signal)));
  }

  get count(): number {
    return this.#lines.length;
  }

  line(row: number): Line | undefined {
    return this.#lines[row];
  }

  want(): void {}

  rowOf(seq: number): number {
    const found = this.#lines.findIndex((line) => line.seq !== null && line.seq >= seq);
    return found < 0 ? this.#lines.length - 1 : found;
  }

  seqOf(row: number): number | null {
    return this.#lines[row]?.seq ?? null;
  }

  close(): void {}
}

/** What passes filters: the server tells where every so many rows begin, as it finds them. */
export class FilteredView implements View {
  count = 0;
  /** Whether all of the log was looked at. */
  whole = false;
  /** Lines of the log that were looked at. */
  seenLines = 0;
  /** Line at which each page begins. */
  readonly #starts: number[] = [];
  readonly #pages: Pages;
  readonly #api: Api;
  readonly #params: Params;
  readonly #host: ViewHost;
  readonly #ended = new AbortController();
  #after: string | undefined;
  #scanning = false;
  #grew = false;
  #wanted: number | null;
  readonly #arrived: (row: number, isThere: boolean) => void;

  /** `seq`: a line to be at; `arrived` is told about where it is, or the next one, and then its very row. */
  constructor(api: Api, params: Params, seq: number, host: ViewHost, arrived: (row: number, isThere: boolean) => void) {
    this.#api = api;
    this.#params = params;
    this.#host = host;
    this.#wanted = seq;
    this.#arrived = arrived;
    this.#pages = new Pages((page, have, signal) => this.#load(page, have, signal), {
      changed: () => {
        this.#arrive();
        host.changed();
      },
      failed: host.failed,
    });
    void this.#scan();
  }

  percent(lines: number): number {
    return Math.min(99, Math.floor((100 * this.seenLines) / Math.max(1, lines)));
  }

  line(row: number): Line | undefined {
    return this.#pages.row(row);
  }

  want(first: number, last: number): void {
    if (this.count === 0) return;
    const from = Math.max(0, Math.floor(first / PAGE_ROWS));
    const to = Math.floor(Math.min(last, this.count - 1) / PAGE_ROWS);
    this.#pages.want(from === to ? [from] : [from, to], this.count);
  }

  rowOf(seq: number): number {
    const page = this.#pageOf(seq);
    for (let row = page * PAGE_ROWS; row < Math.min(this.count, (page + 1) * PAGE_ROWS); row += 1) {
      const line = this.#pages.row(row);
      if (line === undefined) return row;
      if (line.seq !== null && line.seq >= seq) return row;
    }
    return Math.max(0, Math.min(this.count - 1, (page + 1) * PAGE_ROWS));
  }

  seqOf(row: number): number | null {
    return this.#pages.row(row)?.seq ?? null;
  }

  /** Look at what has come. */
  grown(): void {
    this.#grew = true;
    if (!this.#scanning) void this.#scan();
  }

  close(): void {
    this.#ended.abort();
    this.#pages.close();
  }

  #pageOf(seq: number): number {
    let page = this.#starts.findLastIndex((start) => start <= seq);
    if (page < 0) page = 0;
    return page;
  }

  /** One answer looks through a part of the log only: ask on until rows come. */
  async #load(page: number, have: readonly Line[], signal: AbortSignal): Promise<Line[]> {
    let from: number | null = (have.at(-1)?.seq ?? this.#starts[page]! - 1) + 1;
    let lines: Line[] = [];
    while (from !== null && !lines.length) {
      const asked: Params = { ...this.#params, from, n: PAGE_ROWS - have.length, cut: CUT_BYTES };
      const got: Rows = await this.#api.get<Rows>("rows", asked, signal);
      lines = readLines(got);
      from = got.next;
    }
    return lines;
  }

  /** Tell the row of the line that is wanted, once it is known. */
  #arrive(): void {
    const seq = this.#wanted;
    if (seq === null || !this.count || (!this.whole && this.seenLines <= seq)) return;
    const row = this.rowOf(seq);
    const isKnown = this.#pages.row(row) !== undefined;
    if (isKnown) this.#wanted = null;
    this.#arrived(row, isKnown);
  }

  async #scan(): Promise<void> {
    this.#scanning = true;
    const { signal } = this.#ended;
    try {
      do {
        this.#grew = false;
        const place = { after: this.#after, seq: this.seenLines, row: this.count };
        const asked = { ...this.#params, ...(this.#after ? place : {}), every: PAGE_ROWS };
        for await (const told of this.#api.lines("pages", asked, signal)) this.#told(told);
      } while (this.#grew);
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.#host.failed(error instanceof Problem ? error : null);
    }
    this.#scanning = false;
  }

  #told(told: Item): void {
    const page = told.page as { row: number; seq: number } | undefined;
    if (page) {
      this.#starts[page.row / PAGE_ROWS] = page.seq;
      return;
    }
    const now = (told.progress ?? told.done) as { rows: number; seq: number; after?: string } | undefined;
    if (now === undefined) return;
    this.count = now.rows;
    this.seenLines = now.seq;
    if (told.done) {
      this.whole = true;
      this.#after = now.after;
    }
    this.#arrive();
    this.#host.changed();
  }
}
