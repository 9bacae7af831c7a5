/** What stands above, over or instead of the rows: strips, the pill, and states with a reason and a next action. */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import { errorsOf, type Problem } from "./api";
import type { Clips } from "./clips";
import type { Desk } from "./desk";
import type { Finder } from "./finder";
import type { Folding } from "./folding";
import { NO_FILTERS } from "./link";
import type { Notices } from "./notices";
import type { Reader } from "./reader";
import type { RecordPanel } from "./record";
import { FilteredView, isFiltered } from "./view";
import { bytes, many } from "./words";

export class Faces {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;
  readonly #finder: Finder;
  readonly #folding: Folding;
  readonly #record: RecordPanel;
  readonly #clips: Clips;

  constructor(
    desk: Desk,
    reader: Reader,
    notices: Notices,
    finder: Finder,
    folding: Folding,
    record: RecordPanel,
    clips: Clips,
  ) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
    this.#finder = finder;
    this.#folding = folding;
    this.#record = record;
    this.#clips = clips;
  }

  /** What is missing, above the lines: why, and what can be done. */
  gaps(): unknown {
    const gaps = this.#desk.meta?.sources.flatMap((source) => source.gaps) ?? [];
    const gap = gaps[0];
    if (gap === undefined || gaps.length <= this.#notices.gapsRead || !this.#desk.view.count) return nothing;
    const lost = gap.lost_bytes ? ` (${bytes(gap.lost_bytes)})` : "";
    return html`<div class="strip gap" role="note">
      <b>Gap</b>
      <span>${visible(gap.source ?? "")}: ${visible(gap.detail)}${lost} <i>${visible(gap.next_action ?? "")}</i></span>
      <button @click=${() => this.#record.toggleSources()}>${gaps.length > 1 ? `All ${gaps.length} gaps` : "Sources"}</button>
      <button class="quiet" aria-label="Dismiss" @click=${() => {
        this.#notices.gapsRead = gaps.length;
        this.#desk.host.changed();
      }}>✕</button>
    </div>`;
  }

  strip(): unknown {
    if (this.#desk.range) {
      const { first, last } = this.#desk.range;
      const count = last - first + 1;
      const range = this.#desk.range;
      return html`<div class="strip" role="group" aria-label="Chosen lines">
        <span>${count > 1 ? `Lines ${(first + 1).toLocaleString("en")}–${(last + 1).toLocaleString("en")}` : `Line ${(first + 1).toLocaleString("en")}`}</span>
        <button @click=${() => this.#clips.copyLink()}>Copy link</button>
        <button @click=${() => this.#clips.copyLines(range)}>Copy text</button>
        <button class="quiet" @click=${() => this.#reader.choose(null)}>Clear</button>
      </div>`;
    }
    if (this.#reader.passed && this.#reader.following) {
      const { from, lines } = this.#reader.passed;
      return html`<div class="strip passing">
        <span>${many(lines, "line")} went by, too fast to read.</span>
        <button @click=${() => {
          this.#reader.passed = null;
          this.#reader.setCurrent(from, "center");
        }}>Open them</button>
      </div>`;
    }
    if (this.#notices.notice === null) return nothing;
    return html`<div class="strip">
      <span>${this.#notices.notice.text}</span>
      ${this.#notices.notice.actions.map(([name, run]) => html`<button @click=${run}>${name}</button>`)}
      <button class="quiet" aria-label="Dismiss" @click=${() => {
        this.#notices.notice = null;
        this.#desk.host.changed();
      }}>✕</button>
    </div>`;
  }

  sticky(): unknown {
    if (!this.#desk.engine || this.#desk.view !== this.#desk.whole) return nothing;
    const top = this.#desk.view.seqOf(this.#desk.engine.top);
    const group = top === null ? undefined : this.#folding.heads.around(top);
    if (group?.title === undefined || group.head === top) return nothing;
    const head = this.#folding.heads.at(group.head)!;
    return html`<button class="sticky" @click=${() => this.#reader.setCurrent(group.head, "center")}>
      ▾ <b>${group.title}</b> <span class="dim">${head.note}</span>
    </button>`;
  }

  empty(): unknown {
    if (this.#notices.fatal) return this.#fatalShown(this.#notices.fatal);
    const meta = this.#desk.meta;
    if (meta === undefined)
      return this.#notices.offline
        ? html`<div class="empty"><p>${this.#notices.offline.message} Trying again …</p></div>`
        : nothing;
    if (this.#desk.view.count > 0) return nothing;
    if (isFiltered(this.#desk.filters)) {
      const scanning = this.#desk.view instanceof FilteredView && !this.#desk.view.whole;
      return html`<div class="empty">
        <h2>${scanning ? "Looking …" : "Nothing passes the filters"}</h2>
        <p><button @click=${() => this.#finder.setFilters(NO_FILTERS)}>Show everything</button></p>
      </div>`;
    }
    if (!meta.lines.exact) return html`<div class="empty"><h2>Counting lines …</h2></div>`;
    const isOver = ["succeeded", "failed", "ended"].includes(meta.state ?? "");
    const gaps = meta.sources.flatMap((source) => source.gaps);
    return html`<div class="empty">
      <h2>${isOver ? "Nothing was written" : "Nothing has been written yet"}</h2>
      <p>${gaps.length ? `${gaps[0]!.detail} ${gaps[0]!.next_action ?? ""}` : isOver ? "The log has ended, and is empty." : "Lines appear here as they come."}</p>
      <p><button @click=${() => this.#record.toggleSources()}>Why is there no log?</button></p>
    </div>`;
  }

  #fatalShown(problem: Problem): TemplateResult {
    const signIn = `${this.#desk.host.home}sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
    return html`<div class="empty" role="alert">
      <h2>${problem.status === 404 ? "There is no such log" : problem.status === 401 ? "You are not signed in" : "This log cannot be shown"}</h2>
      <p>${problem.message}</p>
      ${problem.near.length ? html`<p>Did you mean:</p><ul>${problem.near.map((id) => html`<li><a href=${this.#desk.pageOf(id)}>${id}</a></li>`)}</ul>` : nothing}
      <p>
        ${problem.status === 401 ? html`<a class="button" href=${signIn}>Sign in</a>` : nothing}
        <a class="button" href=${this.#desk.host.home || "."}>All logs</a>
      </p>
    </div>`;
  }

  pill(): unknown {
    const [meta, left] = [this.#desk.meta, this.#reader.left];
    if (!meta || !left || this.#reader.following || isFiltered(this.#desk.filters)) return nothing;
    const lines = meta.lines.count - left.lines;
    const errors = errorsOf(meta) - left.errors;
    if (lines <= 0) return nothing;
    return html`<button class="pill" @click=${() => this.#reader.goToLast()}>
      ${lines.toLocaleString("en")} new${errors > 0 ? html`, <b>${many(errors, "error")}</b>` : nothing} ↓
    </button>`;
  }
}
