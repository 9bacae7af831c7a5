/** `<log-list src="…/api/v1/logs">`: which logs there are. */

import { html, LitElement } from "lit";
import { Api, type Problem } from "./api";
import { listStyles, theme } from "./styles";

interface Listed {
  readonly id: string;
}

export class LogList extends LitElement {
  static override styles = [theme, listStyles];
  static override properties = { src: {}, logs: { state: true }, problem: { state: true } };

  declare src: string;
  declare logs: readonly Listed[];
  declare problem: Problem | null;

  constructor() {
    super();
    this.logs = [];
    this.problem = null;
  }

  override firstUpdated(): void {
    const api = new Api(new URL(this.src, document.baseURI).href);
    api.get<{ logs: Listed[] }>("", { limit: 1000 }).then(
      (got) => {
        this.logs = got.logs;
      },
      (problem: Problem) => {
        this.problem = problem;
      },
    );
  }

  override render(): unknown {
    return html`<main>
      <h1>Logs</h1>
      ${this.problem?.message}
      <ul>
        ${this.logs.map((log) => html`<li><a href=${pageOf(log.id)}>${log.id}</a></li>`)}
      </ul>
    </main>`;
  }
}

/** The page of a log, as seen from the list. */
export function pageOf(id: string): string {
  return `logs/${id.split("/").map(encodeURIComponent).join("/")}`;
}
