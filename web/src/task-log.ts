/**
 * `<task-log src="…/api/v1/logs/ID">`: one log of any length.
 *
 * Holds: the page has a window of the log; the server orders, filters, searches and counts. What the server says of the
 *        log comes by one long poll; rows are fetched as they are looked at.
 * Plan:  `RowEngine` moves rows, a `View` says which there are. What the reader can do with them is in parts around one
 *        `Desk`; here they are put together, and keys and clicks are given to them. What it looks like is in
 *        `toolbar.ts`, `faces.ts` and `panels.ts`.
 *
 * Attributes: `src`, the address of the log; `home`, that of the server's list; `linked`: the page's address tells the
 * place in the log, and is kept so; `theme`: `light` or `dark`, else as the reader or the system has it.
 */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { Api } from "./api";
import type * as Aside from "./aside";
import { Clips } from "./clips";
import { Desk, type Host } from "./desk";
import { Element } from "./element";
import { RowEngine } from "./engine";
import { Faces } from "./faces";
import { Finder } from "./finder";
import { Folding } from "./folding";
import { Jumps } from "./jumps";
import { type Command, commandOf } from "./keys";
import { readRange } from "./link";
import { logStyles } from "./log-styles";
import { News } from "./news";
import { Notices } from "./notices";
import { Opening } from "./opening";
import { Overview } from "./overview";
import { keepPrefs, type Prefs } from "./prefs";
import { Reader } from "./reader";
import { RecordPanel } from "./record";
import { makeRow, paintRow } from "./row";
import { theme } from "./styles";
import { TIME_MODES } from "./times";
import { footer, gotoForm, type Shown, toolbar } from "./toolbar";

export class TaskLog extends Element {
  readonly #desk = new Desk(this.#host());
  readonly #notices = new Notices(this.#desk);
  readonly #reader = new Reader(this.#desk);
  readonly #folding = new Folding(this.#desk, this.#reader);
  readonly #jumps = new Jumps(this.#desk, this.#reader, this.#notices, this.#folding);
  readonly #finder = new Finder(this.#desk, this.#reader, this.#notices);
  readonly #overview = new Overview(this.#desk, this.#jumps, this.#finder);
  readonly #clips = new Clips(this.#desk, this.#reader, this.#notices);
  readonly #record = new RecordPanel(this.#desk, this.#reader, this.#finder, this.#clips);
  readonly #opening = new Opening(this.#desk, this.#reader, this.#notices, this.#jumps);
  readonly #news = new News(
    this.#desk,
    this.#reader,
    this.#notices,
    this.#finder,
    this.#folding,
    this.#overview,
    this.#opening,
  );
  readonly #faces = new Faces(
    this.#desk,
    this.#reader,
    this.#notices,
    this.#finder,
    this.#folding,
    this.#record,
    this.#clips,
  );
  #aside: typeof Aside | null = null;
  #asideComing: Promise<typeof Aside | null> | null = null;
  #menu = "";
  #dialogKind: "" | "help" | "goto" = "";
  #keyTarget: EventTarget = this;
  readonly #resized = new ResizeObserver(() => this.#overview.redraw());

  constructor() {
    super([theme, logStyles]);
  }

  #host(): Host {
    const element = this;
    return {
      root: this.root,
      get home() {
        return element.attribute("home");
      },
      get isLinked() {
        return element.hasAttribute("linked");
      },
      get aside() {
        return element.#aside;
      },
      wantAside: () => this.#wantAside(),
      changed: () => this.requestUpdate(),
      redraw: () => this.#overview.redraw(),
      scrolled: () => this.#overview.scrolled.ask(),
      moved: () => {
        if (this.#record.panel === "record") void this.#record.openRecord();
      },
      failed: (problem) => this.#notices.setOffline(problem),
      focusRows: () => this.#focusIn(".scroller"),
    };
  }

  override connectedCallback(): void {
    this.#desk.connect(new Api(new URL(this.attribute("src"), document.baseURI).href));
    super.connectedCallback();
    const part = (name: string): HTMLElement => this.root.querySelector(`.${name}`)!;
    this.#desk.engine = new RowEngine(part("scroller"), part("spacer"), part("layer"), {
      make: makeRow,
      paint: (row, index) => this.#paint(row, index),
      shown: (first, last, byUser) => this.#reader.shown(first, last, byUser),
    });
    this.#desk.engine.setWrap(this.#desk.prefs.wrap);
    this.#keyTarget = this.hasAttribute("linked") ? document : this;
    this.#keyTarget.addEventListener("keydown", this.#key);
    for (const name of ["wheel", "pointerdown", "touchmove"])
      part("table").addEventListener(name, () => this.#desk.course.leave(), { passive: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.#overview.redraw);
    this.#resized.observe(part("timeline"));
    window.addEventListener("hashchange", this.#hashChanged);
    void this.#news.open();
    part("scroller").focus({ preventScroll: true });
  }

  disconnectedCallback(): void {
    this.#desk.course.leave();
    this.#overview.summary.close();
    this.#folding.groups.close();
    this.#overview.scrolled.close();
    this.#news.tail?.close();
    this.#desk.search?.cancel();
    this.#desk.view.close();
    this.#desk.engine.close();
    this.#resized.disconnect();
    this.#keyTarget.removeEventListener("keydown", this.#key);
    window.removeEventListener("hashchange", this.#hashChanged);
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.#overview.redraw);
  }

  #wantAside(): Promise<typeof Aside | null> {
    this.#asideComing ??= import("./aside").then(
      (aside) => {
        this.#aside = aside;
        this.root.adoptedStyleSheets.push(aside.asideStyles);
        this.requestUpdate();
        return aside;
      },
      () => {
        this.#asideComing = null;
        this.#notices.say("A part of this page could not be loaded. Load the page again.", true);
        return null;
      },
    );
    return this.#asideComing;
  }

  #paint(row: HTMLElement, index: number): void {
    const line = this.#desk.view.line(index);
    if (row.dataset.stale === undefined && row.dataset.seq !== undefined) return;
    delete row.dataset.stale;
    const before = index > 0 ? this.#desk.view.line(index - 1) : undefined;
    paintRow(row, index, line, before, {
      clock: this.#desk.clock,
      showsSource: this.#desk.prefs.source,
      range: this.#desk.range,
      current: this.#desk.current,
      search: this.#desk.search,
      marks: this.#jumps.marks,
      gapMs: this.#desk.prefs.gapS > 0 ? this.#desk.prefs.gapS * 1000 : Number.POSITIVE_INFINITY,
      heads: this.#folding.heads,
      isClosed: this.#desk.view === this.#desk.whole ? (seq) => this.#desk.whole.folds.isClosed(seq) : null,
    });
  }

  #hashChanged = (): void => {
    const range = this.hasAttribute("linked") ? readRange(location.hash) : null;
    if (range) this.#reader.choose(range, true);
  };

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
    const command = commandOf(event, this.#desk.prefs.keys);
    if (command === undefined || (this.#dialog.open && command !== "help")) return;
    event.preventDefault();
    this.#run(command);
  };

  readonly #commands: Readonly<Record<Command, () => void>> = {
    down: () => this.#reader.step(1),
    up: () => this.#reader.step(-1),
    pageDown: () => this.#reader.page(1),
    pageUp: () => this.#reader.page(-1),
    start: () => this.#reader.goToRow(0),
    end: () => this.#reader.goToLast(),
    follow: () => (this.#reader.following ? this.#reader.setFollowing(false) : this.#reader.goToLast()),
    search: () => this.#focusIn(".query"),
    nextHit: () => this.#finder.goToHit(1),
    previousHit: () => this.#finder.goToHit(-1),
    nextError: () => void this.#jumps.goToError("next"),
    previousError: () => void this.#jumps.goToError("previous"),
    nextGroup: () => this.#jumps.goToGroup(1),
    previousGroup: () => this.#jumps.goToGroup(-1),
    fold: () => this.#folding.fold(this.#reader.here),
    foldAll: () => this.#folding.foldAll(),
    goto: () => this.#showDialog("goto"),
    level1: () => this.#finder.setLevel(0),
    level2: () => this.#finder.setLevel(1),
    level3: () => this.#finder.setLevel(2),
    level4: () => this.#finder.setLevel(3),
    level5: () => this.#finder.setLevel(4),
    wrap: () => this.#setPrefs({ wrap: !this.#desk.prefs.wrap }),
    time: () => this.#nextTime(),
    source: () => this.#setPrefs({ source: !this.#desk.prefs.source }),
    mark: () => this.#jumps.mark(),
    nextMark: () => this.#jumps.goToMark(1),
    previousMark: () => this.#jumps.goToMark(-1),
    copyLink: () => void this.#clips.copyLink(),
    download: () => this.#openMenu(".download"),
    fullScreen: () => void this.#fullScreen(),
    open: () => void this.#record.openRecord(),
    help: () => this.#showDialog("help"),
    close: () => this.#close(),
  };

  #run(command: Command): void {
    this.#commands[command]();
  }

  #setPrefs(change: Partial<Prefs>): void {
    this.#desk.prefs = { ...this.#desk.prefs, ...change };
    keepPrefs(this.#desk.prefs);
    if (change.wrap !== undefined) this.#desk.engine.setWrap(change.wrap);
    this.#desk.newClock(this.#desk.meta);
    this.#reader.keepPlace();
    this.#desk.engine.repaint();
    this.#overview.redraw();
    this.requestUpdate();
  }

  #nextTime(): void {
    const at = TIME_MODES.indexOf(this.#desk.prefs.time);
    this.#setPrefs({ time: TIME_MODES[(at + 1) % TIME_MODES.length]! });
  }

  async #fullScreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.requestFullscreen().catch(() => this.#notices.say("The browser refused full screen.", true));
  }

  /** Close what is open, else cancel the search, else let go of what is chosen. */
  #close(): void {
    const menu = this.root.querySelector<HTMLDetailsElement>("details[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary")!.focus();
      return;
    }
    if (this.#record.panel) this.#record.panel = "";
    else if (this.#desk.search?.running) this.#finder.cancelSearch();
    else if (this.#desk.search) this.#finder.startSearch("", false, null);
    else if (this.#desk.range) this.#reader.choose(null);
    else this.#notices.notice = null;
    this.#focusIn(".scroller");
    this.requestUpdate();
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
    void this.#wantAside().then(async () => {
      this.requestUpdate();
      await this.updated;
      menu.querySelector<HTMLElement>("a, button, input, select")?.focus();
    });
  }

  get #dialog(): HTMLDialogElement {
    return this.root.querySelector("dialog")!;
  }

  #showDialog(kind: "help" | "goto"): void {
    if (this.#dialog.open) {
      this.#dialog.close();
      return;
    }
    this.#dialogKind = kind;
    if (kind === "help") void this.#wantAside();
    this.requestUpdate();
    void this.updated.then(() => this.#dialog.showModal());
  }

  #clicked(event: MouseEvent): void {
    const target = event.target as HTMLElement;
    const row = target.closest<HTMLElement>(".row");
    const seq = row?.dataset.seq ? Number(row.dataset.seq) : null;
    if (row === null || seq === null) return;
    if (target.closest(".fold")) this.#folding.fold(seq);
    else if (target.closest(".more")) {
      this.#desk.current = seq;
      void this.#record.openRecord();
    } else if (target.closest(".n")) {
      event.preventDefault();
      const from = event.shiftKey ? (this.#desk.range?.first ?? this.#desk.current ?? seq) : seq;
      this.#reader.choose({ first: Math.min(from, seq), last: Math.max(from, seq) });
    } else if (!target.closest("a") && getSelection()?.isCollapsed !== false) {
      if (event.detail === 2) void this.#record.openRecord();
      else this.#reader.setCurrent(seq);
    }
    this.#desk.engine.repaint();
  }

  override update(): void {
    if (this.#desk.prefs.theme) this.setAttribute("theme", this.#desk.prefs.theme);
    const digits = String(this.#desk.meta?.lines.count ?? 0).length;
    this.style.setProperty("--digits", `${Math.max(4, digits)}ch`);
    super.update();
  }

  override render(): TemplateResult {
    const shown = this.#shownNow();
    return html`${toolbar(shown)}
      <section class="timeline" aria-label="Timeline" @pointerleave=${() => {
        this.#overview.hovered = null;
        this.requestUpdate();
      }}>
        <canvas
          role="img"
          aria-label=${this.#overview.timelineTold()}
          @pointerdown=${(event: PointerEvent) => this.#overview.timeDown(event)}
          @pointermove=${(event: PointerEvent) => this.#overview.timeMove(event)}
          @pointerup=${(event: PointerEvent) => this.#overview.timeUp(event)}
        ></canvas><i></i>
        ${this.#overview.hint()}
      </section>
      <section class="middle" aria-label="Log">
        ${this.#faces.gaps()} ${this.#faces.strip()}
        <div class="table">
          <div
            class="scroller"
            tabindex="0"
            role="table"
            aria-label="Log lines"
            aria-rowcount=${this.#desk.meta?.lines.exact ? this.#desk.view?.count : -1}
            @click=${(event: MouseEvent) => this.#clicked(event)}
          >
            <div class="spacer" role="presentation"><div class="layer" role="rowgroup"></div></div>
          </div>
          <canvas class="ticks" aria-hidden="true"></canvas><i></i>
          ${this.#faces.sticky()} ${this.#faces.empty()} ${this.#faces.pill()}
        </div>
        ${this.#record.panelShown()}
      </section>
      ${footer(shown)}
      <p class="sr" role="status">${this.#notices.said}</p>
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
      meta: this.#desk.meta,
      home: this.getAttribute("home"),
      prefs: this.#desk.prefs,
      filters: this.#desk.filters,
      search: this.#desk.search,
      hit: this.#desk.current === null ? 0 : (this.#desk.search?.numberOf(this.#desk.current) ?? 0),
      clock: this.#desk.clock,
      following: this.#reader.following,
      offline: this.#notices.offline,
      row: this.#desk.engine ? this.#desk.engine.top : 0,
      seq: this.#desk.engine ? (this.#desk.current ?? this.#desk.view.seqOf(this.#desk.engine.top)) : null,
      view: this.#desk.view,
      attempts: this.#news.attempts,
      menu: this.#menu,
      aside: this.#aside,
      raw: (params) => this.#desk.api.address("raw", params),
      pageOf: (id) => this.#desk.pageOf(id),
      act: {
        search: (q, regex, back) => {
          const isSame = this.#desk.search?.wanted.q === q && this.#desk.search.wanted.regex === regex;
          if (isSame) this.#finder.goToHit(back ? -1 : 1);
          else this.#finder.startSearch(q, regex, this.#desk.course.set(this.#reader.here));
        },
        cancel: () => this.#finder.cancelSearch(),
        run: (command) => this.#run(command),
        filter: (filters) => this.#finder.setFilters(filters),
        prefs: (change) => this.#setPrefs(change),
        sources: () => this.#record.toggleSources(),
        menu: (name, open) => {
          if (open) {
            this.#menu = name;
            void this.#wantAside();
          }
          if (!open && this.#menu === name) this.#menu = "";
          this.requestUpdate();
        },
        say: (text) => this.#notices.say(text, true),
      },
    };
  }

  #dialogBody(): unknown {
    if (this.#dialogKind === "goto")
      return gotoForm((text) => {
        this.#dialog.close();
        void this.#jumps.goToText(text);
        this.#focusIn(".scroller");
      });
    if (!this.#dialogKind) return nothing;
    return html`<div class="head"><h2>Keys</h2><button class="quiet" aria-label="Close" @click=${() => this.#dialog.close()}>✕</button></div>
      ${this.#aside?.helpBody(this.#desk.prefs.keys, (keys) => this.#setPrefs({ keys }))}`;
  }
}
