/**
 * Text of a log, made safe to look at: runs of plain text with a style.
 *
 * Holds: what comes out is text and style names, never markup; a link goes to http or https only, and its target is part
 *        of the text; whatever would be invisible or turn the direction of text is shown by name. Any input gives runs.
 * Plan:  one pass. Colours (SGR) become styles; other escapes that only move a cursor are left out; what is
 *        written after a carriage return stands for what was written before it; other controls are named.
 */

export interface Style {
  /** 0-15: of the palette; a string: `#rrggbb`. */
  readonly fg?: number | string;
  readonly bg?: number | string;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
  readonly strike?: boolean;
  readonly inverse?: boolean;
  /** The name of something invisible, not text of the log. */
  readonly named?: boolean;
  /** Target of a link: http or https. */
  readonly href?: string;
}

export interface Run {
  readonly text: string;
  readonly style: Style;
}

const PLAIN: Style = {};
const NAMED: Style = { named: true };

// 0x00 … 0x20
const C0 =
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(
    " ",
  );
const NAMES: Readonly<Record<number, string>> = {
  127: "DEL",
  1564: "ALM",
  8203: "ZWSP",
  8206: "LRM",
  8207: "RLM",
  8232: "LS",
  8233: "PS",
  8234: "LRE",
  8235: "RLE",
  8236: "PDF",
  8237: "LRO",
  8238: "RLO",
  8288: "WJ",
  8294: "LRI",
  8295: "RLI",
  8296: "FSI",
  8297: "PDI",
  65279: "BOM",
};

// Whatever is not simply shown: controls but tab, direction marks, invisible signs, tags, halves of surrogate pairs.
const SPECIAL =
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]|\p{Cs}/u;
// A sequence that begins with ESC (or its one-character forms): CSI, OSC up to its end, or two characters.
const CSI = /(?:\u001b\[|\u009b)([0-9:;<=>?]*)[ -/]*([@-~])/y;
const OSC = /(?:\u001b\]|\u009d)([^\u0007\u001b\u009c]*)(?:\u0007|\u001b\\|\u009c)/y;
const CHARSET = /\u001b[()*+][0-9A-Za-z]|\u001b[78=>cDEHM]/y;
const LINK = /^8;[^;]*;(.*)$/s;

/** Return the runs of one line. */
export function parseLine(line: string): Run[] {
  const text = line.replace(/\r+\n?$/, "");
  if (!SPECIAL.test(text)) return text ? [{ text, style: PLAIN }] : [];
  return new Parser(text).run();
}

/** Return what is shown of a line, without its styles. */
export function plainText(runs: readonly Run[]): string {
  return runs.map((run) => run.text).join("");
}

class Parser {
  readonly #text: string;
  #at = 0;
  #style: Style = PLAIN;
  #target = "";
  #runs: Run[] = [];
  /** The next text is written over what there is. */
  #restarts = false;

  constructor(text: string) {
    this.#text = text;
  }

  run(): Run[] {
    const search = new RegExp(SPECIAL, "gu");
    while (this.#at < this.#text.length) {
      search.lastIndex = this.#at;
      const next = search.exec(this.#text);
      const end = next?.index ?? this.#text.length;
      this.#push(this.#text.slice(this.#at, end));
      this.#at = end;
      if (next) this.#special(next[0]);
    }
    this.#endLink();
    return this.#runs;
  }

  #special(found: string): void {
    if (this.#escape()) return;
    this.#at += found.length;
    if (found === "\r") this.#restarts = true;
    else this.#push(nameOf(found), NAMED);
  }

  /** Take a whole escape sequence, if one begins here. */
  #escape(): boolean {
    const csi = this.#match(CSI);
    if (csi) {
      if (csi[2] === "m" && !/[<=>?]/.test(csi[1]!)) this.#style = withCodes(this.#style, csi[1]!);
      // To the first column: how npm draws what turns.
      if (csi[2] === "G" && /^[01]?$/.test(csi[1]!)) this.#restarts = true;
      return true;
    }
    const osc = this.#match(OSC);
    if (osc) {
      this.#osc(osc[1]!);
      return true;
    }
    return this.#match(CHARSET) !== null;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }

  #osc(body: string): void {
    const link = LINK.exec(body);
    if (link === null) {
      this.#push(`⟨OSC⟩${visible(body)}`, NAMED);
      return;
    }
    this.#endLink();
    this.#target = link[1]!;
  }

  /** Say where a link leads, behind its text. */
  #endLink(): void {
    if (!this.#target) return;
    const target = visible(this.#target);
    const style = isWebAddress(this.#target) ? { ...NAMED, href: this.#target } : NAMED;
    this.#target = "";
    this.#push(` ⟨${target}⟩`, style);
  }

  #push(text: string, style: Style = this.#style): void {
    if (!text) return;
    if (this.#restarts) this.#runs = [];
    this.#restarts = false;
    this.#runs.push({ text, style });
  }
}

function isWebAddress(target: string): boolean {
  return /^https?:\/\/[^\s\\]+$/i.test(target) && !SPECIAL.test(target) && URL.canParse(target);
}

/** Return text in which everything invisible is named. */
export function visible(text: string): string {
  return text.replace(new RegExp(SPECIAL, "gu"), nameOf);
}

function nameOf(found: string): string {
  const code = found.codePointAt(0)!;
  const name = C0[code] ?? NAMES[code];
  return name ? `⟨${name}⟩` : `⟨${code < 0x100 ? `x${hex(code)}` : `U+${hex(code)}`}⟩`;
}

function hex(code: number): string {
  return code.toString(16).toUpperCase().padStart(2, "0");
}

const FLAGS: Readonly<Record<number, Partial<Style>>> = {
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  21: { underline: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
};

function withCodes(before: Style, text: string): Style {
  const codes = text.split(/[;:]/).map(Number);
  let style = before;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at]!;
    if (code === 0) style = PLAIN;
    else if (FLAGS[code]) style = { ...style, ...FLAGS[code] };
    else if (code === 38 || code === 48) {
      const [color, used] = extendedColor(codes.slice(at + 1));
      at += used;
      if (color !== undefined) style = { ...style, [code === 38 ? "fg" : "bg"]: color };
    } else style = withBasicColor(style, code);
  }
  return style;
}

function withBasicColor(style: Style, code: number): Style {
  if (code >= 30 && code <= 37) return { ...style, fg: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, fg: code - 82 };
  if (code >= 40 && code <= 47) return { ...style, bg: code - 40 };
  if (code >= 100 && code <= 107) return { ...style, bg: code - 92 };
  const { fg, bg, ...rest } = style;
  if (code === 39) return bg === undefined ? rest : { ...rest, bg };
  if (code === 49) return fg === undefined ? rest : { ...rest, fg };
  return style;
}

/** Return the colour of what follows 38 or 48, and how many codes it takes. */
function extendedColor(codes: readonly number[]): [number | string | undefined, number] {
  if (codes[0] === 5) return [indexedColor(codes[1] ?? -1), 2];
  if (codes[0] === 2) return [rgb(codes.slice(1, 4)), 4];
  return [undefined, 0];
}

function indexedColor(index: number): number | string | undefined {
  if (!(index >= 0 && index < 256)) return undefined;
  if (index < 16) return index;
  if (index >= 232) return rgb(Array(3).fill(8 + 10 * (index - 232)));
  const cube = index - 16;
  const steps = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6];
  return rgb(steps.map((step) => (step ? 55 + 40 * step : 0)));
}

function rgb(parts: readonly number[]): string | undefined {
  if (parts.length < 3 || parts.some((part) => !(part >= 0 && part < 256))) return undefined;
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
