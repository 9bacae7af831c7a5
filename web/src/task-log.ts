/**
 * `<task-log src="…/api/v1/logs/ID">`: one log of any length.
 *
 * Holds: the page has a window of the log; the server orders, filters, searches and counts. What the server says of the
 *        log comes by one long poll; rows are fetched as they are looked at.
 * Plan:  `RowEngine` moves rows, a `View` says which there are, `Tail` tells of news, `Search` of hits; here is what they
 *        mean to each other, and the commands. What it looks like is in `toolbar.ts` and `panels.ts`.
 *
 * Attributes: `src`, the address of the log; `home`, that of the server's list; `linked`: the page's address tells the
 * place in the log, and is kept so; `theme`: `light` or `dark`, else as the reader or the system has it.
 */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import { Api, type Meta, type Params, Problem, type Summary } from "./api";
import type * as Aside from "./aside";
import { type Aim, Course } from "./course";
import { Element } from "./element";
import { OVERSCAN, RowEngine } from "./engine";
import { fetchGroups, Heads } from "./groups";
import { type Command, commandOf } from "./keys";
import type { Line } from "./line";
import {
  type Filters,
  NO_FILTERS,
  type Place,
  type Range,
  readPlace,
  readRange,
  withAttempt,
  writePlace,
} from "./link";
import { logStyles } from "./log-styles";
import { Paced } from "./paced";
import { keepPrefs, type Prefs, readPrefs } from "./prefs";
import { makeRow, paintRow } from "./row";
import { Search } from "./search";
import { theme } from "./styles";
import { sleep, Tail } from "./tail";
import { BUCKETS, Buckets, drawTicks, drawTimeline, fitCanvas, type Span } from "./timeline";
import { Clock, TIME_MODES } from "./times";
import { footer, gotoForm, type Shown, toolbar } from "./toolbar";
import { FilteredView, FixedView, isFiltered, type View, WholeView } from "./view";
import { bytes, many } from "./words";

const MAX_MARKS = 1000;
/** The polite status speaks at most so often. */
const STATUS_MS = 5000;
/** What is around the rows follows them so often while they are scrolled. */
const SCROLLED_MS = 60;
const SUMMARY_MS = 2000;
const GROUPS_MS = 5000;
/** Rows of the end that are shown while lines are still being counted. */
const PROVISIONAL_ROWS = 200;
/** More screens of rows than that at once are too fast to read. */
const TOO_FAST_SCREENS = 4;
/** What is wrong then stays wrong. */
const FATAL = new Set(["no-such-log", "not-signed-in", "not-allowed"]);
const LEVEL_KEYS = ["", "info", "warning", "error", "critical"];

type PanelName = "" | "record" | "sources";

export class TaskLog extends Element {
  #api!: Api;
  #engine!: RowEngine;
  #view!: View;
  #whole!: WholeView;
  #tail: Tail | undefined;
  #meta: Meta | undefined;
  #prefs: Prefs = readPrefs();
  #clock = new Clock("utc", Number.NaN, Number.NaN);
  #filters: Filters = NO_FILTERS;
  #range: Range | null = null;
  #current: number | null = null;
  #search: Search | null = null;
  readonly #course = new Course();
  /** To the first error of a log, to a line that is not there yet, to a hit that is not found yet. */
  #toErrors: Aim | null = null;
  #toLine: Aim | null = null;
  #toHit: Aim | null = null;
  #marks = new Set<number>();
  #heads = new Heads([], () => false);
  #buckets: Buckets | undefined;
  #errorsByLine: readonly number[] = [];
  readonly #summary = new Paced(SUMMARY_MS, () => this.#summarise());
  readonly #groups = new Paced(GROUPS_MS, () => this.#findGroups());
  #following = false;
  /** Whether all lines were counted once: what comes from then on is new. */
  #isCounted = false;
  #left: { lines: number; errors: number } | null = null;
  #passed: { from: number; lines: number } | null = null;
  #notice: { text: string; actions: readonly (readonly [string, () => void])[] } | null = null;
  /** Gaps that were told and dismissed. */
  #gapsRead = 0;
  #fatal: Problem | null = null;
  #offline: Problem | null = null;
  #panel: PanelName = "";
  #recordLines: readonly Line[] = [];
  #recordPieces = 1;
  #aside: typeof Aside | null = null;
  #attempts: readonly string[] = [];
  #menu = "";
  #picked: { from: number; to: number } | null = null;
  #hovered: number | null = null;
  #said = "";
  #saidAt = 0;
  #sayTimer = 0;
  #hashTimer = 0;
  readonly #scrolled = new Paced(SCROLLED_MS, async () => {
    this.requestUpdate();
    this.#drawTime();
  });
  readonly #resized = new ResizeObserver(() => this.#redraw());

  constructor() {
    super([theme, logStyles]);
  }

  override connectedCallback(): void {
    this.#api = new Api(new URL(this.attribute("src"), document.baseURI).href);
    this.#whole = this.#newWhole();
    this.#view = this.#whole;
    super.connectedCallback();
    const part = (name: string): HTMLElement => this.root.querySelector(`.${name}`)!;
    this.#engine = new RowEngine(part("scroller"), part("spacer"), part("layer"), {
      make: makeRow,
      paint: (row, index) => this.#paint(row, index),
      shown: (first, last, byUser) => this.#shown(first, last, byUser),
    });
    this.#engine.setWrap(this.#prefs.wrap);
    this.#keyTarget = this.hasAttribute("linked") ? document : this;
    this.#keyTarget.addEventListener("keydown", this.#key);
    for (const name of ["wheel", "pointerdown", "touchmove"])
      part("table").addEventListener(name, () => this.#course.leave(), { passive: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.#redraw);
    this.#resized.observe(part("timeline"));
    window.addEventListener("hashchange", this.#hashChanged);
    void this.#open();
    part("scroller").focus({ preventScroll: true });
  }

  disconnectedCallback(): void {
    this.#course.leave();
    this.#summary.close();
    this.#groups.close();
    this.#scrolled.close();
    this.#tail?.close();
    this.#search?.cancel();
    this.#view.close();
    this.#engine.close();
    this.#resized.disconnect();
    this.#keyTarget.removeEventListener("keydown", this.#key);
    window.removeEventListener("hashchange", this.#hashChanged);
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.#redraw);
  }

  // opening

  /** Whoever goes anywhere while this waits for answers, stays there. */
  async #open(): Promise<void> {
    const place = this.#place();
    const aim = this.#course.set(place.range?.first ?? null);
    if (place.time) this.#prefs = { ...this.#prefs, time: place.time };
    this.#range = place.range;
    this.#current = place.range?.first ?? null;
    if (isFiltered(place.filters)) this.#useFilters(place.filters, place.range?.first ?? 0, aim);
    else this.#whole.prefetch(place.range?.first ?? 0);
    if (place.q) this.#startSearch(place.q, place.regex, place.range ? null : aim);
    const meta = await this.#firstMeta();
    if (meta === null) return;
    const other = place.attempt ? withAttempt(meta.id, place.attempt) : null;
    if (other !== null && this.hasAttribute("linked")) {
      location.replace(this.#pageOf(other));
      return;
    }
    this.#told(meta);
    this.#tail = new Tail(this.#api, {
      told: (news) => this.#told(news),
      failed: (problem) => this.#setOffline(problem),
    });
    void this.#tail.run(meta);
    void this.#findAttempts(meta.id);
    this.#groups.ask();
    if (this.#course.keeps(aim) && !isFiltered(place.filters)) await this.#goToStart(meta, place, aim);
    (window.requestIdleCallback ?? setTimeout)(() => void this.#loadAside());
  }

  async #firstMeta(): Promise<Meta | null> {
    for (;;) {
      try {
        const meta = await this.#api.get<Meta>("meta");
        this.#setOffline(null);
        return meta;
      } catch (error) {
        const problem = error as Problem;
        if (problem.retryMs === null || !(error instanceof Problem)) {
          this.#fatal = problem;
          this.requestUpdate();
          return null;
        }
        this.#setOffline(problem);
        await sleep(problem.retryMs);
      }
    }
  }

  /** Go where a reader wants to be: where the address says, at the end while it is written, at the first error. */
  async #goToStart(meta: Meta, place: Place, aim: Aim): Promise<void> {
    const errors = errorsOf(meta);
    if (place.range && meta.lines.count > place.range.first) this.#goTo(place.range.first, "center");
    else if (place.range) this.#toLine = aim;
    else if (place.q) return;
    else if (meta.state === "running") await this.#goToEnd(meta, aim);
    else if (errors) await this.#goToFirstError(meta, errors, aim);
    else if (!meta.lines.exact) this.#toErrors = aim;
  }

  async #goToFirstError(meta: Meta, errors: number, aim: Aim): Promise<void> {
    const found = await this.#locate({ error: "next", seq: 0 }, aim);
    if (found === null) return;
    this.#current = found;
    this.#goTo(found, "center");
    const why = meta.state === "failed" ? "This log ended in failure. " : "";
    const which = errors === 1 ? "its only error" : `the first of ${errors.toLocaleString("en")} errors`;
    this.#setNotice(`${why}Opened at ${which}, line ${(found + 1).toLocaleString("en")}.`, [
      ["Start", () => this.#run("start")],
      ["End", () => this.#run("end")],
    ]);
  }

  async #goToEnd(meta: Meta, aim: Aim): Promise<void> {
    this.#following = true;
    if (!meta.lines.exact) {
      const fixed = await FixedView.ofEnd(this.#api, PROVISIONAL_ROWS, aim.signal).catch(() => null);
      if (!this.#course.keeps(aim)) return;
      if (fixed !== null && !this.#meta!.lines.exact) this.#use(fixed);
    }
    this.#course.leave();
    this.#engine.scrollToEnd();
  }

  async #loadAside(): Promise<void> {
    if (this.#aside) return;
    try {
      this.#aside = await import("./aside");
      this.root.adoptedStyleSheets.push(this.#aside.asideStyles);
      this.requestUpdate();
    } catch {
      this.#say("A part of this page could not be loaded. Load the page again.", true);
    }
  }

  #newWhole(): WholeView {
    return new WholeView(this.#api, this.#viewHost());
  }

  #viewHost(): { changed: () => void; failed: (problem: Problem | null) => void } {
    return {
      changed: () => {
        this.#engine.setCount(this.#view.count);
        this.#engine.repaint();
        this.requestUpdate();
      },
      failed: (problem) => this.#setOffline(problem),
    };
  }

  #use(view: View): void {
    if (this.#view !== this.#whole) this.#view.close();
    this.#view = view;
    this.#engine.setCount(view.count);
    this.#engine.repaint();
  }

  // what the server tells

  #told(given: Meta): void {
    const before = this.#meta;
    const meta = before ? goingOn(before, given) : given;
    this.#meta = meta;
    if (before && meta.lines.count < before.lines.count) this.#begunAnew();
    this.#whole.lines = meta.lines.count;
    if (this.#view instanceof FixedView && meta.lines.exact) this.#use(this.#whole);
    if (this.#view instanceof FilteredView && before && before.lines.count !== meta.lines.count) this.#view.grown();
    this.#newClock(before);
    if (before && meta.lines.count > before.lines.count) this.#grew(before, meta);
    this.#engine.setCount(this.#view.count);
    if (this.#following) this.#engine.scrollToEnd();
    this.#arrive(meta);
    if (!before || meta.lines.exact !== before.lines.exact || meta.lines.count !== before.lines.count)
      this.#summary.ask();
    this.requestUpdate();
  }

  #begunAnew(): void {
    this.#course.leave();
    this.#whole.close();
    this.#whole = this.#newWhole();
    if (isFiltered(this.#filters)) this.#useFilters(this.#filters, 0);
    else this.#use(this.#whole);
    this.#heads = new Heads([], () => false);
    this.#groups.ask();
    this.#left = null;
    this.#passed = null;
    this.#setNotice("The log was cut or replaced; this is what there is now.", []);
  }

  /** Go where there was nothing yet: to a line that is linked to, to the first error. */
  #arrive(meta: Meta): void {
    const [line, errors] = [this.#course.seq, errorsOf(meta)];
    if (this.#course.keeps(this.#toLine) && line !== null && meta.lines.count > line) this.#goTo(line);
    const aim = this.#toErrors;
    if (aim === null || !this.#course.keeps(aim) || (!errors && !meta.lines.exact)) return;
    this.#toErrors = null;
    if (errors) void this.#goToFirstError(meta, errors, aim);
    else this.#course.leave();
  }

  #grew(before: Meta, meta: Meta): void {
    const more = meta.lines.count - before.lines.count;
    // Lines that are being counted for the first time are not new.
    this.#isCounted ||= before.lines.exact;
    if (!this.#isCounted) return;
    if (!this.#following) {
      this.#left ??= { lines: before.lines.count, errors: errorsOf(before) };
    } else if (more > TOO_FAST_SCREENS * this.#engine.pageRows) {
      const from = this.#passed?.from ?? before.lines.count;
      this.#passed = { from, lines: meta.lines.count - this.#engine.pageRows - from };
    }
    if (meta.lines.exact) this.#groups.ask();
  }

  #newClock(before?: Meta): void {
    const [firstMs, lastMs] = [Date.parse(this.#meta?.first ?? ""), Date.parse(this.#meta?.last ?? "")];
    const isSame = before?.first === this.#meta?.first && before?.last?.slice(0, 10) === this.#meta?.last?.slice(0, 10);
    if (isSame && this.#clock.mode === this.#prefs.time) return;
    try {
      this.#clock = new Clock(this.#prefs.time, firstMs, lastMs);
    } catch {
      this.#clock = new Clock("utc", firstMs, lastMs);
    }
    this.style.setProperty("--time", `${this.#clock.width}ch`);
    this.#engine.repaint();
  }

  #setOffline(problem: Problem | null): void {
    if (problem && FATAL.has(problem.type)) {
      this.#fatal = problem;
      this.#tail?.close();
    } else if (this.#offline === null && problem === null) return;
    if (problem && problem.retryMs === null) this.#say(problem.message, true);
    this.#offline = problem?.retryMs === null ? null : problem;
    this.requestUpdate();
  }

  async #summarise(): Promise<void> {
    const get = (params: Params): Promise<Summary> =>
      this.#api.get<Summary>("summary", { buckets: BUCKETS, ...params });
    // What is wrong with the server the tail says.
    const got = await Promise.all([get({}), get({ by: "line" })]).catch(() => null);
    if (got === null) return;
    const [byTime, byLine] = got;
    this.#buckets = new Buckets(byTime);
    const places = ["error", "critical"].map((level) => byLine.levels.indexOf(level));
    this.#errorsByLine = byLine.buckets.map((bucket) => places.reduce((sum, at) => sum + (bucket[at] ?? 0), 0));
    this.#redraw();
  }

  async #findGroups(): Promise<void> {
    const whole = this.#whole;
    const groups = await fetchGroups(this.#api).catch(() => null);
    if (groups === null || whole !== this.#whole) return;
    const known = this.#heads.all.at(-1)?.head ?? -1;
    this.#heads = new Heads(groups, (head) => this.#whole.folds.isClosed(head));
    const [here, wasAt] = [this.#here, this.#engine.top];
    this.#whole.folds.hide(groups.filter((group) => group.hasEnd).map((group) => group.end - 1));
    this.#whole.folds.close(
      groups.filter((group) => group.collapsed && group.head > known && (here < group.head || here >= group.end)),
    );
    this.#engine.setCount(this.#view.count);
    if (this.#view === this.#whole && wasAt > 0 && !this.#following)
      this.#engine.scrollTo(this.#whole.rowOf(here), "nearest");
    this.#engine.repaint();
    this.requestUpdate();
  }

  async #findAttempts(id: string): Promise<void> {
    const start = /^(.*attempt=)\d+\.log$/s.exec(id)?.[1];
    if (start === undefined) return;
    const list = new Api(this.#api.base.slice(0, this.#api.base.indexOf("/api/v1/logs") + "/api/v1/logs".length));
    const got = await list
      .get<{ logs: { id: string }[] }>("", { prefix: start, limit: 100 })
      .catch(() => ({ logs: [] }));
    this.#attempts = got.logs.flatMap((log) => /^(\d+)\.log$/.exec(log.id.slice(start.length))?.[1] ?? []);
    this.requestUpdate();
  }

  // rows

  #paint(row: HTMLElement, index: number): void {
    const line = this.#view.line(index);
    if (row.dataset.stale === undefined && row.dataset.seq !== undefined) return;
    delete row.dataset.stale;
    const before = index > 0 ? this.#view.line(index - 1) : undefined;
    paintRow(row, index, line, before, {
      clock: this.#clock,
      showsSource: this.#prefs.source,
      range: this.#range,
      current: this.#current,
      search: this.#search,
      marks: this.#marks,
      gapMs: this.#prefs.gapS > 0 ? this.#prefs.gapS * 1000 : Number.POSITIVE_INFINITY,
      heads: this.#heads,
      isClosed: this.#view === this.#whole ? (seq) => this.#whole.folds.isClosed(seq) : null,
    });
  }

  #shown(first: number, last: number, byUser: boolean): void {
    if (this.#view.count)
      this.#view.want(Math.max(0, first - 2 * OVERSCAN), Math.min(last + 2 * OVERSCAN, this.#view.count - 1));
    if (byUser) {
      this.#course.leave();
      this.#setFollowing(this.#engine.atEnd);
    }
    this.#scrolled.ask();
  }

  #setFollowing(following: boolean): void {
    if (following === this.#following) return;
    this.#following = following;
    if (following) {
      this.#left = null;
      this.#passed = null;
    }
    this.requestUpdate();
  }

  #goTo(seq: number, align: "center" | "nearest" | "start" = "center"): void {
    this.#course.leave();
    if (this.#view === this.#whole && this.#whole.folds.reveal(seq)) this.#engine.setCount(this.#view.count);
    this.#setFollowing(false);
    this.#engine.scrollTo(this.#view.rowOf(seq), align);
    this.#engine.repaint();
  }

  /** Where we are on our way to, else the current line where it is on screen, else the one at the top. */
  get #here(): number {
    if (this.#course.seq !== null) return this.#course.seq;
    const [current, top] = [this.#current, this.#view.seqOf(this.#engine.top)];
    const last = this.#view.seqOf(this.#engine.last);
    const isSeen = current !== null && (top === null || last === null || (top <= current && current <= last));
    return isSeen ? current : (top ?? 0);
  }

  #setCurrent(seq: number | null, align?: "center" | "nearest"): void {
    this.#course.leave();
    this.#current = seq;
    if (seq !== null && align) {
      this.#range = null;
      this.#goTo(seq, align);
    }
    this.#engine.repaint();
    this.requestUpdate();
    if (this.#panel === "record") void this.#openRecord();
  }

  // places

  #place(): Place {
    return readPlace(this.hasAttribute("linked") ? new URL(location.href) : new URL("about:blank"));
  }

  /** Let the page's address tell where we are. */
  #keepPlace(): void {
    if (!this.hasAttribute("linked")) return;
    clearTimeout(this.#hashTimer);
    this.#hashTimer = window.setTimeout(() => history.replaceState(null, "", this.#link()), 50);
  }

  #link(): string {
    const range = this.#range ?? (this.#current === null ? null : { first: this.#current, last: this.#current });
    const time = this.#prefs.time === "utc" ? "" : this.#prefs.time;
    const [q, regex] = [this.#search?.wanted.q ?? "", this.#search?.wanted.regex ?? false];
    return writePlace(new URL(location.href), { range, q, regex, filters: this.#filters, time, attempt: "" }).href;
  }

  #hashChanged = (): void => {
    const range = this.hasAttribute("linked") ? readRange(location.hash) : null;
    if (range) this.#choose(range, true);
  };

  #choose(range: Range | null, goes = false): void {
    if (range) this.#setCurrent(range.first, goes ? "center" : undefined);
    this.#range = range;
    this.#keepPlace();
    this.#engine.repaint();
    this.requestUpdate();
  }

  #pageOf(id: string): string {
    return new URL(
      `logs/${id.split("/").map(encodeURIComponent).join("/")}`,
      new URL(this.attribute("home"), document.baseURI),
    ).href;
  }

  /** Ask where something is. Null: nowhere, or nobody wants to know any more. */
  async #locate(params: Params, aim: Aim, nowhere = ""): Promise<number | null> {
    try {
      const found = await this.#api.get<{ seq: number | null }>("locate", params, aim.signal);
      if (!this.#course.keeps(aim)) return null;
      this.#course.leave();
      if (found.seq === null && nowhere) this.#say(nowhere, true);
      return found.seq;
    } catch (error) {
      if (!this.#course.keeps(aim)) return null;
      this.#course.leave();
      if ((error as Problem).retryMs === null) this.#say((error as Error).message, true);
      else this.#setOffline(error as Problem);
      return null;
    }
  }

  async #goToError(by: "next" | "previous"): Promise<void> {
    const from = this.#here;
    const asked = by === "next" ? from + (this.#current === from ? 1 : 0) : from;
    const found = await this.#locate({ error: by, seq: asked }, this.#course.set(), `No ${by} error.`);
    if (found !== null) this.#setCurrent(found, "center");
    this.#keepPlace();
  }

  async #goToText(text: string): Promise<void> {
    const trimmed = text.trim().replace(/^L/i, "");
    const last = (this.#meta?.lines.count ?? 1) - 1;
    if (/^[\d,. ]+$/.test(trimmed)) this.#goToLine(Math.min(Number(trimmed.replace(/\D/g, "")) - 1, last));
    else if (trimmed) await this.#goToTime(trimmed);
  }

  async #goToTime(ts: string): Promise<void> {
    const nowhere = "Nothing was written then or later.";
    const found = await this.#locate({ ts }, this.#course.set(), nowhere);
    if (found !== null) this.#goToLine(found);
  }

  #goToLine(seq: number): void {
    const line = Math.max(0, seq);
    this.#choose({ first: line, last: line }, true);
  }

  // search and filters

  #filterParams(): Params {
    const { level, sources, text, since, until } = this.#filters;
    return { level, source: sources, q: text, since, until };
  }

  /** Search, and go to the first hit from here on if `aim` is kept until it is found. */
  #startSearch(q: string, regex: boolean, aim: Aim | null): void {
    this.#endSearch();
    this.#toHit = aim;
    if (q) {
      const { level, sources, since, until } = this.#filters;
      this.#search = new Search(this.#api, { q, regex }, { level, source: sources, since, until }, () =>
        this.#searched(),
      );
    }
    this.#keepPlace();
    this.#engine.repaint();
    this.#redraw();
    this.requestUpdate();
  }

  #endSearch(): void {
    const search = this.#search;
    this.#search = null;
    search?.cancel();
  }

  #searched(): void {
    const search = this.#search;
    if (search === null) return;
    if (this.#course.keeps(this.#toHit)) {
      const next = search.next(this.#here - 1);
      if (next !== null || (search.whole && search.hits.length)) {
        this.#setCurrent(next ?? search.hits[0]!, "center");
        this.#keepPlace();
      } else if (!search.running) this.#course.leave();
    }
    if (!search.running) this.#say(`${many(search.hits.length, "hit")} for ${search.wanted.q}.`);
    this.#engine.repaint();
    this.#redraw();
    this.requestUpdate();
  }

  #goToHit(by: 1 | -1): void {
    const search = this.#search;
    if (search === null || !search.hits.length) return;
    const from = this.#current ?? this.#here - 1;
    const found = by > 0 ? search.next(from) : search.previous(from);
    if (found === null && search.running && by > 0) {
      this.#toHit = this.#course.set(from + 1);
      return;
    }
    if (found === null)
      this.#say(by > 0 ? "The search goes on from the start." : "The search goes on from the end.", true);
    this.#setCurrent(found ?? search.hits.at(by > 0 ? 0 : -1)!, "center");
    this.#keepPlace();
  }

  #setFilters(filters: Filters): void {
    this.#useFilters(filters, this.#here);
    this.#keepPlace();
    if (this.#search) this.#startSearch(this.#search.wanted.q, this.#search.wanted.regex, null);
  }

  /** Show what passes, and keep to a line. */
  #useFilters(filters: Filters, seq: number, aim = this.#course.set(seq)): void {
    this.#filters = filters;
    this.#setFollowing(false);
    if (!isFiltered(filters)) {
      this.#use(this.#whole);
      this.#goTo(seq, "center");
    } else {
      const view = new FilteredView(this.#api, this.#filterParams(), seq, this.#viewHost(), (row, isThere) => {
        if (!this.#course.keeps(aim)) return;
        this.#engine.scrollTo(row, "center");
        if (isThere) this.#course.leave();
      });
      this.#use(view);
      this.#engine.scrollTo(0, "start");
    }
    this.requestUpdate();
  }

  // records and folds

  async #openRecord(): Promise<void> {
    const seq = this.#current ?? this.#here;
    const line = this.#view.line(this.#view.rowOf(seq));
    if (line === undefined) return;
    this.#course.leave();
    this.#current = seq;
    this.#panel = "record";
    void this.#loadAside();
    if (this.#recordLines[0]?.seq !== (line.record?.seq ?? seq)) {
      const shown = [line];
      this.#recordPieces = 1;
      this.#recordLines = shown;
      const whole = await this.#whole.record(line).catch(() => shown);
      // Another record may be looked at by now.
      if (this.#recordLines === shown) this.#recordLines = whole;
    }
    this.requestUpdate();
  }

  #fold(seq: number): void {
    const folds = this.#whole.folds;
    if (this.#view !== this.#whole) return;
    const record = this.#whole.line(this.#whole.rowOf(seq))?.record;
    const ofRecord = record && record.lines > 1 ? { head: record.seq, end: record.seq + record.lines } : undefined;
    const fold = this.#heads.groupAt(seq) ?? ofRecord ?? this.#heads.around(seq);
    if (fold === undefined) return;
    if (folds.isClosed(fold.head)) folds.open([fold.head]);
    else folds.close([fold]);
    this.#course.leave();
    this.#current = fold.head;
    this.#folded(fold.head);
  }

  #foldAll(): void {
    const folds = this.#whole.folds;
    if (this.#view !== this.#whole) return;
    const here = this.#here;
    if (folds.size) folds.openAll();
    else folds.close(this.#heads.all);
    this.#folded(this.#whole.seqOf(this.#whole.rowOf(here)) ?? here);
  }

  #folded(seq: number): void {
    this.#engine.setCount(this.#view.count);
    this.#engine.scrollTo(this.#view.rowOf(seq), "nearest");
    this.#engine.repaint();
    this.requestUpdate();
  }

  // commands

  #keyTarget: EventTarget = this;

  #key = (given: Event): void => {
    const event = given as KeyboardEvent;
    const origin = event.composedPath()[0] as HTMLElement;
    const isTyping = origin instanceof HTMLInputElement && origin.type !== "checkbox";
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "f") {
      if (origin.matches(".query")) return; // the second time it is the browser's own
      event.preventDefault();
      this.#run("search");
      return;
    }
    if (event.defaultPrevented || (isTyping && event.key !== "Escape") || origin.matches("select")) return;
    if ((event.key === "Enter" || event.key === " ") && origin.matches("button, a, summary, [role=group]")) return;
    if (origin.closest(".body") && /^(Arrow|Page|Home|End)/.test(event.key)) return;
    const command = commandOf(event, this.#prefs.keys);
    if (command === undefined || (this.#dialog.open && command !== "help")) return;
    event.preventDefault();
    this.#run(command);
  };

  readonly #commands: Readonly<Record<Command, () => void>> = {
    down: () => this.#step(1),
    up: () => this.#step(-1),
    pageDown: () => this.#page(1),
    pageUp: () => this.#page(-1),
    start: () => this.#goToRow(0),
    end: () => this.#goToLast(),
    follow: () => (this.#following ? this.#setFollowing(false) : this.#goToLast()),
    search: () => this.#focusIn(".query"),
    nextHit: () => this.#goToHit(1),
    previousHit: () => this.#goToHit(-1),
    nextError: () => void this.#goToError("next"),
    previousError: () => void this.#goToError("previous"),
    nextGroup: () => this.#goToGroup(1),
    previousGroup: () => this.#goToGroup(-1),
    fold: () => this.#fold(this.#here),
    foldAll: () => this.#foldAll(),
    goto: () => this.#showDialog("goto"),
    level1: () => this.#setLevel(0),
    level2: () => this.#setLevel(1),
    level3: () => this.#setLevel(2),
    level4: () => this.#setLevel(3),
    level5: () => this.#setLevel(4),
    wrap: () => this.#setPrefs({ wrap: !this.#prefs.wrap }),
    time: () => this.#nextTime(),
    source: () => this.#setPrefs({ source: !this.#prefs.source }),
    mark: () => this.#mark(),
    nextMark: () => this.#goToMark(1),
    previousMark: () => this.#goToMark(-1),
    copyLink: () => void this.#copyLink(),
    download: () => this.#openMenu(".download"),
    fullScreen: () => void this.#fullScreen(),
    open: () => void this.#openRecord(),
    help: () => this.#showDialog("help"),
    close: () => this.#close(),
  };

  #run(command: Command): void {
    this.#commands[command]();
  }

  #step(by: 1 | -1): void {
    this.#course.leave();
    const edge = by > 0 ? this.#engine.top : this.#engine.last;
    const row = this.#here === this.#current ? this.#view.rowOf(this.#here) + by : edge;
    const next = Math.max(0, Math.min(this.#view.count - 1, row));
    const seq = this.#view.seqOf(next);
    if (seq === null) return;
    this.#range = null;
    this.#setFollowing(false);
    this.#current = seq;
    this.#engine.scrollTo(next, "nearest");
    this.#engine.repaint();
    this.requestUpdate();
    if (this.#panel === "record") void this.#openRecord();
  }

  #page(by: 1 | -1): void {
    this.#course.leave();
    // At once: what comes before the next frame must not take the reader back to the end.
    this.#setFollowing(false);
    this.#current = null;
    this.#engine.moveBy(by * Math.max(1, this.#engine.pageRows - 2) * this.#engine.rowPx);
  }

  #goToRow(row: number): void {
    this.#course.leave();
    this.#setFollowing(false);
    this.#current = this.#view.seqOf(row);
    this.#engine.scrollTo(row, "start");
    this.#engine.repaint();
  }

  #goToLast(): void {
    this.#course.leave();
    this.#current = null;
    this.#setFollowing(true);
    this.#left = null;
    this.#engine.scrollToEnd();
    this.#engine.repaint();
    this.requestUpdate();
  }

  #goToGroup(by: 1 | -1): void {
    const found = this.#heads.step(this.#here, by);
    if (found === null) this.#say(by > 0 ? "No next group." : "No previous group.", true);
    else this.#setCurrent(found, "center");
  }

  #setLevel(at: number): void {
    this.#setFilters({ ...this.#filters, level: LEVEL_KEYS[at]! });
  }

  #setPrefs(change: Partial<Prefs>): void {
    this.#prefs = { ...this.#prefs, ...change };
    keepPrefs(this.#prefs);
    if (change.wrap !== undefined) this.#engine.setWrap(change.wrap);
    this.#newClock(this.#meta);
    this.#keepPlace();
    this.#engine.repaint();
    this.#redraw();
    this.requestUpdate();
  }

  #nextTime(): void {
    const at = TIME_MODES.indexOf(this.#prefs.time);
    this.#setPrefs({ time: TIME_MODES[(at + 1) % TIME_MODES.length]! });
  }

  #mark(): void {
    const seq = this.#here;
    if (!this.#marks.delete(seq) && this.#marks.size < MAX_MARKS) this.#marks.add(seq);
    this.#setCurrent(seq);
  }

  #goToMark(by: 1 | -1): void {
    const marks = [...this.#marks].sort((one, two) => by * (one - two));
    const found = marks.find((mark) => by * (mark - this.#here) > 0) ?? marks[0];
    if (found === undefined) this.#say("No line is marked: m marks one.", true);
    else this.#setCurrent(found, "center");
  }

  async #copyLink(): Promise<void> {
    this.#current ??= this.#here;
    await this.#copy(
      this.hasAttribute("linked") ? this.#link() : `${this.#pageOf(this.#meta?.id ?? "")}#L${this.#current + 1}`,
      "The link",
    );
    this.#keepPlace();
    this.#engine.repaint();
  }

  /** Copy lines as they were written: from the server, not from the page. */
  async #copyLines(range: Range): Promise<void> {
    try {
      const text = await this.#api.text("rows", { from: range.first, n: Math.min(1000, range.last - range.first + 1) });
      await this.#copy(text, range.last - range.first >= 1000 ? "The first 1,000 lines" : "The text");
    } catch (error) {
      this.#say((error as Error).message, true);
    }
  }

  async #copy(text: string, what: string): Promise<void> {
    const copied = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    );
    this.#say(copied ? `${what} is on the clipboard.` : "The browser did not let it be copied.", true);
  }

  async #fullScreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.requestFullscreen().catch(() => this.#say("The browser refused full screen.", true));
  }

  /** Close what is open, else cancel the search, else let go of what is chosen. */
  #close(): void {
    const menu = this.root.querySelector<HTMLDetailsElement>("details[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary")!.focus();
      return;
    }
    if (this.#panel) this.#panel = "";
    else if (this.#search?.running) this.#cancelSearch();
    else if (this.#search) this.#startSearch("", false, null);
    else if (this.#range) this.#choose(null);
    else this.#notice = null;
    this.#focusIn(".scroller");
    this.requestUpdate();
  }

  #cancelSearch(): void {
    this.#course.leave();
    this.#search?.cancel();
  }

  #focusIn(selector: string): void {
    const found = this.root.querySelector<HTMLElement>(selector);
    found?.focus({ preventScroll: true });
    if (found instanceof HTMLInputElement) found.select();
  }

  #openMenu(selector: string): void {
    const menu = this.root.querySelector<HTMLDetailsElement>(`details${selector}`)!;
    menu.open = true;
    this.#menu = selector.slice(1);
    void this.#loadAside().then(async () => {
      this.requestUpdate();
      await this.updated;
      menu.querySelector<HTMLElement>("a, button, input, select")?.focus();
    });
  }

  get #dialog(): HTMLDialogElement {
    return this.root.querySelector("dialog")!;
  }

  #dialogKind: "" | "help" | "goto" = "";

  #showDialog(kind: "help" | "goto"): void {
    if (this.#dialog.open) {
      this.#dialog.close();
      return;
    }
    this.#dialogKind = kind;
    if (kind === "help") void this.#loadAside();
    this.requestUpdate();
    void this.updated.then(() => this.#dialog.showModal());
  }

  #setNotice(text: string, actions: readonly (readonly [string, () => void])[]): void {
    this.#notice = { text, actions };
    this.#say(text);
    this.requestUpdate();
  }

  /** Say something to who cannot see it, at most every few seconds; `seen`: to all. */
  #say(text: string, seen = false): void {
    if (seen) this.#notice = { text, actions: [] };
    clearTimeout(this.#sayTimer);
    this.#sayTimer = window.setTimeout(
      () => {
        this.#said = text;
        this.#saidAt = performance.now();
        this.requestUpdate();
      },
      Math.max(100, this.#saidAt + STATUS_MS - performance.now()),
    );
    this.requestUpdate();
  }

  // mouse

  #clicked(event: MouseEvent): void {
    const target = event.target as HTMLElement;
    const row = target.closest<HTMLElement>(".row");
    const seq = row?.dataset.seq ? Number(row.dataset.seq) : null;
    if (row === null || seq === null) return;
    if (target.closest(".fold")) this.#fold(seq);
    else if (target.closest(".more")) {
      this.#current = seq;
      void this.#openRecord();
    } else if (target.closest(".n")) {
      event.preventDefault();
      const from = event.shiftKey ? (this.#range?.first ?? this.#current ?? seq) : seq;
      this.#choose({ first: Math.min(from, seq), last: Math.max(from, seq) });
    } else if (!target.closest("a") && getSelection()?.isCollapsed !== false) {
      if (event.detail === 2) void this.#openRecord();
      else this.#setCurrent(seq);
    }
    this.#engine.repaint();
  }

  #partAt(event: PointerEvent): number {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  }

  #timeDown(event: PointerEvent): void {
    if (this.#buckets === undefined) return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const part = this.#partAt(event);
    this.#picked = { from: part, to: part };
  }

  #timeMove(event: PointerEvent): void {
    this.#hovered = this.#partAt(event);
    if (this.#picked) this.#picked = { ...this.#picked, to: this.#hovered };
    this.#drawTime();
    this.requestUpdate();
  }

  #timeUp(event: PointerEvent): void {
    const [picked, buckets] = [this.#picked, this.#buckets];
    this.#picked = null;
    if (picked === null || buckets === undefined) return;
    const width = (event.currentTarget as HTMLElement).clientWidth;
    const isDrag = Math.abs(picked.to - picked.from) * width > 4;
    const iso = (part: number): string => new Date(buckets.msAt(part)).toISOString();
    if (isDrag) {
      const [from, to] = [Math.min(picked.from, picked.to), Math.max(picked.from, picked.to)];
      this.#setFilters({ ...this.#filters, since: iso(from), until: to >= 1 ? "" : iso(to) });
    } else {
      void this.#goToTime(iso(picked.from));
    }
    this.#redraw();
  }

  #redraw = (): void => {
    if (!this.isConnected) return;
    for (const each of this.root.querySelectorAll("canvas")) fitCanvas(each);
    this.#drawTime();
    const canvas = this.root.querySelector<HTMLCanvasElement>(".ticks");
    const lines = this.#meta?.lines.count ?? 0;
    if (!canvas || !lines) return;
    const hits = this.#search?.hits ?? [];
    drawTicks(canvas, isFiltered(this.#filters) ? [] : this.#errorsByLine, partsOf(hits, lines));
  };

  #drawTime(): void {
    const canvas = this.root.querySelector<HTMLCanvasElement>(".timeline canvas");
    if (!canvas || this.#buckets === undefined) return;
    const first = this.#view.line(this.#engine.top);
    const last = this.#view.line(Math.min(this.#view.count - 1, this.#engine.top + this.#engine.pageRows));
    const seen: Span | null = first && last ? { firstMs: first.ms, lastMs: last.ms } : null;
    const { from, to } = this.#picked ?? { from: 0, to: 0 };
    const picked: Span | null = this.#picked
      ? { firstMs: this.#buckets.msAt(Math.min(from, to)), lastMs: this.#buckets.msAt(Math.max(from, to)) }
      : null;
    drawTimeline(canvas, this.#buckets, seen, picked);
  }

  // what it looks like

  override update(): void {
    if (this.#prefs.theme) this.setAttribute("theme", this.#prefs.theme);
    const digits = String(this.#meta?.lines.count ?? 0).length;
    this.style.setProperty("--digits", `${Math.max(4, digits)}ch`);
    super.update();
  }

  override render(): TemplateResult {
    const shown = this.#shownNow();
    return html`${toolbar(shown)}
      <section class="timeline" aria-label="Timeline" @pointerleave=${() => {
        this.#hovered = null;
        this.requestUpdate();
      }}>
        <canvas
          role="img"
          aria-label=${this.#timelineTold()}
          @pointerdown=${(event: PointerEvent) => this.#timeDown(event)}
          @pointermove=${(event: PointerEvent) => this.#timeMove(event)}
          @pointerup=${(event: PointerEvent) => this.#timeUp(event)}
        ></canvas><i></i>
        ${this.#hint()}
      </section>
      <section class="middle" aria-label="Log">
        ${this.#gaps()} ${this.#strip()}
        <div class="table">
          <div
            class="scroller"
            tabindex="0"
            role="table"
            aria-label="Log lines"
            aria-rowcount=${this.#meta?.lines.exact ? this.#view?.count : -1}
            @click=${(event: MouseEvent) => this.#clicked(event)}
          >
            <div class="spacer" role="presentation"><div class="layer" role="rowgroup"></div></div>
          </div>
          <canvas class="ticks" aria-hidden="true"></canvas><i></i>
          ${this.#sticky()} ${this.#empty()} ${this.#pill()}
        </div>
        ${this.#panelShown()}
      </section>
      ${footer(shown)}
      <p class="sr" role="status">${this.#said}</p>
      <dialog aria-label=${this.#dialogKind === "help" ? "Keys" : "Go to"} @close=${() => {
        this.#dialogKind = "";
        this.requestUpdate();
      }} @click=${(event: MouseEvent) => {
        if (event.target === event.currentTarget) this.#dialog.close();
      }}>
        ${this.#dialogBody()}
      </dialog>`;
  }

  #shownNow(): Shown {
    return {
      meta: this.#meta,
      home: this.getAttribute("home"),
      prefs: this.#prefs,
      filters: this.#filters,
      search: this.#search,
      hit: this.#current === null ? 0 : (this.#search?.numberOf(this.#current) ?? 0),
      clock: this.#clock,
      following: this.#following,
      offline: this.#offline,
      row: this.#engine ? this.#engine.top : 0,
      seq: this.#engine ? (this.#current ?? this.#view.seqOf(this.#engine.top)) : null,
      view: this.#view,
      attempts: this.#attempts,
      menu: this.#menu,
      aside: this.#aside,
      raw: (params) => this.#api.address("raw", params),
      pageOf: (id) => this.#pageOf(id),
      act: {
        search: (q, regex, back) => {
          const isSame = this.#search?.wanted.q === q && this.#search.wanted.regex === regex;
          if (isSame) this.#goToHit(back ? -1 : 1);
          else this.#startSearch(q, regex, this.#course.set(this.#here));
        },
        cancel: () => this.#cancelSearch(),
        run: (command) => this.#run(command),
        filter: (filters) => this.#setFilters(filters),
        prefs: (change) => this.#setPrefs(change),
        sources: () => {
          this.#panel = this.#panel === "sources" ? "" : "sources";
          void this.#loadAside();
          this.requestUpdate();
        },
        menu: (name, open) => {
          if (open) {
            this.#menu = name;
            void this.#loadAside();
          }
          if (!open && this.#menu === name) this.#menu = "";
          this.requestUpdate();
        },
        say: (text) => this.#say(text, true),
      },
    };
  }

  #timelineTold(): string {
    const meta = this.#meta;
    if (!meta?.first) return "Timeline: no times.";
    const errors = errorsOf(meta);
    return `Timeline of ${many(meta.records, "record")} with ${many(errors, "error")}; colon goes to a time.`;
  }

  #hint(): unknown {
    if (this.#hovered === null || this.#buckets === undefined || !this.#buckets.counts.length) return nothing;
    const buckets = this.#buckets;
    const text = this.#picked
      ? `${this.#clock.full(buckets.msAt(this.#picked.from))} – ${this.#clock.full(buckets.msAt(this.#picked.to))}`
      : `${this.#clock.full(buckets.msAt(this.#hovered))} · ${buckets.told(this.#hovered)}`;
    return html`<span class="hint">${text}</span>`;
  }

  /** What is missing, above the lines: why, and what can be done. */
  #gaps(): unknown {
    const gaps = this.#meta?.sources.flatMap((source) => source.gaps) ?? [];
    const gap = gaps[0];
    if (gap === undefined || gaps.length <= this.#gapsRead || !this.#view.count) return nothing;
    const lost = gap.lost_bytes ? ` (${bytes(gap.lost_bytes)})` : "";
    return html`<div class="strip gap" role="note">
      <b>Gap</b>
      <span>${visible(gap.source ?? "")}: ${visible(gap.detail)}${lost} <i>${visible(gap.next_action ?? "")}</i></span>
      <button @click=${() => this.#shownNow().act.sources()}>${gaps.length > 1 ? `All ${gaps.length} gaps` : "Sources"}</button>
      <button class="quiet" aria-label="Dismiss" @click=${() => {
        this.#gapsRead = gaps.length;
        this.requestUpdate();
      }}>✕</button>
    </div>`;
  }

  #strip(): unknown {
    if (this.#range) {
      const { first, last } = this.#range;
      const count = last - first + 1;
      const range = this.#range;
      return html`<div class="strip" role="group" aria-label="Chosen lines">
        <span>${count > 1 ? `Lines ${(first + 1).toLocaleString("en")}–${(last + 1).toLocaleString("en")}` : `Line ${(first + 1).toLocaleString("en")}`}</span>
        <button @click=${() => this.#copyLink()}>Copy link</button>
        <button @click=${() => this.#copyLines(range)}>Copy text</button>
        <button class="quiet" @click=${() => this.#choose(null)}>Clear</button>
      </div>`;
    }
    if (this.#passed && this.#following) {
      const { from, lines } = this.#passed;
      return html`<div class="strip passing">
        <span>${many(lines, "line")} went by, too fast to read.</span>
        <button @click=${() => {
          this.#passed = null;
          this.#setCurrent(from, "center");
        }}>Open them</button>
      </div>`;
    }
    if (this.#notice === null) return nothing;
    return html`<div class="strip">
      <span>${this.#notice.text}</span>
      ${this.#notice.actions.map(([name, run]) => html`<button @click=${run}>${name}</button>`)}
      <button class="quiet" aria-label="Dismiss" @click=${() => {
        this.#notice = null;
        this.requestUpdate();
      }}>✕</button>
    </div>`;
  }

  #sticky(): unknown {
    if (!this.#engine || this.#view !== this.#whole) return nothing;
    const top = this.#view.seqOf(this.#engine.top);
    const group = top === null ? undefined : this.#heads.around(top);
    if (group?.title === undefined || group.head === top) return nothing;
    const head = this.#heads.at(group.head)!;
    return html`<button class="sticky" @click=${() => this.#setCurrent(group.head, "center")}>
      ▾ <b>${group.title}</b> <span class="dim">${head.note}</span>
    </button>`;
  }

  #empty(): unknown {
    if (this.#fatal) return this.#fatalShown(this.#fatal);
    const meta = this.#meta;
    if (meta === undefined)
      return this.#offline ? html`<div class="empty"><p>${this.#offline.message} Trying again …</p></div>` : nothing;
    if (this.#view.count > 0) return nothing;
    if (isFiltered(this.#filters)) {
      const scanning = this.#view instanceof FilteredView && !this.#view.whole;
      return html`<div class="empty">
        <h2>${scanning ? "Looking …" : "Nothing passes the filters"}</h2>
        <p><button @click=${() => this.#setFilters(NO_FILTERS)}>Show everything</button></p>
      </div>`;
    }
    if (!meta.lines.exact) return html`<div class="empty"><h2>Counting lines …</h2></div>`;
    const isOver = ["succeeded", "failed", "ended"].includes(meta.state ?? "");
    const gaps = meta.sources.flatMap((source) => source.gaps);
    return html`<div class="empty">
      <h2>${isOver ? "Nothing was written" : "Nothing has been written yet"}</h2>
      <p>${gaps.length ? `${gaps[0]!.detail} ${gaps[0]!.next_action ?? ""}` : isOver ? "The log has ended, and is empty." : "Lines appear here as they come."}</p>
      <p><button @click=${() => this.#shownNow().act.sources()}>Why is there no log?</button></p>
    </div>`;
  }

  #fatalShown(problem: Problem): TemplateResult {
    const signIn = `${this.attribute("home")}sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
    return html`<div class="empty" role="alert">
      <h2>${problem.status === 404 ? "There is no such log" : problem.status === 401 ? "You are not signed in" : "This log cannot be shown"}</h2>
      <p>${problem.message}</p>
      ${problem.near.length ? html`<p>Did you mean:</p><ul>${problem.near.map((id) => html`<li><a href=${this.#pageOf(id)}>${id}</a></li>`)}</ul>` : nothing}
      <p>
        ${problem.status === 401 ? html`<a class="button" href=${signIn}>Sign in</a>` : nothing}
        <a class="button" href=${this.attribute("home") || "."}>All logs</a>
      </p>
    </div>`;
  }

  #pill(): unknown {
    const [meta, left] = [this.#meta, this.#left];
    if (!meta || !left || this.#following || isFiltered(this.#filters)) return nothing;
    const lines = meta.lines.count - left.lines;
    const errors = errorsOf(meta) - left.errors;
    if (lines <= 0) return nothing;
    return html`<button class="pill" @click=${() => this.#goToLast()}>
      ${lines.toLocaleString("en")} new${errors > 0 ? html`, <b>${many(errors, "error")}</b>` : nothing} ↓
    </button>`;
  }

  #panelShown(): unknown {
    const close = (): void => {
      this.#panel = "";
      this.#focusIn(".scroller");
      this.requestUpdate();
    };
    const aside = this.#aside;
    if (aside === null) return nothing;
    if (this.#panel === "sources" && this.#meta) return aside.sourcesPanel(this.#meta, close);
    const first = this.#recordLines[0];
    if (this.#panel !== "record" || first === undefined) return nothing;
    const seq = first.seq ?? 0;
    const context = (): void => {
      this.#useFilters(NO_FILTERS, seq);
      this.#keepPlace();
    };
    return aside.recordPanel(this.#recordLines, this.#clock.full(first.ms), this.#recordPieces, {
      close,
      copyLink: () => void this.#copyLink(),
      copyText: () => void this.#copyLines({ first: seq, last: seq + this.#recordLines.length - 1 }),
      context: isFiltered(this.#filters) ? context : null,
      more: () => {
        this.#recordPieces += 1;
        this.requestUpdate();
      },
    });
  }

  #dialogBody(): unknown {
    if (this.#dialogKind === "goto")
      return gotoForm((text) => {
        this.#dialog.close();
        void this.#goToText(text);
        this.#focusIn(".scroller");
      });
    if (!this.#dialogKind) return nothing;
    return html`<div class="head"><h2>Keys</h2><button class="quiet" aria-label="Close" @click=${() => this.#dialog.close()}>✕</button></div>
      ${this.#aside?.helpBody(this.#prefs.keys, (keys) => this.#setPrefs({ keys }))}`;
  }
}

/** What is told of a log that is being counted again, by a server that was restarted: nothing of it is gone. */
function goingOn(before: Meta, meta: Meta): Meta {
  const isCounting = !meta.lines.exact && (meta.bytes ?? 0) >= (before.bytes ?? 0);
  return isCounting && meta.lines.count < before.lines.count ? { ...meta, lines: before.lines } : meta;
}

function errorsOf(meta: Meta): number {
  return (meta.levels.error ?? 0) + (meta.levels.critical ?? 0);
}

function* partsOf(hits: readonly number[], lines: number): Generator<number> {
  for (const hit of hits) yield hit / lines;
}
