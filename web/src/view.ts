/**
 * What rows there are: those of the whole log, some folded away, or those that pass filters.
 *
 * Holds: rows are counted by the server; here are only the pages that were looked at, and the folds.
 */

import type { Api, Problem, Rows } from "./api";
import { Folds } from "./folds";
import { type Line, readLine } from "./line";
import { PAGE_ROWS, Pages } from "./pages";

export interface View {
  /** Rows there are, as far as is known. */
  readonly count: number;
  line(row: number): Line | undefined;
  /** These rows are on screen. */
  want(first: number, last: number): void;
  /** The row of a line of the merged log, or of the next one that is shown. */
  rowOf(seq: number): number;
  /** The line at a row. */
  seqOf(row: number): number | null;
  close(): void;
}

export interface ViewHost {
  changed(): void;
  failed(error: Problem | null): void;
}

/** The whole log. */
export class WholeView implements View {
  readonly folds = new Folds();
  readonly #pages: Pages;
  #lines = 0;

  constructor(api: Api, host: ViewHost) {
    const load = async (page: number, have: number, signal: AbortSignal): Promise<Line[]> => {
      const from = page * PAGE_ROWS + have;
      const got = await api.get<Rows>("rows", { from, n: PAGE_ROWS - have }, signal);
      return got.rows.map((item, at) => readLine(item, from + at));
    };
    this.#pages = new Pages(
      load,
      () => host.changed(),
      (error) => host.failed(error),
    );
  }

  /** Lines of the merged log. */
  get lines(): number {
    return this.#lines;
  }

  set lines(lines: number) {
    this.#lines = lines;
  }

  get count(): number {
    return Math.max(0, this.#lines - this.folds.hiddenLines);
  }

  line(row: number): Line | undefined {
    return this.#pages.row(this.folds.lineOf(row));
  }

  want(first: number, last: number): void {
    const pages = new Set<number>();
    for (let row = first; row <= last; row += 1) pages.add(Math.floor(this.folds.lineOf(row) / PAGE_ROWS));
    this.#pages.want([...pages], this.#lines);
  }

  rowOf(seq: number): number {
    return this.folds.rowOf(seq);
  }

  seqOf(row: number): number | null {
    return this.folds.lineOf(row);
  }

  close(): void {
    this.#pages.close();
  }
}
