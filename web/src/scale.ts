/**
 * Where a scroll bar of bounded length stands in a log of any length.
 *
 * Holds: both ends are reached exactly; near them, and in a log short enough, a pixel of the bar is a pixel of the log.
 * Plan:  a line of three straight pieces between the bar's pixels (0 … bar) and the log's (0 … log), and its inverse.
 */

/** Browsers cap the height of an element, at 11 million pixels and less where the pixel ratio is 3. */
export const MAX_BAR_PX = 6_000_000;

/** Viewports at each end that are scrolled one to one. */
const EDGE_VIEWS = 4;

export interface Scale {
  /** Scrollable pixels of the bar. */
  readonly bar: number;
  /** Scrollable pixels of the log. */
  readonly log: number;
  /** Pixels at each end that are the same in both. */
  readonly edge: number;
}

/** Return the scale of `rows` rows of `rowPx` pixels, looked at through `viewPx` pixels. */
export function scaleOf(rows: number, rowPx: number, viewPx: number): Scale {
  const log = Math.max(0, rows * rowPx - viewPx);
  const bar = Math.min(log, MAX_BAR_PX - viewPx);
  return { bar, log, edge: Math.min(EDGE_VIEWS * viewPx, bar / 4) };
}

export function toLog(scale: Scale, barPx: number): number {
  const { bar, log, edge } = scale;
  if (bar >= log) return clamp(barPx, log);
  if (barPx <= edge) return Math.max(0, barPx);
  if (barPx >= bar - edge) return clamp(log - (bar - barPx), log);
  return edge + ((barPx - edge) * (log - 2 * edge)) / (bar - 2 * edge);
}

export function toBar(scale: Scale, logPx: number): number {
  const { bar, log, edge } = scale;
  if (bar >= log) return clamp(logPx, log);
  if (logPx <= edge) return Math.max(0, logPx);
  if (logPx >= log - edge) return clamp(bar - (log - logPx), bar);
  return edge + ((logPx - edge) * (bar - 2 * edge)) / (log - 2 * edge);
}

function clamp(px: number, most: number): number {
  return Math.max(0, Math.min(px, most));
}
