/**
 * A log over time, and where errors and hits are along the scroll bar: two canvases.
 *
 * Holds: drawn from counts that the server made; costs the buckets, not the lines. While rows are scrolled nothing is
 *        asked of the browser that makes it lay out the page: sizes and colours are those of the last `fitCanvas`.
 */

import type { Summary } from "./api";
import { LEVELS } from "./line";

export const BUCKETS = 240;

export interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** The level of a bucket's colour, from below; unknown counts as info. */
const STACK = ["debug", "info", "warning", "error", "critical"] as const;

export class Buckets {
  readonly firstMs: number;
  readonly stepMs: number;
  readonly counts: readonly (readonly number[])[];

  constructor(summary: Summary) {
    this.firstMs = summary.first ? Date.parse(summary.first) : Number.NaN;
    this.stepMs = (summary.step_ns ?? 0) / 1e6;
    const places = STACK.map((level) => summary.levels.indexOf(level));
    const unknown = summary.levels.indexOf(LEVELS[0]);
    this.counts = summary.buckets.map((bucket) =>
      places.map((place, at) => (bucket[place] ?? 0) + (at === 1 ? (bucket[unknown] ?? 0) : 0)),
    );
  }

  get lastMs(): number {
    return this.firstMs + this.stepMs * this.counts.length;
  }

  /** What a part of the width, 0 … 1, stands for. */
  msAt(part: number): number {
    return this.firstMs + Math.max(0, Math.min(1, part)) * (this.lastMs - this.firstMs);
  }

  partOf(ms: number): number {
    return (ms - this.firstMs) / Math.max(1, this.lastMs - this.firstMs);
  }

  /** Lines in words at a part of the width. */
  told(part: number): string {
    const bucket = this.counts[Math.min(this.counts.length - 1, Math.floor(part * this.counts.length))] ?? [];
    const total = bucket.reduce((sum, count) => sum + count, 0);
    const errors = (bucket[3] ?? 0) + (bucket[4] ?? 0);
    return `${total.toLocaleString("en")} records${errors ? `, ${errors.toLocaleString("en")} errors` : ""}`;
  }
}

export function drawTimeline(
  canvas: HTMLCanvasElement,
  buckets: Buckets,
  seen: Span | null,
  picked: Span | null,
): void {
  const { context, width, height, colors } = cleared(canvas);
  if (context === null || !buckets.counts.length) return;
  const step = width / buckets.counts.length;
  const most = Math.max(1, ...buckets.counts.map((bucket) => bucket.reduce((sum, count) => sum + count, 0)));
  for (const span of [seen, picked]) {
    if (span === null) continue;
    const from = buckets.partOf(span.firstMs) * width;
    const to = buckets.partOf(span.lastMs) * width;
    context.fillStyle = span === picked ? colors.picked : colors.seen;
    context.fillRect(from, 0, Math.max(3, to - from), height);
  }
  buckets.counts.forEach((bucket, at) => {
    const total = bucket.reduce((sum, count) => sum + count, 0);
    if (!total) return;
    // A root, so that a few lines are seen beside very many.
    const full = Math.max(2, Math.sqrt(total / most) * (height - 4));
    let y = height;
    bucket.forEach((count, level) => {
      if (!count) return;
      const least = level >= 2 ? 2 : 0;
      const tall = Math.max(least, (full * count) / total);
      y -= tall;
      context.fillStyle = colors.levels[level]!;
      context.fillRect(at * step, Math.max(0, y), Math.max(1, step - (step > 3 ? 1 : 0)), tall);
    });
  });
}

/** Ticks: `errors` per stretch of lines, and the places of hits, 0 … 1. */
export function drawTicks(canvas: HTMLCanvasElement, errors: readonly number[], hits: Iterable<number>): void {
  const { context, width, height, colors } = cleared(canvas);
  if (context === null) return;
  context.fillStyle = colors.levels[3]!;
  errors.forEach((count, at) => {
    if (count) context.fillRect(0, (at / errors.length) * height, width / 2, 2);
  });
  context.fillStyle = colors.hit;
  let drawn = -1;
  for (const part of hits) {
    const y = Math.round(part * height);
    if (y > drawn) context.fillRect(width / 2, y, width / 2, 2);
    drawn = Math.max(y, drawn);
  }
}

interface Fitted {
  readonly context: CanvasRenderingContext2D | null;
  readonly width: number;
  readonly height: number;
  readonly colors: Colors;
}

const fits = new WeakMap<HTMLCanvasElement, Fitted>();

/** Have a canvas as large as it is shown, and colours as the theme has them now. */
export function fitCanvas(canvas: HTMLCanvasElement): Fitted {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  const fitted = { context, width, height, colors: colorsOf(canvas) };
  fits.set(canvas, fitted);
  return fitted;
}

function cleared(canvas: HTMLCanvasElement): Fitted {
  const fitted = fits.get(canvas) ?? fitCanvas(canvas);
  fitted.context?.clearRect(0, 0, fitted.width, fitted.height);
  return fitted;
}

interface Colors {
  readonly levels: readonly string[];
  readonly seen: string;
  readonly picked: string;
  readonly hit: string;
}

/** Read colours as the theme has them now: a canvas knows no variables. */
function colorsOf(canvas: HTMLCanvasElement): Colors {
  const probe = canvas.nextElementSibling as HTMLElement;
  const read = (value: string): string => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  const bars = ["--bar-debug", "--bar-info", "--warning", "--error", "--critical"];
  return {
    levels: bars.map((name) => read(`var(${name})`)),
    seen: read("var(--seen)"),
    picked: read("var(--picked)"),
    hit: read("var(--mark-here)"),
  };
}
