/** What is not needed for the first rows, in a module that is loaded after them: the timeline, panels, menus, the help. */

export { asideStyles } from "./aside-styles";
export { helpBody } from "./help";
export { recordPanel, sourcesPanel } from "./panels";
export { downloads, filterForm, lookForm } from "./sheets";
export { BUCKETS, Buckets, drawTicks, drawTimeline, fitCanvas } from "./timeline";
