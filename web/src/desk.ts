/**
 * What all parts of the viewer share: the log, the rows there are, what was chosen, where the reader is.
 *
 * Holds: one view is looked through at a time. A part knows the desk and the parts named in its constructor, never the
 *        element: what it needs of that is the `Host`.
 */

import type { Api, Meta, Problem } from "./api";
import type * as Aside from "./aside";
import { Course } from "./course";
import type { RowEngine } from "./engine";
import { type Filters, NO_FILTERS, type Range } from "./link";
import { type Prefs, readPrefs } from "./prefs";
import type { Search } from "./search";
import { Clock } from "./times";
import { type View, WholeView } from "./view";

/** What parts need of the element. */
export interface Host {
  readonly root: ShadowRoot;
  /** Address of the list of logs; "": there is none. */
  readonly home: string;
  /** The page's address tells the place in the log. */
  readonly isLinked: boolean;
  /** What comes after the first rows; null: not loaded yet. */
  readonly aside: typeof Aside | null;
  /** Load it; null: it could not be. */
  wantAside(): Promise<typeof Aside | null>;
  /** Something that is shown around the rows is another. */
  changed(): void;
  /** Something that is drawn is another. */
  redraw(): void;
  /** Rows were scrolled. */
  scrolled(): void;
  /** The current line is another one. */
  moved(): void;
  /** Null: all is well again. */
  failed(problem: Problem | null): void;
  focusRows(): void;
}

export class Desk {
  readonly host: Host;
  api!: Api;
  engine!: RowEngine;
  view!: View;
  whole!: WholeView;
  meta: Meta | undefined;
  prefs: Prefs = readPrefs();
  clock = new Clock("utc", Number.NaN, Number.NaN);
  filters: Filters = NO_FILTERS;
  range: Range | null = null;
  current: number | null = null;
  search: Search | null = null;
  readonly course = new Course();

  constructor(host: Host) {
    this.host = host;
  }

  /** Begin to look at a log. */
  connect(api: Api): void {
    this.api = api;
    this.whole = this.newWhole();
    this.view = this.whole;
  }

  newWhole(): WholeView {
    return new WholeView(this.api, this.viewHost());
  }

  viewHost(): { changed: () => void; failed: (problem: Problem | null) => void } {
    return {
      changed: () => {
        this.engine.setCount(this.view.count);
        this.engine.repaint();
        this.host.changed();
      },
      failed: (problem) => this.host.failed(problem),
    };
  }

  use(view: View): void {
    if (this.view !== this.whole) this.view.close();
    this.view = view;
    this.engine.setCount(view.count);
    this.engine.repaint();
  }

  newClock(before?: Meta): void {
    const [firstMs, lastMs] = [Date.parse(this.meta?.first ?? ""), Date.parse(this.meta?.last ?? "")];
    const isSame = before?.first === this.meta?.first && before?.last?.slice(0, 10) === this.meta?.last?.slice(0, 10);
    // A log without a time needs no room for them.
    const mode = this.meta?.first ? this.prefs.time : "off";
    if (isSame && this.clock.mode === mode) return;
    try {
      this.clock = new Clock(mode, firstMs, lastMs);
    } catch {
      this.clock = new Clock("utc", firstMs, lastMs);
    }
    (this.host.root.host as HTMLElement).style.setProperty("--time", `${this.clock.width}ch`);
    this.engine.repaint();
  }

  pageOf(id: string): string {
    return new URL(`logs/${id.split("/").map(encodeURIComponent).join("/")}`, new URL(this.host.home, document.baseURI))
      .href;
  }
}
