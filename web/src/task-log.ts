/**
 * `<task-log src="…/api/v1/logs/ID">`: one log of any length.
 */

import { html, LitElement } from "lit";
import { Api, isAbort, type Meta, type Problem } from "./api";
import { RowEngine } from "./engine";
import { paintRow } from "./row";
import { logStyles, theme } from "./styles";
import { WholeView } from "./view";

export class TaskLog extends LitElement {
  static override styles = [theme, logStyles];
  static override properties = { src: {}, meta: { state: true }, problem: { state: true } };

  declare src: string;
  declare meta: Meta | undefined;
  declare problem: Problem | null;

  #api!: Api;
  #view!: WholeView;
  #engine!: RowEngine;

  override firstUpdated(): void {
    const part = (name: string): HTMLElement => this.renderRoot.querySelector(`.${name}`)!;
    this.#engine = new RowEngine(part("scroller"), part("spacer"), part("layer"), {
      make: () => {
        const row = document.createElement("div");
        row.className = "row";
        row.setAttribute("role", "row");
        return row;
      },
      paint: (element, index) => paintRow(element, this.#view.line(index), index),
      shown: (first, last) => this.#view.want(first, last),
    });
    void this.#open();
  }

  async #open(): Promise<void> {
    this.#api = new Api(new URL(this.src, document.baseURI).href);
    this.#view = new WholeView(this.#api, {
      changed: () => this.#engine.repaint(),
      failed: (problem) => {
        this.problem = problem;
      },
    });
    try {
      this.meta = await this.#api.get<Meta>("meta");
      this.#view.lines = this.meta.lines.count;
      this.#engine.setCount(this.#view.count);
    } catch (error) {
      if (!isAbort(error)) this.problem = error as Problem;
    }
  }

  override render(): unknown {
    return html`<header>${this.meta?.id ?? ""}</header>
      <div></div>
      <div class="table">
        <div class="scroller" tabindex="0" role="table" aria-label="Log lines" aria-rowcount=${this.meta?.lines.count ?? -1}>
          <div class="spacer" role="presentation"><div class="layer" role="rowgroup"></div></div>
        </div>
      </div>
      <footer role="status">${this.problem?.message ?? ""}</footer>`;
  }
}
