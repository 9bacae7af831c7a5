/**
 * A line of a log, as the page shows it.
 *
 * Holds: a line is made from whatever object the server gives, in time that is bounded by what is shown of it. What was
 *        not understood is shown as it came.
 */

import type { Item, RecordTold, Rows } from "./api";

/** Characters shown of a line; the rest when it is asked for. */
export const MAX_SHOWN_CHARS = 8192;

const MAX_HINT_CHARS = 300;

/** Lines of a record that are shown at once in its panel. */
export const MAX_RECORD_LINES = 1000;

export const LEVELS = ["unknown", "debug", "info", "warning", "error", "critical"] as const;
export type Level = (typeof LEVELS)[number];

export interface Line {
  /** Its number in the merged log, from 0; null: not known yet. */
  readonly seq: number | null;
  /** When, in milliseconds since 1970; NaN without a time. */
  readonly ms: number;
  readonly level: Level;
  readonly text: string;
  /** About how many characters of the line `text` leaves out. */
  readonly cut: number;
  /** The error that is told beside the text. */
  readonly hint: string;
  readonly source: string;
  /** The record that it is of. */
  readonly record: RecordTold | null;
  /** It goes on with the record of the line before it. */
  readonly continues: boolean;
  readonly item: Item;
}

const LEVEL_NAMES: Readonly<{ [name: string]: Level }> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  notice: "info",
  warn: "warning",
  warning: "warning",
  error: "error",
  err: "error",
  exception: "error",
  critical: "critical",
  fatal: "critical",
  alert: "critical",
  emergency: "critical",
};
const TEXT_KEYS = ["event", "message", "msg", "log", "text"];
const TIME_KEYS = ["timestamp", "ts", "time", "@timestamp"];

/** Read the lines of an answer. */
export function readLines(got: Rows): Line[] {
  const lines: Line[] = [];
  let at = 0;
  got.rows.forEach((item, row) => {
    const seq = got.seqs?.[row] ?? (got.from ?? 0) + row;
    while (at < got.records.length - 1 && got.records[at + 1]!.seq <= seq) at += 1;
    const record = got.records[at];
    const isOf = record !== undefined && record.seq <= seq && seq < record.seq + Math.max(1, record.lines);
    lines.push(readLine(item, seq, got.exact, isOf ? record : undefined, got.cut[seq] ?? 0));
  });
  return lines;
}

function readLine(item: Item, seq: number, exact: boolean, record: RecordTold | undefined, bytes: number): Line {
  const full = textOf(item);
  const ts = record?.time ?? timeOf(item);
  const text = full.slice(0, MAX_SHOWN_CHARS);
  return {
    seq: exact ? seq : null,
    ms: ts ? Date.parse(ts) : Number.NaN,
    level: LEVEL_NAMES[record?.level ?? ""] ?? levelOf(item),
    text,
    cut: bytes ? Math.max(1, bytes - text.length) : full.length - text.length,
    hint: hintOf(item),
    source: record?.source ?? "",
    record: record ?? null,
    continues: record !== undefined && record.seq !== seq,
    item,
  };
}

/** The whole text of a line: what was written, or what an object says. */
export function textOf(item: Item): string {
  const key = TEXT_KEYS.find((name) => typeof item[name] === "string");
  return key === undefined ? JSON.stringify(item) : (item[key] as string);
}

/** The error that an object tells of, in a few words. */
function hintOf(item: Item): string {
  const error = errorsOf(item)[0];
  return error ? `${error.kind}: ${error.value.split("\n", 1)[0]}`.slice(0, MAX_HINT_CHARS) : "";
}

function timeOf(item: Item): string {
  for (const key of TIME_KEYS) {
    const value = item[key];
    if (typeof value === "string" && value) return value;
  }
  return "";
}

function levelOf(item: Item): Level {
  const given = item.level ?? item.severity ?? item.levelname;
  return typeof given === "string" ? (LEVEL_NAMES[given.toLowerCase()] ?? "unknown") : "unknown";
}

export interface Failure {
  readonly kind: string;
  readonly value: string;
  readonly notes: readonly string[];
  readonly frames: readonly { readonly file: string; readonly line: number; readonly name: string }[];
  readonly isCause: boolean;
}

/** The exceptions that an object of structlog tells of, the one that was raised first. */
export function errorsOf(item: Item): Failure[] {
  const given = item.error_detail ?? item.exception;
  if (!Array.isArray(given)) return [];
  return given.filter(isObject).map((each) => ({
    kind: String(each.exc_type ?? "Exception"),
    value: String(each.exc_value ?? ""),
    notes: Array.isArray(each.exc_notes) ? each.exc_notes.map(String) : [],
    frames: (Array.isArray(each.frames) ? each.frames : []).filter(isObject).map((frame) => ({
      file: String(frame.filename ?? ""),
      line: Number(frame.lineno ?? 0),
      name: String(frame.name ?? ""),
    })),
    isCause: each.is_cause === true,
  }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
