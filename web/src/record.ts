/** The panel below the rows: the record of a line, or what each source answered. */

import { nothing } from "lit/html.js";
import type { Clips } from "./clips";
import type { Desk } from "./desk";
import type { Finder } from "./finder";
import type { Line } from "./line";
import { NO_FILTERS } from "./link";
import type { Reader } from "./reader";
import { isFiltered } from "./view";

export class RecordPanel {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #finder: Finder;
  readonly #clips: Clips;
  panel: "" | "record" | "sources" = "";
  #recordLines: readonly Line[] = [];
  #recordPieces = 1;

  constructor(desk: Desk, reader: Reader, finder: Finder, clips: Clips) {
    this.#desk = desk;
    this.#reader = reader;
    this.#finder = finder;
    this.#clips = clips;
  }

  async openRecord(): Promise<void> {
    const seq = this.#desk.current ?? this.#reader.here;
    const line = this.#desk.view.line(this.#desk.view.rowOf(seq));
    if (line === undefined) return;
    this.#desk.course.leave();
    this.#desk.current = seq;
    this.panel = "record";
    void this.#desk.host.wantAside();
    if (this.#recordLines[0]?.seq !== (line.record?.seq ?? seq)) {
      const shown = [line];
      this.#recordPieces = 1;
      this.#recordLines = shown;
      const whole = await this.#desk.whole.record(line).catch(() => shown);
      // Another record may be looked at by now.
      if (this.#recordLines === shown) this.#recordLines = whole;
    }
    this.#desk.host.changed();
  }

  panelShown(): unknown {
    const close = (): void => {
      this.panel = "";
      this.#desk.host.focusRows();
      this.#desk.host.changed();
    };
    const aside = this.#desk.host.aside;
    if (aside === null) return nothing;
    if (this.panel === "sources" && this.#desk.meta) return aside.sourcesPanel(this.#desk.meta, close);
    const first = this.#recordLines[0];
    if (this.panel !== "record" || first === undefined) return nothing;
    const seq = first.seq ?? 0;
    const context = (): void => {
      this.#finder.useFilters(NO_FILTERS, seq);
      this.#reader.keepPlace();
    };
    return aside.recordPanel(this.#recordLines, this.#desk.clock.full(first.ms), this.#recordPieces, {
      close,
      copyLink: () => void this.#clips.copyLink(),
      copyText: () => void this.#clips.copyLines({ first: seq, last: seq + this.#recordLines.length - 1 }),
      context: isFiltered(this.#desk.filters) ? context : null,
      more: () => {
        this.#recordPieces += 1;
        this.#desk.host.changed();
      },
    });
  }

  toggleSources(): void {
    this.panel = this.panel === "sources" ? "" : "sources";
    void this.#desk.host.wantAside();
    this.#desk.host.changed();
  }
}
