/**
 * One line on screen.
 *
 * Holds: everything of a log becomes a text node or a style; nothing is ever parsed as markup. A row is painted when it
 *        comes on screen or may look different, and costs the characters that are shown of it.
 */

import { parseLine, type Run, type Style, visible } from "./ansi";
import type { Head, Heads } from "./groups";
import { LEVELS, type Line } from "./line";
import type { Range } from "./link";
import type { Search } from "./search";
import { type Clock, roughly } from "./times";

/** How rows are to look. */
export interface Look {
  readonly clock: Clock;
  readonly showsSource: boolean;
  readonly range: Range | null;
  readonly current: number | null;
  readonly search: Search | null;
  readonly marks: ReadonlySet<number>;
  readonly gapMs: number;
  readonly heads: Heads;
  /** Null: nothing folds in this view. */
  readonly isClosed: ((seq: number) => boolean) | null;
}

/** Parts of a row, made once. */
class Cells {
  readonly number = part("span", "n");
  readonly time = part("span", "t");
  readonly level = part("span", "l");
  /** There while it is shown. */
  source: HTMLElement | null = null;
  readonly text = part("span", "x");
  /** Beside the text, where there is more than is shown. */
  extra: HTMLElement | null = null;
}

const cellsOf = new WeakMap<HTMLElement, Cells>();

function part(tag: string, name: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = name;
  made.setAttribute("role", "cell");
  return made;
}

export function makeRow(): HTMLElement {
  const row = document.createElement("div");
  row.className = "row";
  row.setAttribute("role", "row");
  const cells = new Cells();
  cellsOf.set(row, cells);
  row.append(cells.number, cells.time, cells.level, cells.text);
  return row;
}

export function paintRow(
  row: HTMLElement,
  index: number,
  line: Line | undefined,
  before: Line | undefined,
  look: Look,
): void {
  const cells = cellsOf.get(row)!;
  row.setAttribute("aria-rowindex", String(index + 1));
  if (line === undefined) {
    row.className = "row waiting";
    delete row.dataset.seq;
    cells.number.textContent = "";
    cells.time.hidden = true;
    cells.level.hidden = true;
    cells.text.textContent = "…";
    paintExtra(row, cells, []);
    return;
  }
  const seq = line.seq;
  row.className = classesOf(line, look);
  row.dataset.seq = String(seq ?? "");
  row.dataset.gap = gapBefore(line, before, look.gapMs);
  cells.number.textContent = seq === null ? "·" : String(seq + 1);
  cells.time.hidden = look.clock.mode === "off";
  if (!cells.time.hidden) cells.time.textContent = line.continues ? "" : look.clock.show(line.ms);
  cells.level.hidden = false;
  cells.level.textContent = line.level === "unknown" || line.continues ? "" : line.level;
  paintSource(cells, look.showsSource ? line.source : null);
  paintExtra(row, cells, paintText(cells.text, line, look));
}

function paintSource(cells: Cells, source: string | null): void {
  if (source === null) {
    cells.source?.remove();
    cells.source = null;
    return;
  }
  if (cells.source === null) {
    cells.source = part("span", "s");
    cells.text.before(cells.source);
  }
  cells.source.textContent = source;
}

function classesOf(line: Line, look: Look): string {
  const { seq } = line;
  let names = `row ${LEVELS.includes(line.level) ? line.level : ""}`;
  if (line.continues) names += " continues";
  if (seq === null) return names;
  if (look.range && seq >= look.range.first && seq <= look.range.last) names += " chosen";
  if (seq === look.current) names += " current";
  if (look.marks.has(seq)) names += " marked";
  if (look.search?.has(seq)) names += " hit";
  return names;
}

function gapBefore(line: Line, before: Line | undefined, gapMs: number): string {
  const silentMs = before === undefined ? Number.NaN : line.ms - before.ms;
  return silentMs >= gapMs ? `${roughly(silentMs)} of silence` : "";
}

function paintExtra(row: HTMLElement, cells: Cells, nodes: readonly Node[]): void {
  if (!nodes.length) {
    cells.extra?.remove();
    cells.extra = null;
    return;
  }
  cells.extra ??= row.appendChild(part("span", "e"));
  cells.extra.replaceChildren(...nodes);
}

/** Paint the text; return what is to stand beside it. */
function paintText(cell: HTMLElement, line: Line, look: Look): Node[] {
  const head = headOf(line, look);
  const runs =
    head?.title !== undefined ? [{ text: head.title, style: { bold: true } }] : parseLine(line.text.split("\n", 1)[0]!);
  const hidden = line.text.includes("\n") ? line.text.split("\n").length - 1 : 0;
  const nodes: Node[] = [];
  if (head) nodes.push(toggle(head.closed, head.lines));
  for (const run of marked(runs, look.search)) nodes.push(nodeOf(run));
  if (head?.note) nodes.push(note(head.note));
  if (line.hint) nodes.push(note(visible(line.hint), "hint-error"));
  cell.replaceChildren(...nodes);
  const beside: Node[] = [];
  if (hidden) beside.push(opener(`${hidden} more ${hidden === 1 ? "line" : "lines"}`));
  if (line.cut) beside.push(opener(`${line.cut.toLocaleString("en")} more characters`));
  return beside;
}

/** What folds under a line: a group, or the rest of its record. */
function headOf(line: Line, look: Look): Head | undefined {
  if (line.seq === null || look.isClosed === null) return undefined;
  const below = line.continues ? 0 : (line.record?.lines ?? 1) - 1;
  if (below < 1) return look.heads.at(line.seq);
  const closed = look.isClosed(line.seq);
  return { title: undefined, closed, lines: below, note: closed ? `${below.toLocaleString("en")} more` : "" };
}

function toggle(closed: boolean, lines: number): Node {
  const made = document.createElement("button");
  made.className = "fold";
  made.tabIndex = -1;
  made.setAttribute("aria-expanded", String(!closed));
  made.setAttribute("aria-label", closed ? `Unfold ${lines} lines` : `Fold ${lines} lines`);
  return made;
}

function note(text: string, kind = ""): Node {
  const made = document.createElement("span");
  made.className = `note ${kind}`;
  made.textContent = text;
  return made;
}

function opener(text: string): Node {
  const made = document.createElement("button");
  made.className = "more";
  made.tabIndex = -1;
  made.textContent = text;
  return made;
}

interface Shown extends Run {
  readonly isMatch?: boolean;
}

/** Cut runs where a search's text begins and ends. */
function marked(runs: readonly Run[], search: Search | null): readonly Shown[] {
  const ends = search?.find(runs.map((run) => run.text).join("")) ?? [];
  return ends.length ? cutAt(runs, ends) : runs;
}

function cutAt(runs: readonly Run[], ends: readonly number[]): Shown[] {
  const made: Shown[] = [];
  let start = 0;
  let next = 0;
  for (const run of runs) {
    let from = 0;
    while (from < run.text.length) {
      while (next < ends.length && ends[next]! <= start + from) next += 1;
      const to = Math.min(run.text.length, next < ends.length ? ends[next]! - start : run.text.length);
      made.push({ text: run.text.slice(from, to), style: run.style, isMatch: next % 2 === 1 });
      from = to;
    }
    start += run.text.length;
  }
  return made;
}

export function nodeOf(run: Shown): Node {
  const text = document.createTextNode(run.text);
  const names = namesOf(run.style);
  if (!names.length && !run.isMatch) return text;
  const made = document.createElement(run.isMatch ? "mark" : run.style.href ? "a" : "span");
  made.className = names.join(" ");
  if (run.style.href && made instanceof HTMLAnchorElement) {
    made.href = run.style.href;
    made.target = "_blank";
    made.rel = "noopener noreferrer nofollow";
    made.tabIndex = -1;
  }
  if (typeof run.style.fg === "string") made.style.setProperty("--fg", run.style.fg);
  if (typeof run.style.bg === "string") made.style.setProperty("--bg", run.style.bg);
  made.append(text);
  return made;
}

function namesOf(style: Style): string[] {
  const names: string[] = [];
  if (style.fg !== undefined) names.push(typeof style.fg === "number" ? `f${style.fg}` : "fg");
  if (style.bg !== undefined) names.push(typeof style.bg === "number" ? `b${style.bg}` : "bg");
  for (const name of ["bold", "dim", "italic", "underline", "strike", "inverse", "named"] as const) {
    if (style[name]) names.push(name);
  }
  return names;
}
