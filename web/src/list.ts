/** The list of logs: one module that brings `<log-list>`. */

import { LogList } from "./log-list";

customElements.define("log-list", LogList);

export { LogList };
