/** `<log-list src="…/api/v1/logs">`: which logs there are. */

import { html } from "lit/html.js";
import { Api, type Problem } from "./api";
import { Element } from "./element";
import { listStyles, theme } from "./styles";

interface Listed {
  readonly id: string;
}

export class LogList extends Element {
  #logs: readonly Listed[] = [];
  #problem: Problem | null = null;

  constructor() {
    super([theme, listStyles]);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const api = new Api(new URL(this.attribute("src"), document.baseURI).href);
    api.get<{ logs: Listed[] }>("", { limit: 1000 }).then(
      (got) => {
        this.#logs = got.logs;
        this.requestUpdate();
      },
      (problem: Problem) => {
        this.#problem = problem;
        this.requestUpdate();
      },
    );
  }

  override render(): unknown {
    return html`<main>
      <h1>Logs</h1>
      ${this.#problem?.message}
      <ul>
        ${this.#logs.map((log) => html`<li><a href=${pageOf(log.id)}>${log.id}</a></li>`)}
      </ul>
    </main>`;
  }
}

/** The page of a log, as seen from the list. */
export function pageOf(id: string): string {
  return `logs/${id.split("/").map(encodeURIComponent).join("/")}`;
}
