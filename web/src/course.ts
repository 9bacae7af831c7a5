/**
 * Where the view is on its way to, while that is not known yet.
 *
 * Holds: there is one aim or none. Whoever goes anywhere gives up the aim there was: its requests are ended, and an
 *        answer that comes all the same finds that it is no longer wanted.
 * Plan:  who must wait for an answer sets an aim, waits, and asks `keeps` before it moves the view.
 */

export class Aim {
  /** The line it will lead to, where that is known. */
  readonly seq: number | null;
  readonly #ended = new AbortController();

  constructor(seq: number | null = null) {
    this.seq = seq;
  }

  /** Ends the requests of an aim that is given up. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  end(): void {
    this.#ended.abort();
  }
}

export class Course {
  #aim: Aim | null = null;

  /** The line that is aimed at, where there is one. */
  get seq(): number | null {
    return this.#aim?.seq ?? null;
  }

  /** Aim at something, at a line perhaps, instead of whatever was aimed at. */
  set(seq: number | null = null): Aim {
    this.#aim?.end();
    this.#aim = new Aim(seq);
    return this.#aim;
  }

  /** Somebody went somewhere. */
  leave(): void {
    this.#aim?.end();
    this.#aim = null;
  }

  /** Whether nobody has gone anywhere since this was aimed at. */
  keeps(aim: Aim | null): boolean {
    return aim !== null && aim === this.#aim;
  }
}
