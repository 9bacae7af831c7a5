import { describe, expect, it } from "vitest";
import { finderOf } from "../src/highlight";

function found(q: string, isRegex: boolean, text: string, ignoresCase = false): string[] {
  const ends = finderOf(q, isRegex, ignoresCase)(text);
  return ends.flatMap((end, at) => (at % 2 ? [text.slice(ends[at - 1], end)] : []));
}

describe("the text of a search", () => {
  it("is found in both cases where only small letters were given", () => {
    expect(found("ab", false, "ab AB xaB", true)).toEqual(["ab", "AB", "aB"]);
    expect(found("Ab", false, "ab Ab")).toEqual(["Ab"]);
    expect(found("i", false, "\u0130 i", true)).toEqual([]);
  });

  it("is found by a pattern, each place once", () => {
    expect(found("row [34]\\d*", true, "row 31 row 5 row 4")).toEqual(["row 31", "row 4"]);
    expect(found("(?i)error|warn", true, "ERROR Warn")).toEqual(["ERROR", "Warn"]);
    expect(found("x*", true, "axxb")).toEqual(["xx"]);
  });

  it("is not marked where the browser does not know the pattern, or would try for long", () => {
    expect(found("(?P<name>a)", true, "a")).toEqual([]);
    expect(found("(a+)+b", true, "a".repeat(40))).toEqual([]);
    expect(found(".*.*.*x", true, "a".repeat(8000))).toEqual([]);
  });

  it("is marked at so many places of a line", () => {
    expect(found("a", false, "a".repeat(8000)).length).toBe(50);
    expect(found("a", true, "a".repeat(2000)).length).toBe(50);
  });
});
