/**
 * Times of lines, as the reader wants them.
 *
 * Holds: whatever zone is chosen, its offset is printed with the time; a zone's offset is looked up once a quarter of an
 *        hour of log, not once a line.
 */

export type TimeMode = "off" | "since" | "utc" | "local" | (string & {});

export const TIME_MODES: readonly TimeMode[] = ["utc", "local", "since", "off"];

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;
const MAX_OFFSETS = 10_000;

export class Clock {
  readonly mode: TimeMode;
  readonly #firstMs: number;
  readonly #showsDate: boolean;
  readonly #format: Intl.DateTimeFormat | null;
  readonly #offsets = new Map<number, number>();

  /** `firstMs` … `lastMs`: of the log. Throws a RangeError for a zone that there is not. */
  constructor(mode: TimeMode, firstMs: number, lastMs: number) {
    this.mode = mode;
    this.#firstMs = firstMs;
    this.#showsDate = mode !== "since" && Math.floor(firstMs / DAY_MS) !== Math.floor(lastMs / DAY_MS);
    const zone = mode === "local" ? undefined : mode;
    this.#format =
      mode === "off" || mode === "since" || mode === "utc"
        ? null
        : new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset", hour: "numeric" });
  }

  /** Characters that a time takes. */
  get width(): number {
    if (this.mode === "off") return 0;
    if (this.mode === "since") return 14;
    return (this.#showsDate ? 18 : 12) + (this.mode === "utc" ? 1 : 6);
  }

  /** Show the time of a line; "" where there is none. */
  show(ms: number): string {
    if (this.mode === "off" || Number.isNaN(ms)) return "";
    if (this.mode === "since") return `+${duration(ms - this.#firstMs)}`;
    const offset = this.offsetMs(ms);
    const text = new Date(ms + offset).toISOString();
    const zone = this.mode === "utc" ? "Z" : showOffset(offset);
    return (this.#showsDate ? text.slice(5, 23).replace("T", " ") : text.slice(11, 23)) + zone;
  }

  /** Date, time and offset. */
  full(ms: number): string {
    if (Number.isNaN(ms)) return "no time";
    const offset = this.#format ? this.offsetMs(ms) : 0;
    return `${new Date(ms + offset).toISOString().slice(0, 23).replace("T", " ")} ${showOffset(offset)}`;
  }

  /** What the times are in, in a few words. */
  get name(): string {
    if (this.mode === "off") return "no times";
    if (this.mode === "since") return "since start";
    if (this.mode === "utc") return "UTC+00:00";
    const zone = this.mode === "local" ? new Intl.DateTimeFormat().resolvedOptions().timeZone : this.mode;
    return Number.isNaN(this.#firstMs) ? zone : `${zone} ${showOffset(this.offsetMs(this.#firstMs))}`;
  }

  offsetMs(ms: number): number {
    if (this.#format === null) return 0;
    const quarter = Math.floor(ms / QUARTER_MS);
    let offset = this.#offsets.get(quarter);
    if (offset === undefined) {
      if (this.#offsets.size > MAX_OFFSETS) this.#offsets.clear();
      const name = this.#format.formatToParts(quarter * QUARTER_MS).find((part) => part.type === "timeZoneName");
      offset = parseOffset(name?.value ?? "");
      this.#offsets.set(quarter, offset);
    }
    return offset;
  }
}

/** Whether there is a zone of that name. */
export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name !== "";
  } catch {
    return false;
  }
}

/** `01:02:03.004`, with days in front where there are any. */
export function duration(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const whole = Math.abs(ms);
  const days = Math.floor(whole / DAY_MS);
  const rest = new Date(whole % DAY_MS).toISOString().slice(11, 23);
  return sign + (days ? `${days}d ${rest}` : rest);
}

/** `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 2 h`. */
export function roughly(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const [large, small, factor, size] =
    seconds < 3600 ? ["min", "s", 60, 60] : seconds < 86_400 ? ["h", "min", 60, 3600] : ["d", "h", 24, 86_400];
  const units = Math.floor(seconds / size);
  const rest = Math.floor((seconds % size) / (size / factor));
  return rest ? `${units} ${large} ${rest} ${small}` : `${units} ${large}`;
}

function showOffset(ms: number): string {
  const minutes = Math.abs(Math.round(ms / 60_000));
  const pad = (value: number): string => String(value).padStart(2, "0");
  return `${ms < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
}

function parseOffset(text: string): number {
  const found = /([+-])(\d\d):(\d\d)/.exec(text);
  if (!found) return 0;
  const minutes = Number(found[2]) * 60 + Number(found[3]);
  return (found[1] === "-" ? -minutes : minutes) * 60_000;
}
