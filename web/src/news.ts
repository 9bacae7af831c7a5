/** What the server tells of the log: at first, and whenever it has changed. */

import { Api, errorsOf, type Meta, Problem } from "./api";
import type { Desk } from "./desk";
import type { Finder } from "./finder";
import type { Folding } from "./folding";
import { Heads } from "./groups";
import { withAttempt } from "./link";
import type { Notices } from "./notices";
import type { Opening } from "./opening";
import type { Overview } from "./overview";
import type { Reader } from "./reader";
import { sleep, Tail } from "./tail";
import { FilteredView, FixedView, isFiltered } from "./view";

/** More screens of rows than that at once are too fast to read. */
const TOO_FAST_SCREENS = 4;

export class News {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;
  readonly #finder: Finder;
  readonly #folding: Folding;
  readonly #overview: Overview;
  readonly #opening: Opening;
  tail: Tail | undefined;
  /** Whether all lines were counted once: what comes from then on is new. */
  #isCounted = false;
  attempts: readonly string[] = [];

  constructor(
    desk: Desk,
    reader: Reader,
    notices: Notices,
    finder: Finder,
    folding: Folding,
    overview: Overview,
    opening: Opening,
  ) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
    this.#finder = finder;
    this.#folding = folding;
    this.#overview = overview;
    this.#opening = opening;
  }

  /** Whoever goes anywhere while this waits for answers, stays there. */
  async open(): Promise<void> {
    const place = this.#reader.place();
    const aim = this.#desk.course.set(place.range?.first ?? null);
    if (place.time) this.#desk.prefs = { ...this.#desk.prefs, time: place.time };
    this.#desk.range = place.range;
    this.#desk.current = place.range?.first ?? null;
    if (isFiltered(place.filters)) this.#finder.useFilters(place.filters, place.range?.first ?? 0, aim);
    else this.#desk.whole.prefetch(place.range?.first ?? 0);
    if (place.q) this.#finder.startSearch(place.q, place.regex, place.range ? null : aim);
    const meta = await this.#firstMeta();
    if (meta === null) return;
    const other = place.attempt ? withAttempt(meta.id, place.attempt) : null;
    if (other !== null && this.#desk.host.isLinked) {
      location.replace(this.#desk.pageOf(other));
      return;
    }
    this.#told(meta);
    this.tail = new Tail(this.#desk.api, {
      told: (news) => this.#told(news),
      failed: (problem) => {
        this.#notices.setOffline(problem);
        if (this.#notices.fatal) this.tail?.close();
      },
    });
    void this.tail.run(meta);
    void this.#findAttempts(meta.id);
    this.#folding.groups.ask();
    if (this.#desk.course.keeps(aim) && !isFiltered(place.filters)) await this.#opening.goToStart(meta, place, aim);
  }

  async #firstMeta(): Promise<Meta | null> {
    for (;;) {
      try {
        const meta = await this.#desk.api.get<Meta>("meta");
        this.#notices.setOffline(null);
        return meta;
      } catch (error) {
        const problem = error as Problem;
        if (problem.retryMs === null || !(error instanceof Problem)) {
          this.#notices.fatal = problem;
          this.#desk.host.changed();
          return null;
        }
        this.#notices.setOffline(problem);
        await sleep(problem.retryMs);
      }
    }
  }

  #told(given: Meta): void {
    const before = this.#desk.meta;
    const meta = before ? goingOn(before, given) : given;
    this.#desk.meta = meta;
    if (before && meta.lines.count < before.lines.count) this.#begunAnew();
    this.#desk.whole.lines = meta.lines.count;
    if (this.#desk.view instanceof FixedView && meta.lines.exact) this.#desk.use(this.#desk.whole);
    if (this.#desk.view instanceof FilteredView && before && before.lines.count !== meta.lines.count)
      this.#desk.view.grown();
    this.#desk.newClock(before);
    if (before && meta.lines.count > before.lines.count) this.#grew(before, meta);
    this.#desk.engine.setCount(this.#desk.view.count);
    if (this.#reader.following) this.#desk.engine.scrollToEnd();
    this.#opening.arrive(meta);
    if (!before || meta.lines.exact !== before.lines.exact || meta.lines.count !== before.lines.count)
      this.#overview.summary.ask();
    this.#desk.host.changed();
  }

  #begunAnew(): void {
    this.#desk.course.leave();
    this.#desk.whole.close();
    this.#desk.whole = this.#desk.newWhole();
    if (isFiltered(this.#desk.filters)) this.#finder.useFilters(this.#desk.filters, 0);
    else this.#desk.use(this.#desk.whole);
    this.#folding.heads = new Heads([], () => false);
    this.#folding.groups.ask();
    this.#reader.left = null;
    this.#reader.passed = null;
    this.#notices.setNotice("The log was cut or replaced; this is what there is now.", []);
  }

  #grew(before: Meta, meta: Meta): void {
    const more = meta.lines.count - before.lines.count;
    // Lines that are being counted for the first time are not new.
    this.#isCounted ||= before.lines.exact;
    if (!this.#isCounted) return;
    if (!this.#reader.following) {
      this.#reader.left ??= { lines: before.lines.count, errors: errorsOf(before) };
    } else if (more > TOO_FAST_SCREENS * this.#desk.engine.pageRows) {
      const from = this.#reader.passed?.from ?? before.lines.count;
      this.#reader.passed = { from, lines: meta.lines.count - this.#desk.engine.pageRows - from };
    }
    if (meta.lines.exact) this.#folding.groups.ask();
  }

  async #findAttempts(id: string): Promise<void> {
    const start = /^(.*attempt=)\d+\.log$/s.exec(id)?.[1];
    if (start === undefined) return;
    const list = new Api(
      this.#desk.api.base.slice(0, this.#desk.api.base.indexOf("/api/v1/logs") + "/api/v1/logs".length),
    );
    const got = await list
      .get<{ logs: { id: string }[] }>("", { prefix: start, limit: 100 })
      .catch(() => ({ logs: [] }));
    this.attempts = got.logs.flatMap((log) => /^(\d+)\.log$/.exec(log.id.slice(start.length))?.[1] ?? []);
    this.#desk.host.changed();
  }
}

/** What is told of a log that is being counted again, by a server that was restarted: nothing of it is gone. */
function goingOn(before: Meta, meta: Meta): Meta {
  const isCounting = !meta.lines.exact && (meta.bytes ?? 0) >= (before.bytes ?? 0);
  return isCounting && meta.lines.count < before.lines.count ? { ...meta, lines: before.lines } : meta;
}
