/**
 * What becomes of a log: asks the server to answer when something has changed.
 *
 * Holds: one request at a time; a server that is gone is asked again, later and later, until it is back.
 */

import { type Api, isAbort, type Meta, Problem } from "./api";

const WAIT_S = 25;
const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 4000;
/** The least time between two answers: the page changes often enough. */
const LEAST_MS = 250;

export interface TailHost {
  told(meta: Meta): void;
  /** Null: all is well again. */
  failed(problem: Problem | null): void;
}

export class Tail {
  readonly #api: Api;
  readonly #host: TailHost;
  readonly #ended = new AbortController();

  constructor(api: Api, host: TailHost) {
    this.#api = api;
    this.#host = host;
  }

  /** Ask on and on, beginning with what `meta` does not tell yet. */
  async run(meta: Meta): Promise<void> {
    let version = meta.version;
    let retryMs = FIRST_RETRY_MS;
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const begun = performance.now();
      try {
        const told = await this.#api.get<Meta>("meta", { wait: WAIT_S, version }, signal);
        this.#host.failed(null);
        if (told.version !== version) this.#host.told(told);
        version = told.version;
        retryMs = FIRST_RETRY_MS;
        await sleep(LEAST_MS - (performance.now() - begun), signal);
      } catch (error) {
        if (isAbort(error) && signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "", String(error), retryMs);
        this.#host.failed(problem);
        await sleep(Math.max(retryMs, problem.retryMs ?? 0), signal);
        retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
      }
    }
  }

  close(): void {
    this.#ended.abort();
  }
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, Math.max(0, ms));
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
