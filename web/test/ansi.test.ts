import { describe, expect, it } from "vitest";
import { parseLine, plainText, type Style } from "../src/ansi";

const ESC = "\u001b";

const text = (line: string): string => plainText(parseLine(line));
const styles = (line: string): [string, Style][] => parseLine(line).map((run) => [run.text, run.style]);

describe("colours", () => {
  it.each<[string, [string, Style][]]>([
    ["plain", [["plain", {}]]],
    [
      `${ESC}[31mred${ESC}[0m ok`,
      [
        ["red", { fg: 1 }],
        [" ok", {}],
      ],
    ],
    [
      `${ESC}[1;92mx${ESC}[22my`,
      [
        ["x", { bold: true, fg: 10 }],
        ["y", { bold: false, dim: false, fg: 10 }],
      ],
    ],
    [`${ESC}[38;5;196mx`, [["x", { fg: "#ff0000" }]]],
    [`${ESC}[38;5;9mx`, [["x", { fg: 9 }]]],
    [
      `${ESC}[48;2;1;2;3mx${ESC}[49my`,
      [
        ["x", { bg: "#010203" }],
        ["y", {}],
      ],
    ],
    [`${ESC}[38;5mx`, [["x", {}]]],
    [`${ESC}[mx`, [["x", {}]]],
  ])("%j", (line, expected) => {
    expect(styles(line)).toEqual(expected);
  });
});

describe("what a terminal would do is not done", () => {
  it.each([
    [`a${ESC}[2Kb${ESC}[10;10Hc${ESC}[?25ld`, "abcd"],
    ["10 %\r50 %\r100 %", "100 %"],
    ["Windows\r", "Windows"],
    ["\u2819\x1b[1G\x1b[0K\u2839\x1b[1G\x1b[0Kadded 1 package", "added 1 package"],
    ["left as it was\x1b[1G\x1b[0K", "left as it was"],
    ["left as it was\r\x1b[0m", "left as it was"],
    ["over\u0008\u0008\u0008ride", "over⟨BS⟩⟨BS⟩⟨BS⟩ride"],
    [`${ESC}]0;a title\u0007text`, "⟨OSC⟩0;a titletext"],
    [`${ESC}[31`, "⟨ESC⟩[31"],
    [`${ESC}`, "⟨ESC⟩"],
    ["NUL \u0000 BEL \u0007 DEL \u007f C1 \u0085", "NUL ⟨NUL⟩ BEL ⟨BEL⟩ DEL ⟨DEL⟩ C1 ⟨x85⟩"],
    ["a\u202egnp.exe\u202c", "a⟨RLO⟩gnp.exe⟨PDF⟩"],
    ["\u2066x\u2069\u200b\ufeff\u{e0041}", "⟨LRI⟩x⟨PDI⟩⟨ZWSP⟩⟨BOM⟩⟨U+E0041⟩"],
    ["half \ud800 a pair", "half ⟨U+D800⟩ a pair"],
    ["tab\tstays, עברית and 👩‍👩‍👧 too", "tab\tstays, עברית and 👩‍👩‍👧 too"],
  ])("%j", (line, expected) => {
    expect(text(line)).toBe(expected);
  });
});

describe("links", () => {
  const link = (target: string): string => `${ESC}]8;;${target}${ESC}\\safe${ESC}]8;;${ESC}\\ on`;

  it("to the web are links whose target is seen", () => {
    expect(text(link("https://example.com/a"))).toBe("safe ⟨https://example.com/a⟩ on");
    expect(styles(link("https://example.com/a"))[1]![1].href).toBe("https://example.com/a");
  });

  it.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://a b", "//x", "https:\\\\x"])(
    "to %j are text",
    (target) => {
      expect(styles(link(target)).some(([, style]) => style.href !== undefined)).toBe(false);
      expect(text(link(target))).toBe(`safe ⟨${target}⟩ on`);
    },
  );

  it("that are not ended show their target at the end", () => {
    expect(text(`${ESC}]8;;https://example.com${ESC}\\text`)).toBe("text ⟨https://example.com⟩");
  });
});

it("a long line of escapes is read in a moment", () => {
  expect(text(`${ESC}[1m`.repeat(100_000))).toBe("");
  expect(text(`${ESC}]8;;`.repeat(20_000))).toContain("⟨ESC⟩");
});
