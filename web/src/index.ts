/** The viewer: one module that brings its elements. */

import { LogList } from "./log-list";
import { pageStyle } from "./styles";
import { TaskLog } from "./task-log";

customElements.define("task-log", TaskLog);
customElements.define("log-list", LogList);

// The pages of the server have no style of their own; a host's page does not get this one.
if (document.body?.querySelector(":scope > task-log, :scope > log-list")) {
  document.adoptedStyleSheets.push(pageStyle.styleSheet!);
}

export { LogList, TaskLog };
