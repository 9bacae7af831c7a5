/**
 * `<log-list src="…/api/v1/logs">`: which logs there are, as a tree or a list, with what is known of each.
 *
 * Holds: a page of PAGE logs at a time, more when it is asked for; the server searches the names. Levels are asked for of
 *        what is on screen only, and only of small logs: counting makes the server read.
 */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import { Api, type Levels, type Meta, type Problem } from "./api";
import { Element } from "./element";
import { listStyles } from "./list-styles";
import { theme } from "./styles";
import { roughly } from "./times";
import { bytes } from "./words";

const PAGE = 200;
const MAX_COUNTED_BYTES = 16_000_000;
const MAX_ASKED = 2;
const TYPED_MS = 200;
const REFRESH_MS = 10_000;

interface Listed {
  readonly id: string;
  readonly bytes: number | null;
  readonly written: string | null;
  readonly state: string;
}

interface Folder {
  readonly name: string;
  readonly folders: Map<string, Folder>;
  readonly logs: Listed[];
}

export class LogList extends Element {
  #api!: Api;
  #logs: readonly Listed[] = [];
  #after: string | null = null;
  #problem: Problem | null = null;
  #loaded = false;
  #asFlat = false;
  #query = "";
  #timer = 0;
  #asked: AbortController | null = null;
  readonly #levels = new Map<string, Levels | null>();
  readonly #waiting: string[] = [];
  #counting = 0;
  readonly #seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) this.#count((target as HTMLElement).dataset.id!);
  });

  constructor() {
    super([theme, listStyles]);
  }

  override connectedCallback(): void {
    this.#api = new Api(new URL(this.attribute("src"), document.baseURI).href);
    this.#query = new URL(location.href).searchParams.get("q") ?? "";
    super.connectedCallback();
    void this.#load();
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.composedPath()[0] instanceof HTMLInputElement) return;
      event.preventDefault();
      this.root.querySelector("input")!.focus();
    });
    setInterval(() => !document.hidden && this.#loaded && this.#logs.length <= PAGE && void this.#load(), REFRESH_MS);
  }

  async #load(more = false): Promise<void> {
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    try {
      const params = { contains: this.#query, details: true, limit: PAGE, after: more ? (this.#after ?? "") : "" };
      const got = await this.#api.get<{ logs: Listed[]; after: string | null }>("", params, asked.signal);
      this.#logs = more ? [...this.#logs, ...got.logs] : got.logs;
      this.#after = got.after;
      this.#problem = null;
      this.#loaded = true;
    } catch (error) {
      if (asked.signal.aborted) return;
      this.#problem = error as Problem;
    }
    this.requestUpdate();
    await this.updated;
    for (const row of this.root.querySelectorAll("[data-id]")) this.#seen.observe(row);
  }

  #typed(query: string): void {
    this.#query = query;
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      const address = new URL(location.href);
      if (query) address.searchParams.set("q", query);
      else address.searchParams.delete("q");
      history.replaceState(null, "", address);
      void this.#load();
    }, TYPED_MS);
  }

  #count(id: string): void {
    const log = this.#logs.find((each) => each.id === id);
    if (!log || this.#levels.has(id) || (log.bytes ?? 0) > MAX_COUNTED_BYTES) return;
    this.#levels.set(id, null);
    this.#waiting.push(id);
    void this.#countNext();
  }

  async #countNext(): Promise<void> {
    const id = this.#counting < MAX_ASKED ? this.#waiting.shift() : undefined;
    if (id === undefined) return;
    this.#counting += 1;
    const path = `${id.split("/").map(encodeURIComponent).join("/")}/meta`;
    const meta = await this.#api.get<Meta>(path).catch(() => null);
    if (meta) this.#levels.set(id, meta.levels);
    this.#counting -= 1;
    this.requestUpdate();
    void this.#countNext();
  }

  override render(): unknown {
    const tree = treeOf(this.#logs);
    return html`<header>
        <h1>Logs</h1>
        <input
          type="search"
          aria-label="Find logs by name"
          placeholder="Find by name  /"
          .value=${this.#query}
          @input=${(event: Event) => this.#typed((event.target as HTMLInputElement).value)}
        />
        <button
          aria-pressed=${String(this.#asFlat)}
          @click=${() => {
            this.#asFlat = !this.#asFlat;
            this.requestUpdate();
          }}
        >
          Flat list
        </button>
      </header>
      <main>
        ${this.#problem ? html`<p role="alert">${this.#problem.message} ${this.#signIn()}</p>` : nothing}
        ${this.#loaded && !this.#logs.length ? this.#none() : nothing}
        ${this.#asFlat ? html`<ul>${this.#logs.map((log) => this.#row(log, log.id))}</ul>` : this.#folder(tree)}
        ${this.#after === null ? nothing : html`<p><button @click=${() => this.#load(true)}>Show more</button></p>`}
        <p class="sr" role="status">${this.#loaded ? `${this.#logs.length} logs${this.#after ? " and more" : ""}` : ""}</p>
      </main>`;
  }

  #signIn(): unknown {
    return this.#problem?.status === 401 ? html`<a class="button" href="sign-in">Sign in</a>` : nothing;
  }

  #none(): TemplateResult {
    return this.#query
      ? html`<p class="none">No log has “${this.#query}” in its name.</p>`
      : html`<p class="none">There is no log in the folder that is served. A log is a file that ends in <code>.log</code>;
          others are told by <code>--pattern</code>.</p>`;
  }

  #folder(folder: Folder): TemplateResult {
    return html`<ul>
      ${[...folder.folders.values()].map((each) => {
        const only = countOf(each) === 1 ? onlyLog(each) : null;
        if (only) return this.#row(only.log, only.name);
        return html`<li>
          <details open>
            <summary>${visible(each.name)}<span class="dim">${countOf(each)}</span></summary>
            ${this.#folder(each)}
          </details>
        </li>`;
      })}
      ${folder.logs.map((log) => this.#row(log, log.id.slice(log.id.lastIndexOf("/") + 1)))}
    </ul>`;
  }

  #row(log: Listed, name: string): TemplateResult {
    const levels = this.#levels.get(log.id);
    const errors = (levels?.error ?? 0) + (levels?.critical ?? 0);
    const warnings = levels?.warning ?? 0;
    return html`<li class="log" data-id=${log.id}>
      <a href=${pageOf(log.id)}>${visible(name)}</a>
      <span class="levels">
        ${errors ? html`<span class="error">■ ${errors.toLocaleString("en")}<span class="sr"> errors</span></span>` : nothing}
        ${warnings ? html`<span class="warning">▲ ${warnings.toLocaleString("en")}<span class="sr"> warnings</span></span>` : nothing}
      </span>
      ${log.state === "unknown" ? html`<span></span>` : html`<span class="state ${log.state}">${log.state}</span>`}
      <span class="size">${bytes(log.bytes)}</span>
      <time datetime=${log.written ?? ""} title=${log.written ?? ""}>${ago(log.written)}</time>
    </li>`;
  }
}

/** The page of a log, as seen from the list. */
function pageOf(id: string): string {
  return `logs/${id.split("/").map(encodeURIComponent).join("/")}`;
}

/** Arrange logs by the parts of their ids; a folder with one folder in it is shown as one. */
function treeOf(logs: readonly Listed[]): Folder {
  const top: Folder = { name: "", folders: new Map(), logs: [] };
  for (const log of logs) {
    let folder = top;
    for (const part of log.id.split("/").slice(0, -1)) {
      let next = folder.folders.get(part);
      if (next === undefined) {
        next = { name: part, folders: new Map(), logs: [] };
        folder.folders.set(part, next);
      }
      folder = next;
    }
    folder.logs.push(log);
  }
  return joined(top);
}

function joined(folder: Folder): Folder {
  const folders = new Map([...folder.folders].map(([key, each]) => [key, joined(each)]));
  const [only] = folders.values();
  if (folder.name && folders.size === 1 && !folder.logs.length && only)
    return { ...only, name: `${folder.name}/${only.name}` };
  return { ...folder, folders };
}

/** The one log of a folder, named by the whole way to it. */
function onlyLog(folder: Folder): { log: Listed; name: string } | null {
  const [deeper] = folder.folders.values();
  const found = deeper ? onlyLog(deeper) : null;
  if (found) return { log: found.log, name: `${folder.name}/${found.name}` };
  const log = folder.logs[0];
  return log ? { log, name: `${folder.name}/${log.id.slice(log.id.lastIndexOf("/") + 1)}` } : null;
}

function countOf(folder: Folder): number {
  return folder.logs.length + [...folder.folders.values()].reduce((sum, each) => sum + countOf(each), 0);
}

function ago(written: string | null): string {
  if (!written) return "";
  const ms = Date.now() - Date.parse(written);
  return ms < 1000 ? "just now" : `${roughly(ms).split(" ").slice(0, 2).join(" ")} ago`;
}
