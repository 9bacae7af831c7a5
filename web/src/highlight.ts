/**
 * Where the text of a search is in a line that is shown.
 *
 * Holds: at most MAX_MARKED places of a line, in time that is bounded. What counts as a hit the server has said; a pattern
 *        that a browser would try too long on a line, or does not know, is not marked.
 */

const MAX_MARKED = 50;
const MAX_STEPS = 1e7;

/** Returns the places where each match begins and ends, one after the other. */
export type Find = (text: string) => number[];

export function finderOf(q: string, isRegex: boolean, ignoresCase: boolean): Find {
  if (!q) return () => [];
  return isRegex ? patternFinder(q) : literalFinder(q, ignoresCase);
}

function literalFinder(q: string, ignoresCase: boolean): Find {
  return (text) => {
    const lower = ignoresCase ? text.toLowerCase() : text;
    const ends: number[] = [];
    // Where a letter has another length in the other case, places would be off.
    if (lower.length !== text.length) return ends;
    for (let at = lower.indexOf(q); at >= 0 && ends.length < 2 * MAX_MARKED; at = lower.indexOf(q, at + q.length))
      ends.push(at, at + q.length);
    return ends;
  };
}

function patternFinder(q: string): Find {
  const [, ignoreCase, body] = /^(\(\?i\))?(.*)$/s.exec(q)!;
  const pattern = compiled(body!, ignoreCase ? "giu" : "gu");
  return (text) => {
    const ends: number[] = [];
    if (pattern === null || stepsOf(body!, text.length) > MAX_STEPS) return ends;
    for (const { 0: found, index } of text.matchAll(pattern)) {
      if (found) ends.push(index, index + found.length);
      if (ends.length >= 2 * MAX_MARKED) break;
    }
    return ends;
  };
}

function compiled(body: string, flags: string): RegExp | null {
  try {
    return new RegExp(body, flags);
  } catch {
    return null; // the server's patterns have more than a browser knows
  }
}

/** How long a backtracking engine could take at worst: a power for each repetition, twice for each choice. */
function stepsOf(body: string, length: number): number {
  const bare = body.replace(/\\./gs, "x").replace(/\[[^\]]*\]/g, "x");
  if (/\)[*+{]/.test(bare)) return Number.POSITIVE_INFINITY;
  const repeats = bare.match(/[*+{]/g)?.length ?? 0;
  const choices = bare.match(/[|?]/g)?.length ?? 0;
  return length ** (repeats + 1) * 2 ** choices;
}
