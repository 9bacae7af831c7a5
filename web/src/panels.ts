/** Panels and dialogs beside the rows: one record, the sources, the keys. */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import type { Gap, Meta } from "./api";
import { errorsOf, type Failure, type Line, textOf } from "./line";
import { bytes, many } from "./words";

/** Characters of a text that are shown at once. */
const PIECE_CHARS = 64 * 1024;

export interface RecordActions {
  close(): void;
  copyLink(): void;
  copyText(): void;
  /** Null: nothing is filtered away. */
  context: (() => void) | null;
  more(): void;
}

/** A whole record: text, errors, fields. `pieces`: of the text, shown at once. */
export function recordPanel(lines: readonly Line[], time: string, pieces: number, act: RecordActions): TemplateResult {
  const shown = pieces * PIECE_CHARS;
  const first = lines[0]!;
  const text = lines.map((line) => textOf(line.item)).join("\n");
  const failures = lines.flatMap((line) => errorsOf(line.item));
  const fields = Object.entries(first.item).filter(([name]) => !["error_detail", "event", "logflume"].includes(name));
  return html`<section class="panel" aria-label="Record">
    <div class="head">
      <h2>${first.seq === null ? "Record" : `Line ${(first.seq + 1).toLocaleString("en")}`}</h2>
      <span class="level ${first.level}">${first.level === "unknown" ? "" : first.level}</span>
      <span class="dim">${time}</span>
      <span class="space"></span>
      ${act.context ? html`<button @click=${act.context}>Show in context</button>` : nothing}
      <button @click=${act.copyText}>Copy text</button>
      <button @click=${act.copyLink}>Copy link</button>
      <button class="quiet" aria-label="Close record" @click=${act.close}>✕</button>
    </div>
    <div class="body" tabindex="0" role="group" aria-label="Record text and fields">
      <pre>${pretty(text.slice(0, shown))}</pre>
      ${
        text.length > shown
          ? html`<button @click=${act.more}>Show ${many(Math.min(PIECE_CHARS, text.length - shown), "more character")}</button>`
          : nothing
      }
      ${failures.map(failure)}
      <table>
        <caption class="sr">
          Fields
        </caption>
        <tbody>
          ${fields.map(([name, value]) => html`<tr><th scope="row">${visible(name)}</th><td>${shownValue(value)}</td></tr>`)}
        </tbody>
      </table>
    </div>
  </section>`;
}

function pretty(text: string): string {
  return text.split("\n").map(visible).join("\n");
}

function shownValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
  return pretty((text ?? "").slice(0, PIECE_CHARS));
}

function failure(each: Failure): TemplateResult {
  return html`<div class="failure">
    <p><b>${visible(each.kind)}</b>: ${pretty(each.value)}</p>
    ${each.notes.map((note) => html`<p class="dim">${pretty(note)}</p>`)}
    <ol>
      ${each.frames.map((frame) => html`<li><b>${visible(frame.name)}</b> <span class="dim">${visible(frame.file)}:${frame.line}</span></li>`)}
    </ol>
    ${each.isCause ? html`<p class="dim">was raised from:</p>` : nothing}
  </div>`;
}

/** Why there is no log, or less than there should be: what was tried, and what each source answered. */
export function sourcesPanel(meta: Meta, close: () => void): TemplateResult {
  return html`<section class="panel" aria-label="Sources">
    <div class="head">
      <h2>Sources</h2>
      <span class="dim">${many(meta.sources.length, "source")} tried, merged by time</span>
      <span class="space"></span>
      <button class="quiet" aria-label="Close sources" @click=${close}>✕</button>
    </div>
    <div class="body" tabindex="0" role="group" aria-label="What each source answered">
      ${meta.sources.length ? nothing : html`<p>No place is known in which this log could be.</p>`}
      <table class="sources">
        <thead>
          <tr>
            <th scope="col">Source</th>
            <th scope="col">Answer</th>
            <th scope="col">Size</th>
            <th scope="col">Took</th>
          </tr>
        </thead>
        <tbody>
          ${meta.sources.map(
            (source) => html`<tr>
              <th scope="row">${visible(source.name)}</th>
              <td>
                <span class="answer ${source.state}">${source.state}</span>
                ${source.gaps.map(gapShown)}
              </td>
              <td>${bytes(source.bytes)}</td>
              <td>${source.ms == null ? "–" : `${source.ms.toFixed(1)} ms`}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

function gapShown(gap: Gap): TemplateResult {
  const lost = gap.lost_bytes ? ` (${bytes(gap.lost_bytes)})` : "";
  return html`<p><b>${gap.reason}</b>${lost}: ${visible(gap.detail)} <i>${visible(gap.next_action ?? "")}</i></p>`;
}
