/** How a log looks. */

import { css } from "./element";

export const logStyles = css`
  :host {
    display: grid;
    grid-template-rows: auto auto minmax(0, 1fr) auto;
    grid-template-columns: minmax(0, 1fr);
    height: 100%;
    min-width: 0;
    position: relative;
    overflow: hidden;
    --bar-debug: light-dark(#c3cad4, #4a5565);
    --bar-info: light-dark(#93b3d9, #3f6a94);
    --seen: light-dark(#1f56c31f, #82aeff2b);
    --picked: light-dark(#1f56c33d, #82aeff52);
    --f0: light-dark(#1b222c, #9aa5b3);
    --f1: light-dark(#b3211b, #ff8f86);
    --f2: light-dark(#1c6b2e, #7fd08f);
    --f3: light-dark(#7d5700, #e6c05f);
    --f4: light-dark(#1f56c3, #82aeff);
    --f5: light-dark(#8a2a8f, #e08fe3);
    --f6: light-dark(#0b6470, #6fd0dd);
    --f7: light-dark(#58626f, #d7dee7);
    --f8: light-dark(#626c79, #8b97a6);
    --l-min: 0;
    --l-max: 0.52;
  }
  :host([linked]) {
    position: fixed;
    inset: 0;
    height: auto;
  }
  @media (prefers-color-scheme: dark) {
    :host(:not([theme="light"])) {
      --l-min: 0.7;
      --l-max: 1;
    }
  }
  :host([theme="dark"]) {
    --l-min: 0.7;
    --l-max: 1;
  }

  .bar {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 6px 8px;
    padding: 7px 12px;
    min-width: 0;
    border-bottom: 1px solid var(--line);
    background: var(--raised);
  }
  .space {
    flex: 1 1 0;
  }
  h1 {
    font: 13px/1.4 var(--sans);
    margin: 0;
    min-width: 120px;
    flex: 1 1 240px;
    display: flex;
    white-space: pre;
    color: var(--dim);
    overflow: hidden;
  }
  h1 span {
    flex: 0 9 auto;
    min-width: 2ch;
    overflow: hidden;
    text-overflow: ellipsis;
    unicode-bidi: isolate;
  }
  h1 .slash {
    flex: none;
    min-width: auto;
    padding: 0 3px;
  }
  h1 span:last-child {
    flex: 0 0 auto;
    max-width: 90%;
    color: var(--ink);
    font-weight: 600;
  }
  h2 {
    font: 600 14px/1.4 var(--sans);
    margin: 0;
  }
  .dim {
    color: var(--dim);
  }
  .low {
    border: 0;
    border-top: 1px solid var(--line);
    padding: 3px 12px;
    font-size: 12px;
    color: var(--dim);
    font-variant-numeric: tabular-nums;
    gap: 2px 10px;
  }
  .low button {
    height: 22px;
    padding: 0 6px;
    color: inherit;
  }
  .low .follow[aria-pressed="true"] {
    color: var(--accent);
  }
  .offline {
    color: var(--error);
    font-weight: 600;
  }

  .search {
    display: flex;
    align-items: center;
    flex: 0 1 300px;
    min-width: 200px;
    border: 1px solid var(--edge);
    border-radius: 6px;
    background: var(--paper);
    height: 28px;
    box-sizing: border-box;
  }
  .search:focus-within {
    outline: 2px solid var(--accent);
    outline-offset: -1px;
  }
  .search input {
    border: 0;
    background: none;
    flex: 1 1 60px;
    min-width: 0;
    height: 100%;
    outline: 0;
  }
  .search input::placeholder,
  input::placeholder {
    color: var(--dim);
    opacity: 1;
  }
  .search button {
    height: 22px;
    padding: 0 6px;
    margin-right: 2px;
  }
  .regex {
    font: 12px var(--mono);
  }
  .count {
    color: var(--dim);
    font-size: 12px;
    font-variant-numeric: tabular-nums;
    padding: 0 6px;
    white-space: nowrap;
  }

  .menu {
    position: relative;
  }
  .menu summary {
    list-style: none;
  }
  .menu[open] summary {
    background: var(--accent-wash);
    border-color: var(--accent);
  }
  .timeline {
    position: relative;
    height: 40px;
    border-bottom: 1px solid var(--line);
    background: var(--paper);
  }
  .timeline canvas {
    display: block;
    width: 100%;
    height: 40px;
    cursor: crosshair;
    touch-action: none;
  }
  .hint {
    position: absolute;
    bottom: 3px;
    right: 8px;
    pointer-events: none;
    background: var(--paper);
    border: 1px solid var(--line);
    border-radius: 4px;
    padding: 1px 7px;
    font-size: 12px;
    font-variant-numeric: tabular-nums;
  }

  .middle {
    display: flex;
    flex-direction: column;
    min-height: 0;
  }
  .strip {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 6px 8px;
    padding: 4px 12px;
    background: var(--accent-wash);
    border-bottom: 1px solid var(--line);
  }
  .strip.gap {
    background: var(--warning-wash);
  }
  .strip button {
    height: 24px;
  }
  .table {
    position: relative;
    flex: 1 1 0;
    min-height: 60px;
    overflow: hidden;
  }
  .scroller {
    position: absolute;
    inset: 0;
    overflow: hidden scroll;
    overflow-anchor: none;
    outline: 0;
    scrollbar-color: var(--edge) transparent;
  }
  .scroller:focus-visible {
    box-shadow: inset 0 2px 0 var(--accent);
  }
  .spacer {
    position: relative;
  }
  .layer {
    position: sticky;
    top: 0;
    overflow: clip;
    font: 12.5px/20px var(--mono);
    tab-size: 8;
  }
  .ticks {
    position: absolute;
    right: 0;
    top: 0;
    width: 6px;
    height: 100%;
    pointer-events: none;
  }
  .row {
    position: absolute;
    inset: 0 0 auto 0;
    display: flex;
    height: 20px;
    contain: layout paint style;
    white-space: pre;
    box-sizing: border-box;
    border-left: 3px solid transparent;
  }
  .row:hover {
    background: var(--raised);
  }
  .row.waiting {
    color: var(--dim);
  }
  .wrap .row {
    height: auto;
    min-height: 20px;
  }
  .wrap .x {
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  .n,
  .t,
  .l,
  .s {
    flex: none;
    color: var(--dim);
    margin-right: 12px;
    overflow: hidden;
    text-overflow: ellipsis;
    box-sizing: content-box;
  }
  .n {
    width: var(--digits, 4ch);
    padding-left: 9px;
    text-align: right;
    user-select: none;
    text-decoration: none;
    cursor: pointer;
  }
  .n:hover {
    color: var(--accent);
    text-decoration: underline;
  }
  .t {
    width: var(--time, 13ch);
  }
  .s {
    width: 20ch;
    direction: rtl;
    text-align: left;
    unicode-bidi: plaintext;
  }
  .l {
    color: var(--tone);
    width: 10ch;
    margin-right: 8px;
    font-size: 11.5px;
    user-select: none;
  }
  .l::before {
    content: var(--shape, "");
    display: inline-block;
    width: 2ch;
  }
  .debug {
    --tone: var(--debug);
    --shape: "·";
  }
  .info {
    --tone: var(--info);
    --shape: "○";
  }
  .warning {
    --tone: var(--warning);
    --shape: "▲";
  }
  .error {
    --tone: var(--error);
    --shape: "■";
  }
  .critical {
    --tone: var(--critical);
    --shape: "◆";
  }
  .error .l,
  .critical .l {
    font-weight: 600;
  }
  .continues {
    --shape: "";
  }
  .row.warning {
    background: var(--warning-wash);
    border-left-color: var(--tone);
  }
  .row.error,
  .row.critical {
    background: var(--error-wash);
    border-left-color: var(--tone);
  }
  .row.debug .x {
    color: var(--dim);
  }
  .row.chosen {
    background: var(--accent-wash);
  }
  .row.current {
    box-shadow: inset 0 0 0 1px var(--accent);
    background: var(--accent-wash);
  }
  .row.marked .n::before {
    content: "★ ";
    color: var(--warning);
  }
  .row.hit .n {
    color: var(--ink);
    background: var(--mark);
  }
  .row[data-gap]:not([data-gap=""])::after {
    content: attr(data-gap);
    position: absolute;
    right: 12px;
    top: 0;
    padding: 0 8px;
    font-size: 11px;
    color: var(--dim);
    background: var(--sunk);
    border-radius: 0 0 6px 6px;
  }
  .row[data-gap]:not([data-gap=""]) {
    border-top: 1px dashed var(--edge);
  }
  .x {
    flex: 1 1 auto;
    min-width: 0;
    padding-right: 16px;
    direction: ltr;
    unicode-bidi: isolate;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  .e {
    flex: none;
    padding-right: 12px;
  }
  .fold {
    all: unset;
    cursor: pointer;
    width: 16px;
    display: inline-block;
    color: var(--dim);
  }
  .fold::before {
    content: "▾";
  }
  .fold[aria-expanded="false"]::before {
    content: "▸";
  }
  .note {
    color: var(--dim);
    padding-left: 10px;
    font-size: 11.5px;
  }
  .hint-error {
    color: var(--error);
    font-size: inherit;
  }
  .more {
    height: 18px;
    padding: 0 7px;
    margin-left: 6px;
    font: 11px/16px var(--sans);
    color: var(--accent);
    border-color: var(--line);
    vertical-align: top;
    margin-top: 1px;
  }
  .sticky {
    position: absolute;
    left: 0;
    right: 16px;
    top: 0;
    height: 22px;
    border: 0;
    border-bottom: 1px solid var(--line);
    border-radius: 0;
    background: var(--raised);
    font-size: 12px;
    overflow: hidden;
  }
  .pill {
    position: absolute;
    bottom: 12px;
    left: 50%;
    transform: translateX(-50%);
    border-radius: 16px;
    border-color: var(--accent);
    background: var(--accent);
    color: var(--on-accent);
    font-variant-numeric: tabular-nums;
    box-shadow: 0 3px 10px light-dark(#1b222c40, #00000080);
  }
  button.pill:hover {
    background: var(--accent);
  }
  .empty {
    position: absolute;
    inset: 0;
    display: grid;
    place-content: center;
    justify-items: center;
    text-align: center;
    padding: 24px;
    gap: 2px;
    color: var(--dim);
    overflow-wrap: anywhere;
  }
  .empty h2 {
    color: var(--ink);
  }
  .empty ul {
    text-align: left;
  }

  mark {
    background: var(--mark);
    color: var(--ink);
    border-radius: 2px;
  }
  .current mark {
    background: var(--mark-here);
    color: light-dark(#1b222c, #ffffff);
  }
  .bold {
    font-weight: 700;
  }
  .italic {
    font-style: italic;
  }
  .underline {
    text-decoration: underline;
  }
  .strike {
    text-decoration: line-through;
  }
  .inverse {
    background: var(--sunk);
  }
  .named {
    color: var(--dim);
  }
  a.named {
    color: var(--accent);
  }
  .fg {
    color: oklch(from var(--fg) clamp(var(--l-min), l, var(--l-max)) c h);
  }
  .bg {
    background: color-mix(in oklch, var(--bg) 16%, var(--paper));
  }
  ${Array.from({ length: 16 }, (_, color) => {
    const shade = color === 8 ? 8 : color % 8;
    return `.f${color} { color: var(--f${shade}); } .b${color} { background: color-mix(in oklch, var(--f${shade}) 14%, var(--paper)); }`;
  }).join("")}

  @media (max-width: 720px) {
    .bar {
      padding: 6px 8px;
      gap: 6px;
    }
    button,
    .button,
    select {
      padding: 0 7px;
    }
    h1 {
      flex: 1 1 40%;
    }
    .search {
      flex: 1 1 100%;
      order: 2;
    }
    .l {
      width: 2ch;
      margin-right: 6px;
      white-space: nowrap;
      text-overflow: clip;
    }
    .n {
      margin-right: 8px;
      padding-left: 4px;
    }
    .t {
      width: min(var(--time, 13ch), 8ch);
      text-overflow: clip;
    }
    .s {
      width: 10ch;
    }
    .menu {
      position: static;
    }
  }
`;
