/** How everything looks. Colours are pairs for a light and a dark page, each of at least 4.5:1 on its ground. */

import { css } from "./element";

export const theme = css`
  :host {
    color-scheme: light dark;
    --paper: light-dark(#ffffff, #0f1318);
    --raised: light-dark(#f6f7f9, #161b22);
    --sunk: light-dark(#eef0f3, #1c222b);
    --line: light-dark(#e1e4e9, #262d37);
    --edge: light-dark(#c4cad3, #3b4552);
    --ink: light-dark(#1b222c, #d7dee7);
    --dim: light-dark(#58626f, #94a0af);
    --accent: light-dark(#1f56c3, #82aeff);
    --accent-wash: light-dark(#e8effc, #1a2740);
    --on-accent: light-dark(#ffffff, #0b1220);
    --mark: light-dark(#ffe58a, #6b5300);
    --mark-here: light-dark(#ffb84d, #7a4c00);
    --debug: light-dark(#626c79, #8b97a6);
    --info: light-dark(#2b6777, #7fc4d6);
    --warning: light-dark(#855400, #ecbb5a);
    --error: light-dark(#b3211b, #ff8f86);
    --critical: light-dark(#8f1460, #ff85c8);
    --warning-wash: light-dark(#fff9ea, #1f1b12);
    --error-wash: light-dark(#fff2f1, #26171a);
    --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
    background: var(--paper);
    color: var(--ink);
    font: 13px/1.45 var(--sans);
  }
  :host([theme="light"]) {
    color-scheme: light;
  }
  :host([theme="dark"]) {
    color-scheme: dark;
  }
  [hidden] {
    display: none !important;
  }
  button,
  input,
  select {
    font: inherit;
    color: inherit;
  }
  button,
  .button,
  select,
  input {
    border: 1px solid var(--edge);
    border-radius: 6px;
    background: var(--paper);
    height: 28px;
    padding: 0 10px;
    box-sizing: border-box;
  }
  button,
  .button {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    cursor: pointer;
    white-space: nowrap;
    text-decoration: none;
    color: inherit;
  }
  button:hover:not(:disabled),
  .button:hover {
    background: var(--sunk);
  }
  button.quiet {
    border-color: transparent;
    background: none;
  }
  button.quiet:hover:not(:disabled) {
    background: var(--sunk);
  }
  button[aria-pressed="true"],
  button[aria-checked="true"] {
    background: var(--accent-wash);
    border-color: var(--accent);
    color: var(--accent);
  }
  button:disabled {
    color: var(--dim);
    cursor: default;
  }
  a {
    color: var(--accent);
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 1px;
  }
  kbd {
    font: 11px/1.5 var(--mono);
    border: 1px solid var(--edge);
    border-bottom-width: 2px;
    border-radius: 4px;
    padding: 0 5px;
    background: var(--raised);
  }
  .sr {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .state {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    font-size: 12px;
    color: var(--dim);
    white-space: nowrap;
  }
  .state::before {
    content: "";
    width: 8px;
    height: 8px;
    border-radius: 50%;
    background: var(--dim);
  }
  .state.running {
    color: var(--accent);
  }
  .state.running::before {
    background: var(--accent);
  }
  .state.failed {
    color: var(--error);
  }
  .state.failed::before {
    background: var(--error);
    border-radius: 1px;
  }
  .state.succeeded {
    color: var(--info);
  }
  .state.succeeded::before {
    background: var(--info);
  }
  .state.unknown::before {
    background: none;
    border: 1px solid var(--dim);
    box-sizing: border-box;
  }
  @media (prefers-reduced-motion: reduce) {
    * {
      transition: none !important;
      animation: none !important;
      scroll-behavior: auto !important;
    }
  }
`;
