import { expect, it } from "vitest";
import { type Fold, Folds } from "../src/folds";

function shown(lines: number, folds: readonly Fold[]): number[] {
  const hidden = new Set<number>();
  for (const { head, end } of folds) for (let line = head + 1; line < end; line += 1) hidden.add(line);
  return Array.from({ length: lines }, (_, line) => line).filter((line) => !hidden.has(line));
}

const CASES: { closed: Fold[] }[] = [
  { closed: [] },
  { closed: [{ head: 0, end: 5 }] },
  {
    closed: [
      { head: 3, end: 10 },
      { head: 4, end: 6 },
      { head: 10, end: 12 },
      { head: 20, end: 30 },
    ],
  },
  { closed: [{ head: 29, end: 30 }] },
];

it.each(CASES)("rows and lines are counted around folds %#", ({ closed }) => {
  const folds = new Folds();
  folds.close(closed);
  const lines = shown(30, closed);
  expect(30 - folds.hiddenLines).toBe(lines.length);
  lines.forEach((line, row) => {
    expect(folds.lineOf(row)).toBe(line);
    expect(folds.rowOf(line)).toBe(row);
  });
});

it("ends of groups are hidden for good, beside each other, under a fold and behind one", () => {
  const folds = new Folds();
  folds.hide([0, 5, 6, 9, 20]);
  folds.close([
    { head: 4, end: 6 },
    { head: 8, end: 12 },
    { head: 19, end: 21 },
  ]);
  const lines = Array.from({ length: 30 }, (_, line) => line).filter((line) => ![5, 6, 9, 10, 11, 20].includes(line));
  expect(30 - folds.hiddenLines).toBe(lines.length);
  lines.forEach((line, row) => {
    expect([folds.lineOf(row), folds.rowOf(line)]).toEqual([line, row]);
  });
  expect([folds.rowOf(6), folds.isClosed(4), folds.isClosed(5), folds.size]).toEqual([4, true, false, 3]);
  folds.openAll();
  expect(folds.hiddenLines).toBe(4);
});

it("a hidden line is at the row of its head, and can be brought out", () => {
  const folds = new Folds();
  folds.close([
    { head: 3, end: 10 },
    { head: 4, end: 6 },
  ]);
  expect(folds.rowOf(5)).toBe(3);
  expect(folds.reveal(5)).toBe(true);
  expect(folds.rowOf(5)).toBe(5);
  expect(folds.reveal(5)).toBe(false);
});
