/** The viewer: one module that brings `<task-log>`. */

import { TaskLog } from "./task-log";

customElements.define("task-log", TaskLog);

export { TaskLog };
