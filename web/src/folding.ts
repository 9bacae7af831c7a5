/** Groups of the log and long records, opened and closed. */

import type { Desk } from "./desk";
import { fetchGroups, Heads } from "./groups";
import { Paced } from "./paced";
import type { Reader } from "./reader";

const GROUPS_MS = 5000;

export class Folding {
  readonly #desk: Desk;
  readonly #reader: Reader;
  heads = new Heads([], () => false);
  readonly groups = new Paced(GROUPS_MS, () => this.#findGroups());

  constructor(desk: Desk, reader: Reader) {
    this.#desk = desk;
    this.#reader = reader;
  }

  async #findGroups(): Promise<void> {
    const whole = this.#desk.whole;
    const groups = await fetchGroups(this.#desk.api).catch(() => null);
    if (groups === null || whole !== this.#desk.whole) return;
    const known = this.heads.all.at(-1)?.head ?? -1;
    this.heads = new Heads(groups, (head) => this.#desk.whole.folds.isClosed(head));
    const [here, wasAt] = [this.#reader.here, this.#desk.engine.top];
    const above = this.#desk.view.rowOf(here) - wasAt;
    this.#desk.whole.folds.hide(groups.filter((group) => group.hasEnd).map((group) => group.end - 1));
    this.#desk.whole.folds.close(
      groups.filter((group) => group.collapsed && group.head > known && (here < group.head || here >= group.end)),
    );
    this.#desk.engine.setCount(this.#desk.view.count);
    if (this.#desk.view === this.#desk.whole && wasAt > 0 && !this.#reader.following)
      this.#desk.engine.restAt(this.#desk.whole.rowOf(here) - above);
    this.#desk.engine.repaint();
    this.#desk.host.changed();
  }

  fold(seq: number): void {
    const folds = this.#desk.whole.folds;
    if (this.#desk.view !== this.#desk.whole) return;
    const record = this.#desk.whole.line(this.#desk.whole.rowOf(seq))?.record;
    const ofRecord = record && record.lines > 1 ? { head: record.seq, end: record.seq + record.lines } : undefined;
    const fold = this.heads.groupAt(seq) ?? ofRecord ?? this.heads.around(seq);
    if (fold === undefined) return;
    if (folds.isClosed(fold.head)) folds.open([fold.head]);
    else folds.close([fold]);
    this.#desk.course.leave();
    this.#desk.current = fold.head;
    this.#folded(fold.head);
  }

  foldAll(): void {
    const folds = this.#desk.whole.folds;
    if (this.#desk.view !== this.#desk.whole) return;
    const here = this.#reader.here;
    if (folds.size) folds.openAll();
    else folds.close(this.heads.all);
    this.#folded(this.#desk.whole.seqOf(this.#desk.whole.rowOf(here)) ?? here);
  }

  #folded(seq: number): void {
    this.#desk.engine.setCount(this.#desk.view.count);
    this.#desk.engine.scrollTo(this.#desk.view.rowOf(seq), "nearest");
    this.#desk.engine.repaint();
    this.#desk.host.changed();
  }
}
