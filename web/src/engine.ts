/**
 * The rows on screen: a window of a few dozen elements over any number of rows.
 *
 * Holds: as many elements as the screen shows and OVERSCAN more; no height is kept of a row that is not on screen; what
 *        is on screen never moves when rows come, or when the scroll bar is set right.
 * Plan:  where we are is a row and how many of its pixels are above the screen. Small scrolls move by as many pixels,
 *        large ones to the place in proportion (`scale.ts`). Elements are in a layer that sticks to the screen, so the
 *        bar can be moved under it. After a scroll the bar is set to where the rows are.
 * Not here: what a row looks like (`paint`), and where rows come from.
 */

import { type Scale, scaleOf, toBar, toLog } from "./scale";

/** Rows made beyond each end of the screen. */
export const OVERSCAN = 4;

/** A scroll by more than so many screens is a jump. */
const JUMP_VIEWS = 1.5;

/** The bar is set right when nothing was scrolled for so long. */
const IDLE_MS = 140;

export type Align = "start" | "center" | "end" | "nearest";

export interface EngineHost {
  /** Make an element show a row. It is called again whenever the row may look different. */
  paint(element: HTMLElement, index: number): void;
  /** A new element, for one row after the other. */
  make(): HTMLElement;
  /** Rows `first` … `last` are on screen. */
  shown(first: number, last: number, byUser: boolean): void;
}

export class RowEngine {
  count = 0;
  wrap = false;
  /** First row on screen, and how many of its pixels are above it. */
  top = 0;
  topPx = 0;

  readonly #scroller: HTMLElement;
  readonly #spacer: HTMLElement;
  readonly #layer: HTMLElement;
  readonly #host: EngineHost;
  readonly #rows = new Map<number, HTMLElement>();
  readonly #free: HTMLElement[] = [];
  readonly #resized: ResizeObserver;
  #rowPx = 20;
  #viewPx = 0;
  #scale: Scale = scaleOf(0, 20, 0);
  #barPx = 0;
  #frame = 0;
  #idle = 0;
  #byUser = false;

  constructor(scroller: HTMLElement, spacer: HTMLElement, layer: HTMLElement, host: EngineHost) {
    this.#scroller = scroller;
    this.#spacer = spacer;
    this.#layer = layer;
    this.#host = host;
    scroller.addEventListener("scroll", this.#scrolled, { passive: true });
    this.#resized = new ResizeObserver(() => this.#measure());
    this.#resized.observe(scroller);
    this.#measure();
  }

  close(): void {
    this.#scroller.removeEventListener("scroll", this.#scrolled);
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#idle);
  }

  /** Height of a row that is not wrapped, in pixels. */
  set rowPx(px: number) {
    this.#rowPx = px;
    this.#measure();
  }

  get rowPx(): number {
    return this.#rowPx;
  }

  /** Rows that fit on the screen. */
  get pageRows(): number {
    return Math.max(1, Math.floor(this.#viewPx / this.#rowPx));
  }

  get atEnd(): boolean {
    const last = this.#rows.get(this.count - 1);
    if (this.count === 0) return true;
    if (!this.wrap) return this.#logPx() >= this.#scale.log - 2;
    return last !== undefined && bottomOf(last) <= this.#viewPx + 2;
  }

  setCount(count: number): void {
    if (count === this.count) return;
    this.count = count;
    this.#rescale();
    this.draw();
  }

  setWrap(wrap: boolean): void {
    this.wrap = wrap;
    this.topPx = 0;
    this.#layer.classList.toggle("wrap", wrap);
    this.draw();
  }

  /** The elements on screen, in no order. */
  elements(): Iterable<[number, HTMLElement]> {
    return this.#rows;
  }

  element(index: number): HTMLElement | undefined {
    return this.#rows.get(index);
  }

  moveBy(px: number): void {
    this.#byUser = true;
    this.#move(px);
    this.draw();
    this.#settleSoon();
  }

  scrollTo(index: number, align: Align = "center"): void {
    const row = Math.max(0, Math.min(index, this.count - 1));
    const above = this.#viewPx - this.#heightOf(row);
    let shift = 0;
    if (align === "center") shift = Math.floor(above / 3);
    if (align === "end") shift = above;
    if (align === "nearest") {
      const element = this.#rows.get(row);
      if (element !== undefined && topOf(element) >= 0 && bottomOf(element) <= this.#viewPx) return;
      shift = row < this.top || (row === this.top && this.topPx > 0) ? 0 : above;
    }
    this.top = row;
    this.topPx = -Math.max(0, shift);
    this.drawNow();
    this.#settle();
  }

  /** Have a row at the top; how much of it is above the screen stays as it is. */
  restAt(row: number): void {
    this.top = Math.max(0, row);
    this.drawNow();
    this.#settle();
  }

  scrollToEnd(): void {
    if (this.count > 0) this.scrollTo(this.count - 1, "end");
  }

  /** Draw at the next frame. */
  draw(): void {
    this.#frame ||= requestAnimationFrame(() => this.drawNow());
  }

  /** Paint everything anew at the next frame. */
  repaint(): void {
    for (const element of this.#rows.values()) element.dataset.stale = "";
    this.draw();
  }

  drawNow(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#viewPx === 0) return;
    this.#normalise();
    let bottom = this.#lay();
    // Below the last row there is nothing: move down until it stands at the bottom.
    for (let turn = 0; turn < 3 && bottom < this.#viewPx && this.top + this.topPx > 0; turn += 1) {
      this.topPx -= this.#viewPx - bottom;
      this.#normalise();
      bottom = this.#lay();
    }
    if (this.count === 0) {
      this.top = 0;
      this.topPx = 0;
    }
    this.#host.shown(this.top, this.last, this.#byUser);
    this.#byUser = false;
  }

  /** Last row on screen. */
  get last(): number {
    let last = this.top;
    for (const [index, element] of this.#rows) if (index > last && topOf(element) < this.#viewPx) last = index;
    return Math.min(last, Math.max(0, this.count - 1));
  }

  /** Put elements where rows are; return where the last one ends. */
  #lay(): number {
    const first = Math.max(0, this.top - OVERSCAN);
    const fits = Math.ceil((this.#viewPx + this.topPx) / this.#rowPx) + OVERSCAN;
    const last = Math.min(this.count, this.top + Math.max(fits, OVERSCAN));
    for (const [index, element] of this.#rows) {
      if (index < first || index >= last) this.#put(index, element);
    }
    for (let index = first; index < last; index += 1)
      this.#host.paint(this.#rows.get(index) ?? this.#take(index), index);
    let y = -this.topPx;
    for (let index = this.top; index < last; index += 1) {
      const element = this.#rows.get(index)!;
      const height = this.#measured(element);
      place(element, y, height);
      y += height;
    }
    let above = -this.topPx;
    for (let index = this.top - 1; index >= first; index -= 1) {
      const element = this.#rows.get(index)!;
      const height = this.#measured(element);
      above -= height;
      place(element, above, height);
    }
    return last === this.count ? y : Number.POSITIVE_INFINITY;
  }

  #measured(element: HTMLElement): number {
    return this.wrap ? Math.max(1, element.offsetHeight) : this.#rowPx;
  }

  #heightOf(index: number): number {
    const element = this.wrap ? this.#rows.get(index) : undefined;
    return element === undefined ? this.#rowPx : this.#measured(element);
  }

  #take(index: number): HTMLElement {
    let element = this.#free.pop();
    if (element === undefined) {
      element = this.#host.make();
      this.#layer.append(element);
    }
    element.hidden = false;
    element.dataset.stale = "";
    this.#rows.set(index, element);
    return element;
  }

  #put(index: number, element: HTMLElement): void {
    this.#rows.delete(index);
    if (this.#free.length < 2 * OVERSCAN) {
      element.hidden = true;
      this.#free.push(element);
    } else {
      element.remove();
    }
  }

  /** Let `topPx` be within the first row. */
  #normalise(): void {
    if (!this.wrap) {
      this.#setLogPx(Math.max(0, Math.min(this.#logPx(), this.#scale.log)));
      return;
    }
    this.top = Math.max(0, Math.min(this.top, this.count - 1));
    while (this.topPx < 0 && this.top > 0) {
      this.top -= 1;
      this.topPx += this.#heightOf(this.top);
    }
    while (this.top < this.count - 1 && this.topPx >= this.#heightOf(this.top)) {
      this.topPx -= this.#heightOf(this.top);
      this.top += 1;
    }
    if (this.top === 0) this.topPx = Math.max(0, this.topPx);
  }

  #logPx(): number {
    return this.top * this.#rowPx + this.topPx;
  }

  #setLogPx(px: number): void {
    this.top = Math.floor(px / this.#rowPx);
    this.topPx = px - this.top * this.#rowPx;
  }

  #move(px: number): void {
    this.topPx += px;
    this.#normalise();
  }

  #scrolled = (): void => {
    const barPx = this.#scroller.scrollTop;
    const delta = barPx - this.#barPx;
    if (Math.abs(delta) < 0.01) return;
    this.#barPx = barPx;
    this.#byUser = true;
    if (Math.abs(delta) > JUMP_VIEWS * this.#viewPx) this.#setLogPx(toLog(this.#scale, barPx));
    else this.#move(delta);
    const edge = this.#viewPx * 2;
    const isNearEnd = barPx < edge || barPx > this.#scale.bar - edge;
    this.drawNow();
    if (isNearEnd) this.#settle(this.#viewPx);
    this.#settleSoon();
  };

  #settleSoon(): void {
    clearTimeout(this.#idle);
    this.#idle = window.setTimeout(() => this.#settle(), IDLE_MS);
  }

  /** Set the bar to where the rows are, if it is off by more than `tolerancePx`. */
  #settle(tolerancePx = 0.5): void {
    const wanted = toBar(this.#scale, this.#logPx());
    if (Math.abs(wanted - this.#scroller.scrollTop) > tolerancePx) this.#scroller.scrollTop = wanted;
    this.#barPx = this.#scroller.scrollTop;
  }

  #rescale(): void {
    this.#scale = scaleOf(this.count, this.#rowPx, this.#viewPx);
    this.#spacer.style.height = `${this.#scale.bar + this.#viewPx}px`;
    // The browser moves a bar that has become too short; that is no scroll.
    if (this.#barPx > this.#scale.bar) this.#barPx = this.#scroller.scrollTop;
  }

  #measure(): void {
    const wasAtEnd = this.#viewPx > 0 && this.atEnd;
    this.#viewPx = this.#scroller.clientHeight;
    this.#layer.style.height = `${this.#viewPx}px`;
    this.#rescale();
    if (wasAtEnd && this.count > 0) this.scrollToEnd();
    this.draw();
  }
}

interface Placed extends HTMLElement {
  placedAt?: number;
  placedPx?: number;
}

function place(element: Placed, y: number, height: number): void {
  // Text between two pixels of the screen is blurred.
  const sharp = Math.round(y * devicePixelRatio) / devicePixelRatio;
  if (element.placedAt !== y) element.style.transform = `translateY(${sharp}px)`;
  element.placedAt = y;
  element.placedPx = height;
}

function topOf(element: Placed): number {
  return element.placedAt ?? 0;
}

function bottomOf(element: Placed): number {
  return (element.placedAt ?? 0) + (element.placedPx ?? 0);
}
