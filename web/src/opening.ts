/**
 * Where a log is opened: where the address says, at the end while it is written, at the first error.
 *
 * Holds: a reader who has gone anywhere in the meantime is not taken away from there.
 */

import { errorsOf, type Meta } from "./api";
import type { Aim } from "./course";
import type { Desk } from "./desk";
import type { Jumps } from "./jumps";
import type { Place } from "./link";
import type { Notices } from "./notices";
import type { Reader } from "./reader";
import { FixedView } from "./view";

/** Rows of the end that are shown while lines are still being counted. */
const PROVISIONAL_ROWS = 200;

export class Opening {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;
  readonly #jumps: Jumps;
  /** To the first error of a log that is being counted, to a line that is not counted yet. */
  #toErrors: Aim | null = null;
  #toLine: Aim | null = null;

  constructor(desk: Desk, reader: Reader, notices: Notices, jumps: Jumps) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
    this.#jumps = jumps;
  }

  /** Go where a reader wants to be: where the address says, at the end while it is written, at the first error. */
  async goToStart(meta: Meta, place: Place, aim: Aim): Promise<void> {
    const errors = errorsOf(meta);
    if (place.range) {
      this.#toLine = aim;
      this.arrive(meta);
    } else if (place.q) return;
    else if (meta.state === "running") await this.#goToEnd(meta, aim);
    else if (errors) await this.#goToFirstError(meta, errors, aim);
    else if (!meta.lines.exact) this.#toErrors = aim;
  }

  async #goToFirstError(meta: Meta, errors: number, aim: Aim): Promise<void> {
    const found = await this.#jumps.locate({ error: "next", seq: 0 }, aim);
    if (found === null) return;
    this.#desk.current = found;
    this.#reader.goTo(found, "center");
    const why = meta.state === "failed" ? "This log ended in failure. " : "";
    const which = errors === 1 ? "its only error" : `the first of ${errors.toLocaleString("en")} errors`;
    this.#notices.setNotice(`${why}Opened at ${which}, line ${(found + 1).toLocaleString("en")}.`, [
      ["Start", () => this.#reader.goToRow(0)],
      ["End", () => this.#reader.goToLast()],
    ]);
  }

  async #goToEnd(meta: Meta, aim: Aim): Promise<void> {
    this.#reader.following = true;
    if (!meta.lines.exact) {
      const fixed = await FixedView.ofEnd(this.#desk.api, PROVISIONAL_ROWS, aim.signal).catch(() => null);
      if (!this.#desk.course.keeps(aim)) return;
      if (fixed !== null && !this.#desk.meta!.lines.exact) this.#desk.use(fixed);
    }
    this.#desk.course.leave();
    this.#desk.engine.scrollToEnd();
  }

  /** Go where there was nothing yet: to a line that is linked to, to the first error. */
  arrive(meta: Meta): void {
    const [line, count, errors] = [this.#desk.course.seq, meta.lines.count, errorsOf(meta)];
    if (this.#desk.course.keeps(this.#toLine) && line !== null && count) {
      if (count > line) this.#reader.goTo(line);
      else if (meta.lines.exact) {
        this.#reader.setCurrent(count - 1, "center");
        this.#notices.say(`There is no line ${(line + 1).toLocaleString("en")}: this is the last one so far.`, true);
      }
    }
    const aim = this.#toErrors;
    if (aim === null || !this.#desk.course.keeps(aim) || (!errors && !meta.lines.exact)) return;
    this.#toErrors = null;
    if (errors) void this.#goToFirstError(meta, errors, aim);
    else this.#desk.course.leave();
  }
}
