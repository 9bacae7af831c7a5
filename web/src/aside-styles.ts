/** How panels, menus' content and dialogs look. */

import { css } from "./element";

export const asideStyles = css`
  .sheet {
    position: absolute;
    right: 0;
    top: calc(100% + 5px);
    z-index: 5;
    width: max-content;
    min-width: 240px;
    max-width: min(420px, 92vw);
    max-height: 70vh;
    overflow: auto;
    padding: 12px;
    box-sizing: border-box;
    border: 1px solid var(--edge);
    border-radius: 8px;
    background: var(--paper);
    box-shadow: 0 8px 24px light-dark(#1b222c2e, #000000a6);
    outline: 0;
  }
  .sheet,
  .sheet form {
    display: grid;
    gap: 9px;
  }
  .menu:not([open]) .sheet {
    display: none;
  }
  .sheet label:not(.check) {
    display: grid;
    gap: 3px;
    color: var(--dim);
    font-size: 12px;
  }
  .sheet input:not([type="checkbox"]) {
    color: var(--ink);
    font-size: 13px;
  }
  .check {
    display: flex;
    align-items: center;
    gap: 8px;
    cursor: pointer;
  }
  .check input {
    height: auto;
    accent-color: var(--accent);
  }
  fieldset {
    border: 1px solid var(--line);
    border-radius: 6px;
    display: grid;
    gap: 4px;
    margin: 0;
    overflow-wrap: anywhere;
  }
  legend {
    font-size: 12px;
    color: var(--dim);
  }
  .choice,
  .buttons {
    display: flex;
    flex-wrap: wrap;
    gap: 6px;
    align-items: center;
  }
  .choice span {
    flex: 1 0 100%;
    font-size: 12px;
    color: var(--dim);
  }
  .sheet p {
    margin: 0;
    font-size: 12px;
  }
  .links {
    display: grid;
    gap: 6px;
  }

  .panel {
    flex: 0 1 44%;
    min-height: 120px;
    display: flex;
    flex-direction: column;
    border-top: 1px solid var(--edge);
    background: var(--paper);
  }
  .head {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 6px 10px;
    padding: 6px 12px;
    background: var(--raised);
    border-bottom: 1px solid var(--line);
  }
  .panel .head button {
    height: 24px;
  }
  .panel .body {
    overflow: auto;
    padding: 8px 12px;
    outline-offset: -2px;
  }
  .panel pre {
    font: 12.5px/1.55 var(--mono);
    margin: 0 0 8px;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
    tab-size: 8;
    direction: ltr;
  }
  .panel table {
    border-collapse: collapse;
    font: 12px/1.5 var(--mono);
  }
  .panel th,
  .panel td {
    text-align: left;
    vertical-align: top;
    padding: 2px 18px 2px 0;
    border-top: 1px solid var(--line);
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  .panel th {
    font-weight: 400;
    color: var(--dim);
  }
  .panel .sources {
    font-family: var(--sans);
    width: 100%;
  }
  .panel td p {
    margin: 2px 0;
  }
  .level {
    color: var(--tone);
    font-weight: 600;
  }
  .answer.failed {
    color: var(--error);
    font-weight: 600;
  }
  .failure {
    border-left: 3px solid var(--error);
    padding-left: 12px;
    margin: 8px 0;
    font: 12.5px/1.55 var(--mono);
    overflow-wrap: anywhere;
  }
  .failure p {
    margin: 2px 0;
    white-space: pre-wrap;
  }
  .failure ol {
    margin: 2px 0;
    padding-left: 20px;
  }

  dialog {
    border: 1px solid var(--edge);
    border-radius: 10px;
    padding: 0;
    width: min(860px, 94vw);
    max-height: 86vh;
    background: var(--paper);
    color: var(--ink);
    box-shadow: 0 16px 48px light-dark(#1b222c40, #000000b3);
  }
  dialog:has(.goto) {
    width: auto;
    margin-top: 18vh;
  }
  dialog::backdrop {
    background: light-dark(#1b222c40, #00000080);
  }
  dialog .head {
    justify-content: space-between;
  }
  .goto {
    display: flex;
    flex-wrap: wrap;
    gap: 8px;
    padding: 14px;
    align-items: end;
  }
  .goto label {
    display: grid;
    gap: 4px;
    font-size: 12px;
    color: var(--dim);
  }
  .goto input {
    color: var(--ink);
    font-size: 13px;
  }
  .keys {
    columns: 2 320px;
    column-gap: 28px;
    padding: 6px 16px 2px;
  }
  .keys section {
    break-inside: avoid;
  }
  .keys h3 {
    font: 600 12px var(--sans);
    color: var(--dim);
    margin: 8px 0 4px;
  }
  .keys dl {
    margin: 0;
  }
  .keys dl div {
    display: grid;
    grid-template-columns: 116px 1fr;
    padding: 2px 0;
  }
  .keys dd {
    margin: 0;
  }
  dialog > .check {
    padding: 8px 16px 14px;
  }

  @media (max-width: 720px) {
    .sheet {
      left: 4vw;
      right: 4vw;
      top: 84px;
      width: auto;
      max-width: none;
    }
  }
`;
