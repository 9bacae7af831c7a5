/**
 * What our elements have in common: a shadow root whose content is a template of Lit's.
 *
 * Holds: however often an update is asked for, it is rendered once, in the next microtask.
 */

import { render } from "lit/html.js";

export abstract class Element extends HTMLElement {
  readonly root: ShadowRoot;
  updated: Promise<void> = Promise.resolve();
  #isDue = false;

  constructor(styles: readonly CSSStyleSheet[]) {
    super();
    this.root = this.attachShadow({ mode: "open" });
    this.root.adoptedStyleSheets = [...styles];
  }

  connectedCallback(): void {
    this.update();
  }

  requestUpdate(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.updated = Promise.resolve().then(() => {
      this.#isDue = false;
      if (this.isConnected) this.update();
    });
  }

  update(): void {
    render(this.render(), this.root, { host: this });
  }

  /** An attribute; "" where it is not there. */
  attribute(name: string): string {
    return this.getAttribute(name) ?? "";
  }

  abstract render(): unknown;
}

export function css(texts: TemplateStringsArray, ...values: readonly string[]): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(String.raw({ raw: texts }, ...values));
  return sheet;
}
