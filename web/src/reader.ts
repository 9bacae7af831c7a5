/**
 * Where the reader is, and how they go from line to line.
 *
 * Holds: whoever moves the view gives up what it was on its way to (`course.ts`); following ends in the moment in which
 *        the reader leaves the end, not with the next frame.
 */

import type { Desk } from "./desk";
import { OVERSCAN } from "./engine";
import { type Place, type Range, readPlace, writePlace } from "./link";

export class Reader {
  readonly #desk: Desk;
  following = false;
  left: { lines: number; errors: number } | null = null;
  passed: { from: number; lines: number } | null = null;
  #hashTimer = 0;

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  shown(first: number, last: number, byUser: boolean): void {
    if (this.#desk.view.count)
      this.#desk.view.want(Math.max(0, first - 2 * OVERSCAN), Math.min(last + 2 * OVERSCAN, this.#desk.view.count - 1));
    if (byUser) {
      this.#desk.course.leave();
      this.setFollowing(this.#desk.engine.atEnd);
    }
    this.#desk.host.scrolled();
  }

  setFollowing(following: boolean): void {
    if (following === this.following) return;
    this.following = following;
    if (following) {
      this.left = null;
      this.passed = null;
    }
    this.#desk.host.changed();
  }

  goTo(seq: number, align: "center" | "nearest" | "start" = "center"): void {
    this.#desk.course.leave();
    if (this.#desk.view === this.#desk.whole && this.#desk.whole.folds.reveal(seq))
      this.#desk.engine.setCount(this.#desk.view.count);
    this.setFollowing(false);
    this.#desk.engine.scrollTo(this.#desk.view.rowOf(seq), align);
    this.#desk.engine.repaint();
  }
  /** Where we are on our way to, else the current line where it is on screen, else the one at the top. */
  get here(): number {
    if (this.#desk.course.seq !== null) return this.#desk.course.seq;
    const [current, top] = [this.#desk.current, this.#desk.view.seqOf(this.#desk.engine.top)];
    const last = this.#desk.view.seqOf(this.#desk.engine.last);
    const isSeen = current !== null && (top === null || last === null || (top <= current && current <= last));
    return isSeen ? current : (top ?? 0);
  }

  setCurrent(seq: number | null, align?: "center" | "nearest"): void {
    this.#desk.course.leave();
    this.#desk.current = seq;
    if (seq !== null && align) {
      this.#desk.range = null;
      this.goTo(seq, align);
    }
    this.#desk.engine.repaint();
    this.#desk.host.changed();
    this.#desk.host.moved();
  }

  place(): Place {
    return readPlace(this.#desk.host.isLinked ? new URL(location.href) : new URL("about:blank"));
  }

  /** Let the page's address tell where we are. */
  keepPlace(): void {
    if (!this.#desk.host.isLinked) return;
    clearTimeout(this.#hashTimer);
    this.#hashTimer = window.setTimeout(() => history.replaceState(null, "", this.link()), 50);
  }

  link(): string {
    const range =
      this.#desk.range ??
      (this.#desk.current === null ? null : { first: this.#desk.current, last: this.#desk.current });
    const time = this.#desk.prefs.time === "utc" ? "" : this.#desk.prefs.time;
    const [q, regex] = [this.#desk.search?.wanted.q ?? "", this.#desk.search?.wanted.regex ?? false];
    return writePlace(new URL(location.href), { range, q, regex, filters: this.#desk.filters, time, attempt: "" }).href;
  }

  choose(range: Range | null, goes = false): void {
    if (range) this.setCurrent(range.first, goes ? "center" : undefined);
    this.#desk.range = range;
    this.keepPlace();
    this.#desk.engine.repaint();
    this.#desk.host.changed();
  }

  step(by: 1 | -1): void {
    this.#desk.course.leave();
    const edge = by > 0 ? this.#desk.engine.top : this.#desk.engine.last;
    const row = this.here === this.#desk.current ? this.#desk.view.rowOf(this.here) + by : edge;
    const next = Math.max(0, Math.min(this.#desk.view.count - 1, row));
    const seq = this.#desk.view.seqOf(next);
    if (seq === null) return;
    this.#desk.range = null;
    this.setFollowing(false);
    this.#desk.current = seq;
    this.#desk.engine.scrollTo(next, "nearest");
    this.#desk.engine.repaint();
    this.#desk.host.changed();
    this.#desk.host.moved();
  }

  page(by: 1 | -1): void {
    this.#desk.course.leave();
    // At once: what comes before the next frame must not take the reader back to the end.
    this.setFollowing(false);
    this.#desk.current = null;
    this.#desk.engine.moveBy(by * Math.max(1, this.#desk.engine.pageRows - 2) * this.#desk.engine.rowPx);
  }

  goToRow(row: number): void {
    this.#desk.course.leave();
    this.setFollowing(false);
    this.#desk.current = this.#desk.view.seqOf(row);
    this.#desk.engine.scrollTo(row, "start");
    this.#desk.engine.repaint();
  }

  goToLast(): void {
    this.#desk.course.leave();
    this.#desk.current = null;
    this.setFollowing(true);
    this.left = null;
    this.#desk.engine.scrollToEnd();
    this.#desk.engine.repaint();
    this.#desk.host.changed();
  }
}
