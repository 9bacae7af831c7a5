import { describe, expect, it } from "vitest";
import { MAX_BAR_PX, scaleOf, toBar, toLog } from "../src/scale";

describe("a scroll bar", () => {
  for (const rows of [0, 1, 40, 1000, 299_999, 10_000_000, 1_000_000_000]) {
    it(`reaches both ends of ${rows} rows, and comes back to where it was`, () => {
      const scale = scaleOf(rows, 20, 800);
      expect(scale.bar + 800).toBeLessThanOrEqual(MAX_BAR_PX);
      expect(toLog(scale, 0)).toBe(0);
      expect(toLog(scale, scale.bar)).toBe(Math.max(0, rows * 20 - 800));
      for (const part of [0, 0.0001, 0.1, 0.5, 0.99, 1]) {
        const logPx = part * scale.log;
        expect(toLog(scale, toBar(scale, logPx))).toBeCloseTo(logPx, 2);
      }
    });
  }

  it("moves by the pixel near the ends, and never backwards", () => {
    const scale = scaleOf(10_000_000, 20, 800);
    expect(toLog(scale, 20)).toBe(20);
    expect(scale.log - toLog(scale, scale.bar - 20)).toBe(20);
    let before = -1;
    for (let barPx = 0; barPx <= scale.bar; barPx += 1003) {
      const here = toLog(scale, barPx);
      expect(here).toBeGreaterThan(before);
      before = here;
    }
  });
});
