/** What the toolbar's menus hold: filters, looks, downloads. */

import { html, nothing, type TemplateResult } from "lit/html.js";
import { visible } from "./ansi";
import type { Params } from "./api";
import { NO_FILTERS } from "./link";
import type { Prefs } from "./prefs";
import { isZone, TIME_MODES } from "./times";
import type { Shown } from "./toolbar";
import { isFiltered } from "./view";
import { bytes } from "./words";

const TIME_NAMES: Readonly<Record<string, string>> = {
  utc: "UTC",
  local: "Local",
  since: "Since start",
  off: "Off",
};

export function filterForm({ filters, meta, act }: Shown): TemplateResult {
  const apply = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const get = (name: string): string => String(given.get(name) ?? "").trim();
    const chosen = given.getAll("source").map(String);
    const all = meta?.sources.length ?? 0;
    act.filter({
      ...filters,
      text: get("text"),
      since: get("since"),
      until: get("until"),
      sources: chosen.length === all ? [] : chosen,
    });
    (event.target as HTMLElement).closest("details")!.open = false;
  };
  const sources = (meta?.sources ?? []).slice(0, 50);
  const isOn = (name: string): boolean => !filters.sources.length || filters.sources.includes(name);
  return html`<form @submit=${apply}>
    <label>Records that contain <input name="text" .value=${filters.text} /></label>
    <label>From <input name="since" placeholder="12:34 · 15m · 2024-11-20 12:34" .value=${filters.since} /></label>
    <label>Until <input name="until" .value=${filters.until} /></label>
    ${
      sources.length > 1
        ? html`<fieldset>
            <legend>Sources</legend>
            ${sources.map(
              ({ name }) => html`<label class="check"
                ><input type="checkbox" name="source" value=${name} .checked=${isOn(name)} />${visible(name)}</label
              >`,
            )}
          </fieldset>`
        : nothing
    }
    <div class="buttons">
      <button>Apply</button>
      <button type="button" @click=${() => act.filter(NO_FILTERS)}>Show everything</button>
    </div>
  </form>`;
}

export function lookForm({ prefs, clock, act }: Shown): TemplateResult {
  const named = TIME_MODES.includes(prefs.time) ? "" : prefs.time;
  const zone = (event: Event): void => {
    const wanted = (event.target as HTMLInputElement).value.trim();
    if (isZone(wanted)) act.prefs({ time: wanted });
    else if (wanted) act.say(`There is no time zone ${wanted}: it is a name such as Europe/Zurich.`);
  };
  const check = (
    name: "wrap" | "source" | "keys",
    text: string,
    key: string,
  ): TemplateResult => html`<label class="check"
    ><input
      type="checkbox"
      .checked=${prefs[name]}
      @change=${(event: Event) => act.prefs({ [name]: (event.target as HTMLInputElement).checked })}
    />
    ${text} <kbd>${key}</kbd></label
  >`;
  const choice = (
    title: string,
    options: readonly (readonly [string, string])[],
    now: string,
    set: (value: string) => void,
  ) =>
    html`<div class="choice" role="group" aria-label=${title}>
      <span>${title}</span>
      ${options.map(
        ([value, name]) =>
          html`<button aria-pressed=${String(value === now)} @click=${() => set(value)}>${name}</button>`,
      )}
    </div>`;
  return html`${choice(
    "Time",
    TIME_MODES.map((mode) => [mode, TIME_NAMES[mode]!] as const),
    prefs.time,
    (time) => act.prefs({ time }),
  )}
    <label>Time zone <input placeholder="Europe/Zurich" .value=${named} @change=${zone} /></label>
    <p class="dim">Now: ${clock.name}</p>
    <label
      >Mark silences of seconds
      <input
        type="number"
        min="0"
        max="86400"
        .value=${String(prefs.gapS)}
        @change=${(event: Event) => act.prefs({ gapS: Math.max(0, Number((event.target as HTMLInputElement).value) || 0) })}
    /></label>
    ${check("wrap", "Wrap long lines", "w")} ${check("source", "Show sources", "s")}
    ${choice(
      "Theme",
      [
        ["", "System"],
        ["light", "Light"],
        ["dark", "Dark"],
      ],
      prefs.theme,
      (theme) => act.prefs({ theme: theme as Prefs["theme"] }),
    )}`;
}

export function downloads({ raw, filters, meta }: Shown): TemplateResult {
  const { level, sources, text, since, until } = filters;
  const chosen: Params = { level, source: sources, q: text, since, until };
  const link = (title: string, params: Params): TemplateResult =>
    html`<a class="button" href=${raw(params)} download>${title}</a>`;
  return html`<div class="links">
    ${link(`Whole log, as written${meta ? ` (${bytes(meta.bytes)})` : ""}`, {})} ${link("Whole log, gzip", { pack: "gzip" })}
    ${isFiltered(filters) ? html`${link("What is shown", chosen)} ${link("What is shown, gzip", { ...chosen, pack: "gzip" })}` : nothing}
    ${
      (meta?.sources.length ?? 0) > 1
        ? meta!.sources.slice(0, 20).map((source) => link(`Only ${visible(source.name)}`, { source: source.name }))
        : nothing
    }
  </div>`;
}
