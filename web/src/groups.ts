/**
 * Groups and long records of a log: what can be folded.
 *
 * Holds: heads are in order, and at most as many as the server gives; each says which lines are below it.
 */

import type { Api } from "./api";
import { roughly } from "./times";
import { many } from "./words";

export interface Group {
  /** Its first line; it stays when the group is folded. */
  readonly head: number;
  /** The line after its last one. */
  readonly end: number;
  /** Of a group; undefined: a record of several lines. */
  readonly title: string | undefined;
  readonly ms: number | null;
  readonly errors: number;
  /** The log wants it to be shown closed. */
  readonly collapsed: boolean;
  /** Its last line says only that it ends. */
  readonly hasEnd: boolean;
}

export interface Head {
  readonly title: string | undefined;
  readonly closed: boolean;
  readonly lines: number;
  readonly note: string;
}

export class Heads {
  readonly #groups: readonly Group[];
  readonly #byLine: ReadonlyMap<number, Group>;
  readonly #isClosed: (head: number) => boolean;

  constructor(groups: readonly Group[], isClosed: (head: number) => boolean) {
    this.#groups = [...groups].sort((one, two) => one.head - two.head);
    this.#byLine = new Map(this.#groups.map((group) => [group.head, group]));
    this.#isClosed = isClosed;
  }

  get all(): readonly Group[] {
    return this.#groups;
  }

  at(line: number): Head | undefined {
    const group = this.#byLine.get(line);
    if (group === undefined) return undefined;
    const lines = group.end - group.head - (group.hasEnd ? 2 : 1);
    const parts = [many(lines, "line")];
    if (group.ms !== null) parts.push(roughly(group.ms));
    if (group.errors) parts.push(many(group.errors, "error"));
    return { title: group.title, closed: this.#isClosed(line), lines, note: parts.join(" · ") };
  }

  groupAt(line: number): Group | undefined {
    return this.#byLine.get(line);
  }

  /** The innermost group that a line is in, or is the head of. */
  around(line: number): Group | undefined {
    let found: Group | undefined;
    for (const group of this.#groups) {
      if (group.head > line) break;
      if (line < group.end) found = group;
    }
    return found;
  }

  /** The next or previous head of a titled group. */
  step(line: number, by: 1 | -1): number | null {
    const heads = this.#groups.filter((group) => group.title !== undefined).map((group) => group.head);
    const found = by > 0 ? heads.find((head) => head > line) : heads.findLast((head) => head < line);
    return found ?? null;
  }
}

interface Outline {
  readonly groups: readonly {
    readonly title: string;
    readonly first: number;
    readonly last: number;
    readonly collapsed: boolean;
    readonly end_marked: boolean;
    readonly begins: string | null;
    readonly ends: string | null;
    readonly errors: number;
  }[];
  readonly after: number | null;
}

/** Groups asked for at once, and at most in all. */
const ASKED = 1000;
export const MAX_GROUPS = 10_000;

/** Ask for the groups that a log itself marks and that begin after a line. */
export async function fetchGroups(api: Api): Promise<Group[]> {
  const found: Group[] = [];
  let after: number | null = -1;
  while (after !== null && found.length < MAX_GROUPS) {
    const outline: Outline = await api.get<Outline>("outline", { after, limit: ASKED });
    for (const { title, first, last, collapsed, end_marked: hasEnd, begins, ends, errors } of outline.groups) {
      const ms = begins && ends ? Date.parse(ends) - Date.parse(begins) : null;
      found.push({ head: first, end: last + 1, title: title || "group", ms, errors, collapsed, hasEnd });
    }
    after = outline.after;
  }
  return found;
}
