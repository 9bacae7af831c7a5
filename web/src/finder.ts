/** Search and filters: both are the server's work; here is what they mean for the reader's place. */

import type { Params } from "./api";
import type { Aim } from "./course";
import type { Desk } from "./desk";
import type { Filters } from "./link";
import type { Notices } from "./notices";
import type { Reader } from "./reader";
import { Search } from "./search";
import { FilteredView, isFiltered } from "./view";
import { many } from "./words";

const LEVEL_KEYS = ["", "info", "warning", "error", "critical"];

export class Finder {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;
  #toHit: Aim | null = null;

  constructor(desk: Desk, reader: Reader, notices: Notices) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
  }

  #filterParams(): Params {
    const { level, sources, text, since, until } = this.#desk.filters;
    return { level, source: sources, q: text, since, until };
  }

  /** Search, and go to the first hit from here on if `aim` is kept until it is found. */
  startSearch(q: string, regex: boolean, aim: Aim | null): void {
    this.#endSearch();
    this.#toHit = aim;
    if (q) {
      const { level, sources, since, until } = this.#desk.filters;
      this.#desk.search = new Search(this.#desk.api, { q, regex }, { level, source: sources, since, until }, () =>
        this.#searched(),
      );
    }
    this.#reader.keepPlace();
    this.#desk.engine.repaint();
    this.#desk.host.redraw();
    this.#desk.host.changed();
  }

  #endSearch(): void {
    const search = this.#desk.search;
    this.#desk.search = null;
    search?.cancel();
  }

  #searched(): void {
    const search = this.#desk.search;
    if (search === null) return;
    if (this.#desk.course.keeps(this.#toHit)) {
      const next = search.next(this.#reader.here - 1);
      if (next !== null || (search.whole && search.hits.length)) {
        this.#reader.setCurrent(next ?? search.hits[0]!, "center");
        this.#reader.keepPlace();
      } else if (!search.running) this.#desk.course.leave();
    }
    if (!search.running) this.#notices.say(`${many(search.hits.length, "hit")} for ${search.wanted.q}.`);
    this.#desk.engine.repaint();
    this.#desk.host.redraw();
    this.#desk.host.changed();
  }

  goToHit(by: 1 | -1): void {
    const search = this.#desk.search;
    if (search === null || !search.hits.length) return;
    const from = this.#desk.current ?? this.#reader.here - 1;
    const found = by > 0 ? search.next(from) : search.previous(from);
    if (found === null && search.running && by > 0) {
      this.#toHit = this.#desk.course.set(from + 1);
      return;
    }
    if (found === null)
      this.#notices.say(by > 0 ? "The search goes on from the start." : "The search goes on from the end.", true);
    this.#reader.setCurrent(found ?? search.hits.at(by > 0 ? 0 : -1)!, "center");
    this.#reader.keepPlace();
  }

  setFilters(filters: Filters): void {
    this.useFilters(filters, this.#reader.here);
    this.#reader.keepPlace();
    if (this.#desk.search) this.startSearch(this.#desk.search.wanted.q, this.#desk.search.wanted.regex, null);
  }

  /** Show what passes, and keep to a line. */
  useFilters(filters: Filters, seq: number, aim = this.#desk.course.set(seq)): void {
    this.#desk.filters = filters;
    this.#reader.setFollowing(false);
    if (!isFiltered(filters)) {
      this.#desk.use(this.#desk.whole);
      this.#reader.goTo(seq, "center");
    } else {
      const view = new FilteredView(
        this.#desk.api,
        this.#filterParams(),
        seq,
        this.#desk.viewHost(),
        (row, isThere) => {
          if (!this.#desk.course.keeps(aim)) return;
          this.#desk.engine.scrollTo(row, "center");
          if (isThere) this.#desk.course.leave();
        },
      );
      this.#desk.use(view);
      this.#desk.engine.scrollTo(0, "start");
    }
    this.#desk.host.changed();
  }

  setLevel(at: number): void {
    this.setFilters({ ...this.#desk.filters, level: LEVEL_KEYS[at]! });
  }

  cancelSearch(): void {
    this.#desk.course.leave();
    this.#desk.search?.cancel();
  }
}
