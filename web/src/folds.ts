/**
 * Which lines are folded away, and how rows and lines are counted around them.
 *
 * Holds: `lineOf` and `rowOf` are inverse for every line that is shown; a hidden line has the row of the head it is
 *        folded under. Lines that say nothing (ends of groups) are hidden for good. Costs the folds, not the lines.
 */

export interface Fold {
  /** The line that stays. */
  readonly head: number;
  /** The line after the last hidden one. */
  readonly end: number;
}

export class Folds {
  readonly #closed = new Map<number, number>();
  #silent: readonly Fold[] = [];
  /** Outermost folds in order, and how many lines those before each hide. */
  #spans: Fold[] = [];
  #hidden: number[] = [0];

  get hiddenLines(): number {
    return this.#hidden.at(-1)!;
  }

  isClosed(head: number): boolean {
    return this.#closed.has(head);
  }

  get size(): number {
    return this.#closed.size;
  }

  close(folds: Iterable<Fold>): void {
    for (const { head, end } of folds) if (end > head + 1) this.#closed.set(head, end);
    this.#arrange();
  }

  open(heads: Iterable<number>): void {
    for (const head of heads) this.#closed.delete(head);
    this.#arrange();
  }

  openAll(): void {
    this.#closed.clear();
    this.#arrange();
  }

  /** Hide these lines for good. */
  hide(lines: readonly number[]): void {
    this.#silent = lines.filter((line) => line > 0).map((line) => ({ head: line - 1, end: line + 1 }));
    this.#arrange();
  }

  /** Open whatever hides a line. */
  reveal(line: number): boolean {
    const hiding = [...this.#closed].filter(([head, end]) => head < line && line < end).map(([head]) => head);
    if (hiding.length) this.open(hiding);
    return hiding.length > 0;
  }

  lineOf(row: number): number {
    // Of the spans whose head is above the row: the first row after span i is head + 1 - hidden[i].
    const spans = countWhile(this.#spans, (span, at) => span.head - this.#hidden[at]! < row);
    return row + this.#hidden[spans]!;
  }

  rowOf(line: number): number {
    const spans = countWhile(this.#spans, (span) => span.head < line);
    const last = this.#spans[spans - 1];
    if (last !== undefined && line < last.end) return last.head - this.#hidden[spans - 1]!;
    return line - this.#hidden[spans]!;
  }

  #arrange(): void {
    const folds = [...this.#closed]
      .map(([head, end]) => ({ head, end }))
      .concat(this.#silent)
      .sort((one, two) => one.head - two.head || two.end - one.end);
    this.#spans = [];
    for (const fold of folds) {
      const last = this.#spans.at(-1);
      if (last === undefined || fold.head >= last.end) this.#spans.push(fold);
      else if (fold.end > last.end) this.#spans.splice(-1, 1, { head: last.head, end: fold.end });
    }
    this.#hidden = [0];
    for (const { head, end } of this.#spans) this.#hidden.push(this.#hidden.at(-1)! + end - head - 1);
  }
}

/** Count how many at the beginning hold; all that hold come first. */
function countWhile<T>(items: readonly T[], holds: (item: T, at: number) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle]!, middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
