/**
 * The log over time, and errors and hits beside the scroll bar: counted by the server, and led from here.
 *
 * How they are drawn is in `timeline.ts`, which comes after the first rows.
 */

import { html, nothing } from "lit/html.js";
import { errorsOf, type Params, type Summary } from "./api";
import type { Desk } from "./desk";
import type { Finder } from "./finder";
import type { Jumps } from "./jumps";
import { Paced } from "./paced";
import type { Buckets, Span } from "./timeline";
import { isFiltered } from "./view";
import { many } from "./words";

/** What is around the rows follows them so often while they are scrolled. */
const SCROLLED_MS = 60;
const SUMMARY_MS = 2000;

export class Overview {
  readonly #desk: Desk;
  readonly #jumps: Jumps;
  readonly #finder: Finder;
  #buckets: Buckets | undefined;
  #errorsByLine: readonly number[] = [];
  readonly summary = new Paced(SUMMARY_MS, () => this.#summarise());
  #picked: { from: number; to: number } | null = null;
  hovered: number | null = null;
  readonly scrolled = new Paced(SCROLLED_MS, async () => {
    this.#desk.host.changed();
    this.#drawTime();
  });

  constructor(desk: Desk, jumps: Jumps, finder: Finder) {
    this.#desk = desk;
    this.#jumps = jumps;
    this.#finder = finder;
  }

  async #summarise(): Promise<void> {
    const aside = await this.#desk.host.wantAside();
    if (aside === null) return;
    const get = (params: Params): Promise<Summary> =>
      this.#desk.api.get<Summary>("summary", { buckets: aside.BUCKETS, ...params });
    // What is wrong with the server the tail says.
    const got = await Promise.all([get({}), get({ by: "line" })]).catch(() => null);
    if (got === null) return;
    const [byTime, byLine] = got;
    this.#buckets = new aside.Buckets(byTime);
    const places = ["error", "critical"].map((level) => byLine.levels.indexOf(level));
    this.#errorsByLine = byLine.buckets.map((bucket) => places.reduce((sum, at) => sum + (bucket[at] ?? 0), 0));
    this.redraw();
  }

  #partAt(event: PointerEvent): number {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  }

  timeDown(event: PointerEvent): void {
    if (this.#buckets === undefined) return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const part = this.#partAt(event);
    this.#picked = { from: part, to: part };
  }

  timeMove(event: PointerEvent): void {
    this.hovered = this.#partAt(event);
    if (this.#picked) this.#picked = { ...this.#picked, to: this.hovered };
    this.#drawTime();
    this.#desk.host.changed();
  }

  timeUp(event: PointerEvent): void {
    const [picked, buckets] = [this.#picked, this.#buckets];
    this.#picked = null;
    if (picked === null || buckets === undefined) return;
    const width = (event.currentTarget as HTMLElement).clientWidth;
    const isDrag = Math.abs(picked.to - picked.from) * width > 4;
    const iso = (part: number): string => new Date(buckets.msAt(part)).toISOString();
    if (isDrag) {
      const [from, to] = [Math.min(picked.from, picked.to), Math.max(picked.from, picked.to)];
      this.#finder.setFilters({ ...this.#desk.filters, since: iso(from), until: to >= 1 ? "" : iso(to) });
    } else {
      void this.#jumps.goToTime(iso(picked.from));
    }
    this.redraw();
  }

  redraw = (): void => {
    const { aside, root } = this.#desk.host;
    if (!root.isConnected || aside === null) return;
    for (const each of root.querySelectorAll("canvas")) aside.fitCanvas(each);
    this.#drawTime();
    const canvas = root.querySelector<HTMLCanvasElement>(".ticks");
    const lines = this.#desk.meta?.lines.count ?? 0;
    if (!canvas || !lines) return;
    const hits = this.#desk.search?.hits ?? [];
    aside.drawTicks(canvas, isFiltered(this.#desk.filters) ? [] : this.#errorsByLine, partsOf(hits, lines));
  };

  #drawTime(): void {
    const canvas = this.#desk.host.root.querySelector<HTMLCanvasElement>(".timeline canvas");
    if (!canvas || this.#buckets === undefined) return;
    const first = this.#desk.view.line(this.#desk.engine.top);
    const last = this.#desk.view.line(
      Math.min(this.#desk.view.count - 1, this.#desk.engine.top + this.#desk.engine.pageRows),
    );
    const seen: Span | null = first && last ? { firstMs: first.ms, lastMs: last.ms } : null;
    const { from, to } = this.#picked ?? { from: 0, to: 0 };
    const picked: Span | null = this.#picked
      ? { firstMs: this.#buckets.msAt(Math.min(from, to)), lastMs: this.#buckets.msAt(Math.max(from, to)) }
      : null;
    this.#desk.host.aside?.drawTimeline(canvas, this.#buckets, seen, picked);
  }

  timelineTold(): string {
    const meta = this.#desk.meta;
    if (!meta?.first) return "Timeline: no times.";
    const errors = errorsOf(meta);
    return `Timeline of ${many(meta.records, "record")} with ${many(errors, "error")}; colon goes to a time.`;
  }

  hint(): unknown {
    if (this.hovered === null || this.#buckets === undefined || !this.#buckets.counts.length) return nothing;
    const buckets = this.#buckets;
    const text = this.#picked
      ? `${this.#desk.clock.full(buckets.msAt(this.#picked.from))} – ${this.#desk.clock.full(buckets.msAt(this.#picked.to))}`
      : `${this.#desk.clock.full(buckets.msAt(this.hovered))} · ${buckets.told(this.hovered)}`;
    return html`<span class="hint">${text}</span>`;
  }
}

function* partsOf(hits: readonly number[], lines: number): Generator<number> {
  for (const hit of hits) yield hit / lines;
}
