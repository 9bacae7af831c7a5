import { expect, it } from "vitest";
import { HELP } from "../src/help";
import { BY_KEY } from "../src/keys";

it("tells every key in the help, and no other", () => {
  const told = HELP.flatMap(([, entries]) => entries.flatMap(([keys]) => keys));
  expect([...told].sort()).toEqual([...BY_KEY.keys()].sort());
});
