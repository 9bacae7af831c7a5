import { describe, expect, it } from "vitest";
import { Course } from "../src/course";
import { Paced } from "../src/paced";

describe("a course", () => {
  it("keeps the last aim only, and ends the requests of the others", () => {
    const course = new Course();
    const first = course.set(7);
    expect([course.keeps(first), course.seq]).toEqual([true, 7]);
    const second = course.set();
    expect([course.keeps(first), first.signal.aborted, course.keeps(second), course.seq]).toEqual([
      false,
      true,
      true,
      null,
    ]);
  });

  it("is given up by whoever goes anywhere", () => {
    const course = new Course();
    const aim = course.set(7);
    course.leave();
    expect([course.keeps(aim), aim.signal.aborted, course.seq]).toEqual([false, true, null]);
    expect(course.keeps(null)).toBe(false);
  });
});

describe("paced work", () => {
  it("is never done twice at once, and once more for all that was asked for meanwhile", async () => {
    const ends: (() => void)[] = [];
    const work = new Paced(0, () => new Promise((done) => ends.push(done)));
    for (let at = 0; at < 5; at += 1) work.ask();
    expect(ends.length).toBe(1);
    ends[0]!();
    await expect.poll(() => ends.length).toBe(2);
    ends[1]!();
    await new Promise((done) => setTimeout(done));
    expect(ends.length).toBe(2);
    work.ask();
    await expect.poll(() => ends.length).toBe(3);
  });

  it("does no more of what was asked for once it is closed", async () => {
    const ends: (() => void)[] = [];
    const work = new Paced(0, () => new Promise((done) => ends.push(done)));
    work.ask();
    work.ask();
    work.close();
    ends[0]!();
    await new Promise((done) => setTimeout(done));
    expect(ends.length).toBe(1);
  });
});
