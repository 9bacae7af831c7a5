/**
 * The API of the server, as far as the page asks it.
 *
 * Holds: a request can be given up by its signal; an answer that is none is a `Problem` with a reason and whether asking
 *        again helps. No token is kept or sent: the browser's cookie says who asks.
 */

/** A line as the server gives it: what was written, and beside it what the server says about it. */
export type Item = Readonly<{ [name: string]: unknown }>;

export interface Progress {
  readonly done_bytes: number;
  readonly total_bytes: number | null;
  readonly complete: boolean;
}

export interface Gap {
  readonly source?: string;
  readonly reason: string;
  readonly detail: string;
  readonly next_action?: string;
  readonly lost_bytes?: number | null;
}

export interface SourceState {
  readonly name: string;
  readonly state: string;
  readonly bytes: number | null;
  readonly ms?: number | null;
  readonly gaps: readonly Gap[];
}

export type Levels = Readonly<{ [level: string]: number }>;

export interface Meta {
  readonly id: string;
  readonly version?: string;
  readonly state?: string;
  readonly state_detail?: string;
  readonly written?: string | null;
  readonly bytes: number | null;
  readonly lines: { readonly count: number; readonly exact: boolean };
  readonly records: number;
  readonly first: string | null;
  readonly last: string | null;
  readonly levels: Levels;
  readonly index: Progress;
  readonly sources: readonly SourceState[];
}

export function errorsOf(meta: Meta): number {
  return (meta.levels.error ?? 0) + (meta.levels.critical ?? 0);
}

/** A line, and those without a time that follow it. */
export interface RecordTold {
  readonly seq: number;
  readonly lines: number;
  readonly time: string | null;
  readonly level: string;
  readonly source: string;
}

export interface Rows {
  readonly from: number | null;
  /** False: places are about right; they are being counted. */
  readonly exact: boolean;
  /** Places of rows, where they are not one after the other. */
  readonly seqs?: readonly number[];
  readonly records: readonly RecordTold[];
  /** Where to look on; null: there is nothing more. */
  readonly next: number | null;
  /** How long rows are that were cut, by their places. */
  readonly cut: Readonly<{ [seq: string]: number }>;
  readonly lines: { readonly count: number; readonly exact: boolean };
  readonly rows: readonly Item[];
}

export interface Summary {
  readonly first: string | null;
  readonly step_ns: number | null;
  readonly levels: readonly string[];
  readonly buckets: readonly (readonly number[])[];
  readonly index: Progress;
}

export type Params = Readonly<{ [name: string]: string | number | boolean | readonly string[] | undefined }>;

const RETRY_MS = 500;

export class Problem extends Error {
  readonly status: number;
  readonly type: string;
  /** Ask again after so long; null: it would be answered the same. */
  readonly retryMs: number | null;
  /** Names of logs like the one that is not there. */
  readonly near: readonly string[];

  constructor(status: number, type: string, detail: string, retryMs: number | null, near: readonly string[] = []) {
    super(detail);
    this.near = near;
    this.status = status;
    this.type = type;
    this.retryMs = retryMs;
  }

  /** The server was not reached at all. */
  get isOffline(): boolean {
    return this.status === 0 || (this.status >= 502 && this.type === "");
  }
}

export class Api {
  /** Address of the log. */
  readonly base: string;

  constructor(base: string) {
    this.base = base.replace(/\/$/, "");
  }

  address(path: string, params: Params = {}): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) {
      if (value === undefined || value === "" || value === false) continue;
      for (const each of Array.isArray(value) ? value : [value]) query.append(name, String(each));
    }
    const text = query.toString();
    return this.base + (path && `/${path}`) + (text && `?${text}`);
  }

  async get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
    const answer = await ask(this.address(path, params), "application/json", signal);
    return (await readBody(answer, signal)) as T;
  }

  async text(path: string, params: Params): Promise<string> {
    return (await ask(this.address(path, params), "text/plain")).text();
  }

  /** Yield the objects of an answer in NDJSON as they come; leaving the loop ends the request. */
  async *lines(path: string, params: Params, signal: AbortSignal): AsyncGenerator<Item> {
    const answer = await ask(this.address(path, params), "application/x-ndjson", signal);
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw offline(error, signal);
        });
        if (done) return;
        const parts = (rest + value).split("\n");
        rest = parts.pop()!;
        for (const part of parts) if (part) yield JSON.parse(part) as Item;
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
}

async function ask(address: string, accept: string, signal?: AbortSignal): Promise<Response> {
  const asked = fetch(address, { headers: { Accept: accept }, credentials: "same-origin", signal: signal ?? null });
  const answer = await asked.catch((error: unknown) => {
    throw offline(error, signal);
  });
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => ({}))) as { type?: string; detail?: string; near?: string[] };
  const type = (told.type ?? "").replace(/^urn:logflume:problem:/, "");
  const after = Number(answer.headers.get("Retry-After"));
  const again = answer.status === 429 || answer.status >= 500;
  const detail = told.detail ?? `The server answered ${answer.status}.`;
  throw new Problem(answer.status, type, detail, again ? Math.max(RETRY_MS, after * 1000 || 0) : null, told.near);
}

async function readBody(answer: Response, signal?: AbortSignal): Promise<unknown> {
  return answer.json().catch((error: unknown) => {
    throw offline(error, signal);
  });
}

function offline(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return error;
  return new Problem(0, "", "The server cannot be reached.", 1000);
}

/** Whether something ended because it was given up. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
