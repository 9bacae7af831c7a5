/**
 * Addresses of lines: `…?q=text&level=error&t=utc#L120-L140`.
 *
 * Holds: what one part writes the other reads; what it does not know it leaves as it is.
 */

export interface Range {
  /** Lines from 0; both are in it. */
  readonly first: number;
  readonly last: number;
}

export interface Filters {
  readonly level: string;
  readonly sources: readonly string[];
  readonly text: string;
  readonly since: string;
  readonly until: string;
}

export const NO_FILTERS: Filters = { level: "", sources: [], text: "", since: "", until: "" };

export interface Place {
  readonly range: Range | null;
  readonly q: string;
  readonly regex: boolean;
  readonly filters: Filters;
  readonly time: string;
  readonly attempt: string;
}

const LEVELS = new Set(["debug", "info", "warning", "error", "critical"]);

export function readPlace(address: URL): Place {
  const get = (name: string): string => address.searchParams.get(name) ?? "";
  const level = get("level");
  return {
    range: readRange(address.hash),
    q: get("q"),
    regex: get("regex") === "1",
    filters: {
      level: LEVELS.has(level) ? level : "",
      sources: address.searchParams.getAll("source"),
      text: get("text"),
      since: get("since"),
      until: get("until"),
    },
    time: get("t"),
    attempt: get("try"),
  };
}

export function writePlace(address: URL, place: Place): URL {
  const made = new URL(address);
  const set = (name: string, value: string): void => {
    if (value) made.searchParams.set(name, value);
    else made.searchParams.delete(name);
  };
  set("q", place.q);
  set("regex", place.regex && place.q ? "1" : "");
  set("level", place.filters.level);
  set("text", place.filters.text);
  set("since", place.filters.since);
  set("until", place.filters.until);
  set("t", place.time);
  made.searchParams.delete("source");
  for (const source of place.filters.sources) made.searchParams.append("source", source);
  made.hash = place.range ? writeRange(place.range) : "";
  return made;
}

export function readRange(hash: string): Range | null {
  const found = /^#?L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(hash);
  if (!found) return null;
  const [one, two] = [Number(found[1]), Number(found[2] ?? found[1])];
  const first = Math.max(1, Math.min(one, two)) - 1;
  return { first, last: Math.max(first, Math.max(one, two) - 1) };
}

export function writeRange({ first, last }: Range): string {
  return first === last ? `L${first + 1}` : `L${first + 1}-L${last + 1}`;
}

/** The id of the same task's log in another try, where ids tell tries; null where they do not. */
export function withAttempt(id: string, attempt: string): string | null {
  const other = id.replace(/attempt=\d+(?=\.log$)/, `attempt=${attempt}`);
  return other !== id && /^\d+$/.test(attempt) ? other : null;
}
