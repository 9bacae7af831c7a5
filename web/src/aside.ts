/** What is seldom looked at, in a module that is loaded when it is wanted: panels, menus' content, dialogs. */

export { asideStyles } from "./aside-styles";
export { helpBody } from "./help";
export { recordPanel, sourcesPanel } from "./panels";
export { downloads, filterForm, lookForm } from "./sheets";
