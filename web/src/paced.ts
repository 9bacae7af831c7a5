/**
 * Work that is done now and then, however often it is asked for.
 *
 * Holds: never twice at once; between two beginnings there are at least `leastMs`; what is asked for in the meantime is
 *        done once more afterwards. So an answer can never be followed by an older one.
 */

export class Paced {
  readonly #work: () => Promise<void>;
  readonly #leastMs: number;
  #begunMs = Number.NEGATIVE_INFINITY;
  #timer = 0;
  #isBusy = false;
  #isWanted = false;

  constructor(leastMs: number, work: () => Promise<void>) {
    this.#leastMs = leastMs;
    this.#work = work;
  }

  ask(): void {
    this.#isWanted = true;
    if (this.#isBusy || this.#timer) return;
    const waitMs = this.#begunMs + this.#leastMs - performance.now();
    if (waitMs <= 0) void this.#begin();
    else {
      this.#timer = setTimeout(() => {
        this.#timer = 0;
        void this.#begin();
      }, waitMs) as unknown as number;
    }
  }

  /** Do no more of what was asked for. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#isWanted = false;
  }

  async #begin(): Promise<void> {
    this.#isBusy = true;
    this.#isWanted = false;
    this.#begunMs = performance.now();
    await this.#work();
    this.#isBusy = false;
    if (this.#isWanted) this.ask();
  }
}
