/** Ways to a line that is elsewhere: an error, a time, a number, a group, a mark. */

import type { Params } from "./api";
import type { Aim } from "./course";
import type { Desk } from "./desk";
import type { Folding } from "./folding";
import type { Notices } from "./notices";
import type { Reader } from "./reader";

const MAX_MARKS = 1000;

export class Jumps {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;
  readonly #folding: Folding;
  marks = new Set<number>();

  constructor(desk: Desk, reader: Reader, notices: Notices, folding: Folding) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
    this.#folding = folding;
  }

  /** Ask where something is. Null: nowhere, or nobody wants to know any more. */
  async locate(params: Params, aim: Aim, nowhere = ""): Promise<number | null> {
    try {
      const found = await this.#desk.api.get<{ seq: number | null }>("locate", params, aim.signal);
      if (!this.#desk.course.keeps(aim)) return null;
      this.#desk.course.leave();
      if (found.seq === null && nowhere) this.#notices.say(nowhere, true);
      return found.seq;
    } catch (error) {
      if (!this.#desk.course.keeps(aim)) return null;
      this.#desk.course.leave();
      this.#notices.say((error as Error).message, true);
      return null;
    }
  }

  async goToError(by: "next" | "previous"): Promise<void> {
    const from = this.#reader.here;
    const asked = by === "next" ? from + (this.#desk.current === from ? 1 : 0) : from;
    const found = await this.locate({ error: by, seq: asked }, this.#desk.course.set(), `No ${by} error.`);
    if (found !== null) this.#reader.setCurrent(found, "center");
    this.#reader.keepPlace();
  }

  async goToText(text: string): Promise<void> {
    const trimmed = text.trim().replace(/^L/i, "");
    const last = (this.#desk.meta?.lines.count ?? 1) - 1;
    if (/^[\d,. ]+$/.test(trimmed)) this.#goToLine(Math.min(Number(trimmed.replace(/\D/g, "")) - 1, last));
    else if (trimmed) await this.goToTime(trimmed);
  }

  async goToTime(ts: string): Promise<void> {
    const nowhere = "Nothing was written then or later.";
    const found = await this.locate({ ts }, this.#desk.course.set(), nowhere);
    if (found !== null) this.#goToLine(found);
  }

  #goToLine(seq: number): void {
    const line = Math.max(0, seq);
    this.#reader.choose({ first: line, last: line }, true);
  }

  goToGroup(by: 1 | -1): void {
    const found = this.#folding.heads.step(this.#reader.here, by);
    if (found === null) this.#notices.say(by > 0 ? "No next group." : "No previous group.", true);
    else this.#reader.setCurrent(found, "center");
  }

  mark(): void {
    const seq = this.#reader.here;
    if (!this.marks.delete(seq) && this.marks.size < MAX_MARKS) this.marks.add(seq);
    this.#reader.setCurrent(seq);
  }

  goToMark(by: 1 | -1): void {
    const marks = [...this.marks].sort((one, two) => by * (one - two));
    const found = marks.find((mark) => by * (mark - this.#reader.here) > 0) ?? marks[0];
    if (found === undefined) this.#notices.say("No line is marked: m marks one.", true);
    else this.#reader.setCurrent(found, "center");
  }
}
