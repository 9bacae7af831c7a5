/** How the list of logs looks. */

import { css } from "./element";

export const listStyles = css`
  :host {
    display: block;
    position: fixed;
    inset: 0;
    overflow: auto;
  }
  header {
    position: sticky;
    top: 0;
    z-index: 1;
    display: flex;
    flex-wrap: wrap;
    gap: 8px 16px;
    align-items: center;
    padding: 10px max(16px, 50vw - 520px);
    background: var(--raised);
    border-bottom: 1px solid var(--line);
  }
  h1 {
    font: 600 15px/1.4 var(--sans);
    margin: 0;
  }
  header input {
    flex: 1 1 200px;
    max-width: 460px;
  }
  main {
    padding: 8px max(16px, 50vw - 520px) 40px;
  }
  ul {
    list-style: none;
    margin: 0;
    padding: 0;
  }
  ul ul {
    margin-left: 7px;
    padding-left: 13px;
    border-left: 1px solid var(--line);
  }
  summary {
    padding: 3px 0;
    cursor: pointer;
    overflow-wrap: anywhere;
  }
  .dim,
  .size,
  time {
    color: var(--dim);
    font-size: 12px;
    font-variant-numeric: tabular-nums;
    white-space: nowrap;
  }
  .dim {
    padding-left: 8px;
  }
  .log {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto 92px 72px 92px;
    gap: 2px 14px;
    align-items: baseline;
    padding: 3px 6px;
    border-radius: 5px;
  }
  .log:hover {
    background: var(--raised);
  }
  .log a {
    text-decoration: none;
    overflow-wrap: anywhere;
  }
  .log a:hover {
    text-decoration: underline;
  }
  .size,
  time {
    text-align: right;
  }
  .levels {
    display: flex;
    gap: 10px;
    font-size: 12px;
    font-variant-numeric: tabular-nums;
  }
  .error {
    color: var(--error);
  }
  .warning {
    color: var(--warning);
  }
  .none {
    color: var(--dim);
    padding: 10vh 0;
    text-align: center;
  }
  @media (max-width: 720px) {
    .log {
      grid-template-columns: minmax(0, 1fr) auto auto;
    }
    .log a {
      grid-column: 1 / -1;
    }
    .log > span:empty {
      display: none;
    }
    ul ul {
      margin-left: 3px;
      padding-left: 8px;
    }
  }
`;
