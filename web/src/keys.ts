/** Keys: what each does. What they are called is in the help (`help.ts`). */

const COMMANDS = {
  down: ["j", "ArrowDown"],
  up: ["k", "ArrowUp"],
  pageDown: [" ", "PageDown"],
  pageUp: ["b", "PageUp"],
  start: ["g", "Home"],
  end: ["G", "End"],
  follow: ["F"],
  search: ["/"],
  nextHit: ["n"],
  previousHit: ["N"],
  nextError: ["e"],
  previousError: ["E"],
  nextGroup: ["]"],
  previousGroup: ["["],
  fold: ["x"],
  foldAll: ["X"],
  goto: [":"],
  level1: ["1"],
  level2: ["2"],
  level3: ["3"],
  level4: ["4"],
  level5: ["5"],
  wrap: ["w"],
  time: ["t"],
  source: ["s"],
  mark: ["m"],
  nextMark: ["'"],
  previousMark: ['"'],
  copyLink: ["y"],
  download: ["d"],
  fullScreen: ["f"],
  open: ["Enter"],
  help: ["?"],
  close: ["Escape"],
} as const;

export type Command = keyof typeof COMMANDS;

/** The command of each key, as it is in `KeyboardEvent.key`. */
export const BY_KEY: ReadonlyMap<string, Command> = new Map(
  Object.entries(COMMANDS).flatMap(([command, keys]) => keys.map((key) => [key, command as Command] as const)),
);

/** The command of a key; those of one character only where shortcuts are on. */
export function commandOf(event: KeyboardEvent, singleKeys: boolean): Command | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return undefined;
  if (!singleKeys && event.key.length === 1 && event.key !== " ") return undefined;
  return BY_KEY.get(event.key);
}
