/** Keys: what each does, in the words of the help; the table is the help. */

export type Command =
  | "down"
  | "up"
  | "pageDown"
  | "pageUp"
  | "start"
  | "end"
  | "follow"
  | "search"
  | "nextHit"
  | "previousHit"
  | "nextError"
  | "previousError"
  | "nextGroup"
  | "previousGroup"
  | "fold"
  | "foldAll"
  | "goto"
  | "level1"
  | "level2"
  | "level3"
  | "level4"
  | "level5"
  | "wrap"
  | "time"
  | "source"
  | "mark"
  | "nextMark"
  | "copyLink"
  | "download"
  | "fullScreen"
  | "open"
  | "help"
  | "close";

interface Entry {
  readonly keys: readonly string[];
  readonly commands: readonly Command[];
  readonly does: string;
}

/** A key as it is in `KeyboardEvent.key`; in an entry each key goes with the command at its place, or with the last. */
export const KEYS: readonly { readonly title: string; readonly entries: readonly Entry[] }[] = [
  {
    title: "Move",
    entries: [
      { keys: ["j", "ArrowDown"], commands: ["down"], does: "next line" },
      { keys: ["k", "ArrowUp"], commands: ["up"], does: "previous line" },
      { keys: [" ", "PageDown"], commands: ["pageDown"], does: "next page" },
      { keys: ["b", "PageUp"], commands: ["pageUp"], does: "previous page" },
      { keys: ["g", "Home"], commands: ["start"], does: "first line" },
      { keys: ["G", "End"], commands: ["end"], does: "last line" },
      { keys: [":"], commands: ["goto"], does: "go to a line or time" },
      { keys: ["F"], commands: ["follow"], does: "follow the end" },
    ],
  },
  {
    title: "Find",
    entries: [
      { keys: ["/"], commands: ["search"], does: "search (also Ctrl+F; twice: the browser’s own)" },
      { keys: ["n", "N"], commands: ["nextHit", "previousHit"], does: "next, previous hit" },
      { keys: ["e", "E"], commands: ["nextError", "previousError"], does: "next, previous error" },
      { keys: ["]", "["], commands: ["nextGroup", "previousGroup"], does: "next, previous group" },
      {
        keys: ["1", "2", "3", "4", "5"],
        commands: ["level1", "level2", "level3", "level4", "level5"],
        does: "all · info · warning · error · critical and above",
      },
      { keys: ["m", "'"], commands: ["mark", "nextMark"], does: "mark the line, go to the next mark" },
    ],
  },
  {
    title: "Look",
    entries: [
      { keys: ["x", "X"], commands: ["fold", "foldAll"], does: "fold the group or record, all of them" },
      { keys: ["Enter"], commands: ["open"], does: "open the record of the line" },
      { keys: ["w"], commands: ["wrap"], does: "wrap long lines" },
      { keys: ["t"], commands: ["time"], does: "times: UTC, local, since start, off" },
      { keys: ["s"], commands: ["source"], does: "show sources" },
      { keys: ["f"], commands: ["fullScreen"], does: "full screen" },
    ],
  },
  {
    title: "Take",
    entries: [
      { keys: ["y"], commands: ["copyLink"], does: "copy a link to the line or lines" },
      { keys: ["d"], commands: ["download"], does: "download" },
      { keys: ["?"], commands: ["help"], does: "this help" },
      { keys: ["Escape"], commands: ["close"], does: "close, clear, cancel" },
    ],
  },
];

const BY_KEY = new Map<string, Command>(
  KEYS.flatMap(({ entries }) =>
    entries.flatMap(({ keys, commands }) =>
      keys.map((key, at): [string, Command] => [key, commands[Math.min(at, commands.length - 1)]!]),
    ),
  ),
);

/** The command of a key; those of one character only where shortcuts are on. */
export function commandOf(event: KeyboardEvent, singleKeys: boolean): Command | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return undefined;
  if (!singleKeys && event.key.length === 1 && event.key !== " ") return undefined;
  return BY_KEY.get(event.key);
}

/** How a key is written. */
export function keyName(key: string): string {
  const names: Record<string, string> = {
    " ": "Space",
    ArrowDown: "↓",
    ArrowUp: "↑",
    PageDown: "PgDn",
    PageUp: "PgUp",
    Escape: "Esc",
  };
  return names[key] ?? key;
}
