/** What is copied: links, and lines as they were written. */

import type { Desk } from "./desk";
import type { Range } from "./link";
import type { Notices } from "./notices";
import type { Reader } from "./reader";

export class Clips {
  readonly #desk: Desk;
  readonly #reader: Reader;
  readonly #notices: Notices;

  constructor(desk: Desk, reader: Reader, notices: Notices) {
    this.#desk = desk;
    this.#reader = reader;
    this.#notices = notices;
  }

  async copyLink(): Promise<void> {
    this.#desk.current ??= this.#reader.here;
    await this.#copy(
      this.#desk.host.isLinked
        ? this.#reader.link()
        : `${this.#desk.pageOf(this.#desk.meta?.id ?? "")}#L${this.#desk.current + 1}`,
      "The link",
    );
    this.#reader.keepPlace();
    this.#desk.engine.repaint();
  }
  /** Copy lines as they were written: from the server, not from the page. */
  async copyLines(range: Range): Promise<void> {
    try {
      const text = await this.#desk.api.text("rows", {
        from: range.first,
        n: Math.min(1000, range.last - range.first + 1),
      });
      await this.#copy(text, range.last - range.first >= 1000 ? "The first 1,000 lines" : "The text");
    } catch (error) {
      this.#notices.say((error as Error).message, true);
    }
  }

  async #copy(text: string, what: string): Promise<void> {
    const copied = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    );
    this.#notices.say(copied ? `${what} is on the clipboard.` : "The browser did not let it be copied.", true);
  }
}
