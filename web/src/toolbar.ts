/** The bars above and below the rows, and the question where to go. */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import type { Meta, Params, Problem } from "./api";
import type * as Aside from "./aside";
import type { Command } from "./keys";
import { type Filters, withAttempt } from "./link";
import type { Prefs } from "./prefs";
import type { Search } from "./search";
import { type Clock, duration } from "./times";
import { FilteredView, isFiltered, type View } from "./view";
import { bytes, many } from "./words";

export interface Actions {
  search(q: string, regex: boolean, back: boolean): void;
  cancel(): void;
  run(command: Command): void;
  filter(filters: Filters): void;
  prefs(change: Partial<Prefs>): void;
  sources(): void;
  menu(name: string, open: boolean): void;
  say(text: string): void;
}

export interface Shown {
  readonly meta: Meta | undefined;
  readonly home: string | null;
  readonly prefs: Prefs;
  readonly filters: Filters;
  readonly search: Search | null;
  readonly hit: number;
  readonly clock: Clock;
  readonly following: boolean;
  readonly offline: Problem | null;
  readonly row: number;
  readonly seq: number | null;
  readonly view: View;
  readonly attempts: readonly string[];
  /** The menu that is open. */
  readonly menu: string;
  /** What menus hold; null: not loaded yet. */
  readonly aside: typeof Aside | null;
  raw(params: Params): string;
  pageOf(id: string): string;
  readonly act: Actions;
}

export function toolbar(shown: Shown): TemplateResult {
  const { meta, home, act } = shown;
  const parts = (meta?.id ?? "").split("/");
  return html`<header class="bar">
    ${home === null ? nothing : html`<a class="button quiet home" href=${home || "."}>Logs</a>`}
    <h1 title=${visible(meta?.id ?? "")}>
      ${parts.map((part, at) => html`${at ? html`<span class="slash">/</span>` : nothing}<span>${visible(part)}</span>`)}
    </h1>
    ${meta ? stateShown(meta.state, meta.state_detail) : nothing} ${attempts(shown)}
    ${searchBox(shown)}
    <label class="sr" for="level">Least level</label>
    <select
      id="level"
      title="Least level (1-5)"
      .value=${shown.filters.level}
      @change=${(event: Event) => act.filter({ ...shown.filters, level: (event.target as HTMLSelectElement).value })}
    >
      ${["", "debug", "info", "warning", "error", "critical"].map(
        (level) =>
          html`<option value=${level} ?selected=${level === shown.filters.level}>${level ? `≥ ${level}` : "All levels"}</option>`,
      )}
    </select>
    ${menu(shown, "filters", filterName(shown.filters), "filterForm")}
    ${menu(shown, "looks", "View", "lookForm")} ${menu(shown, "download", "Download", "downloads")}
    <button class="quiet" aria-label="Keys and help" @click=${() => act.run("help")}>?</button>
  </header>`;
}

export function stateShown(state = "unknown", detail = ""): TemplateResult {
  const names: Record<string, string> = { unknown: "state unknown", ended: "ended" };
  return html`<span class="state ${state}" title=${detail}>${names[state] ?? state}${detail ? ` · ${detail}` : ""}</span>`;
}

function attempts({ meta, attempts: tries, pageOf }: Shown): unknown {
  if (tries.length < 2 || !meta) return nothing;
  const now = /attempt=(\d+)\.log$/.exec(meta.id)?.[1];
  const go = (event: Event): void => {
    const other = withAttempt(meta.id, (event.target as HTMLSelectElement).value);
    if (other !== null) location.assign(pageOf(other));
  };
  return html`<label class="sr" for="try">Try</label>
    <select id="try" @change=${go}>
      ${tries.map((each) => html`<option value=${each} ?selected=${each === now}>Try ${each}</option>`)}
    </select>`;
}

function searchBox({ search, hit, meta, act }: Shown): TemplateResult {
  const input = (event: Event): HTMLInputElement =>
    (event.currentTarget as HTMLElement).closest(".search")!.querySelector(".query")!;
  const regex = (event: Event): boolean =>
    (event.currentTarget as HTMLElement).closest(".search")!.querySelector(".regex")!.getAttribute("aria-pressed") ===
    "true";
  const go = (event: Event, back = false): void => act.search(input(event).value, regex(event), back);
  return html`<div class="search" role="search">
    <input
      class="query"
      type="search"
      aria-label="Search"
      placeholder="Search  /"
      .value=${search?.wanted.q ?? ""}
      @keydown=${(event: KeyboardEvent) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        go(event, event.shiftKey);
      }}
    />
    <button
      class="regex quiet"
      aria-pressed=${String(search?.wanted.regex ?? false)}
      aria-label="Regular expression"
      @click=${(event: Event) => {
        const button = event.currentTarget as HTMLElement;
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        input(event).focus();
      }}
    >
      .*
    </button>
    ${search === null ? nothing : html`<span class="count">${found(search, hit, meta)}</span>`}
    ${
      search?.running
        ? html`<button class="quiet" aria-label="Cancel the search" @click=${act.cancel}>✕</button>`
        : nothing
    }
    ${
      search?.hits.length
        ? html`<button class="quiet" aria-label="Previous hit" @click=${() => act.run("previousHit")}>↑</button
            ><button class="quiet" aria-label="Next hit" @click=${() => act.run("nextHit")}>↓</button>`
        : nothing
    }
  </div>`;
}

/** `12 of ≥ 4,310, 37 %`. */
function found(search: Search, hit: number, meta: Meta | undefined): string {
  if (search.problem) return search.problem.message;
  const count = search.hits.length.toLocaleString("en");
  const least = search.whole ? "" : "≥ ";
  const part = Math.floor((100 * search.seenLines) / Math.max(1, meta?.lines.count ?? 1));
  const progress = search.running ? `, ${Math.min(99, part)} %` : search.whole ? "" : ", stopped";
  if (!search.hits.length) return search.running ? `none yet${progress}` : search.whole ? "no hits" : `none${progress}`;
  return `${hit ? `${hit.toLocaleString("en")} of ` : ""}${least}${count}${progress}`;
}

/** A menu whose content is there while it is open. */
function menu(
  shown: Shown,
  name: string,
  title: string,
  content: "filterForm" | "lookForm" | "downloads",
): TemplateResult {
  const left = (event: FocusEvent): void => {
    const details = event.currentTarget as HTMLDetailsElement;
    const to = event.relatedTarget as Node | null;
    if (to !== null && !details.contains(to)) details.open = false;
  };
  const toggled = (event: Event): void => shown.act.menu(name, (event.currentTarget as HTMLDetailsElement).open);
  return html`<details class="menu ${name}" @toggle=${toggled} @focusout=${left}>
    <summary class="button">${title}</summary>
    ${shown.menu === name && shown.aside ? html`<div class="sheet" tabindex="-1">${shown.aside[content](shown)}</div>` : nothing}
  </details>`;
}

function filterName(filters: Filters): string {
  const count = [filters.text, filters.since || filters.until, filters.sources.length].filter(Boolean).length;
  return count ? `Filter · ${count}` : "Filter";
}

export function footer(shown: Shown): TemplateResult {
  const { meta, act, clock, view } = shown;
  return html`<footer class="bar low">
    <span class="where">${where(shown)}</span>
    <span class="space"></span>
    ${shown.offline ? html`<span class="offline" role="alert">Connection lost · trying again</span>` : nothing}
    ${
      meta && !meta.lines.exact && meta.index.total_bytes
        ? html`<span>counting lines, ${Math.floor((100 * meta.index.done_bytes) / meta.index.total_bytes)} %</span>`
        : nothing
    }
    ${view instanceof FilteredView && !view.whole ? html`<span>filtering, ${view.percent(meta?.lines.count ?? 0)} %</span>` : nothing}
    ${meta ? html`<button class="quiet" @click=${act.sources}>${sourcesTold(meta)}</button>` : nothing}
    <span>${bytes(meta?.bytes ?? null)}</span>
    <button class="quiet" @click=${() => act.run("time")}>${clock.name}</button>
    <button class="quiet follow" aria-pressed=${String(shown.following)} @click=${() => act.run("follow")}>
      ${shown.following ? "Following" : "Follow"}
    </button>
  </footer>`;
}

function where({ meta, seq, row, view, filters }: Shown): string {
  if (!meta) return "";
  const lines = meta.lines.count.toLocaleString("en");
  const line = seq === null || !view?.count ? "" : `Line ${(seq + 1).toLocaleString("en")} of `;
  const span = spanTold(meta);
  if (!isFiltered(filters)) return `${line}${meta.lines.exact ? "" : "≥ "}${lines}${span ? ` · ${span}` : ""}`;
  const least = view instanceof FilteredView && !view.whole ? "≥ " : "";
  const place = seq === null || !view.count ? "" : ` · line ${(seq + 1).toLocaleString("en")}`;
  return `${(row + 1).toLocaleString("en")} of ${least}${view.count.toLocaleString("en")} shown, of ${lines}${place}`;
}

function sourcesTold(meta: Meta): string {
  const bad = meta.sources.filter((source) => source.state !== "ok" || source.gaps.length).length;
  return `${many(meta.sources.length, "source")}${bad ? `, ${bad} with gaps` : ""}`;
}

function spanTold(meta: Meta): string {
  if (!meta.first || !meta.last) return "";
  return duration(Date.parse(meta.last) - Date.parse(meta.first)).replace(/\.\d+$/, "");
}

/** Asks where to go: a line or a time. */
export function gotoForm(go: (text: string) => void): TemplateResult {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const text = String(new FormData(form).get("to") ?? "");
    form.reset();
    go(text);
  };
  return html`<form class="goto" @submit=${submit}>
    <label>Line or time <input name="to" autofocus size="30" placeholder="4711 · 12:34:56 · 2024-11-20 12:34" /></label>
    <button>Go</button>
  </form>`;
}
