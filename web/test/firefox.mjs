/**
 * Looks at a log in Firefox as a reader would: `node firefox.mjs ADDRESS FILE LINES RATIO`.
 *
 * FILE is the log's own, of LINES lines `row N` with one `Needle` among them; lines are added to it. Prints what was
 * reached as JSON; ends with an error where something never came.
 */

import { appendFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [address, file, given, ratio] = process.argv.slice(2);
const lines = Number(given);

/** In the page: whether the row of a line, counted from 1, is in view and says what it should. */
function isSeen(number, text) {
  const root = document.querySelector("task-log").shadowRoot;
  const row = root.querySelector(`.row:not([hidden])[data-seq="${number - 1}"]`);
  if (!row?.textContent.includes(text)) return false;
  const [box, view] = [row.getBoundingClientRect(), root.querySelector(".scroller").getBoundingClientRect()];
  return box.top >= view.top - 1 && box.bottom <= view.bottom + 1;
}

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath: "/usr/bin/firefox-esr",
  extraPrefsFirefox: { "layout.css.devPixelsPerPx": ratio },
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const said = [];
  page.on("pageerror", (error) => said.push(String(error)));
  const seen = async (number, text = `row ${number}`) => page.waitForFunction(isSeen, {}, number, text);
  const told = async (selector, text) =>
    page.waitForFunction(
      (where, wanted) =>
        document.querySelector("task-log").shadowRoot.querySelector(where)?.textContent.includes(wanted),
      {},
      selector,
      text,
    );
  const reached = [];
  await page.goto(`${address}#L1`);
  await seen(1);
  reached.push("the first line");
  await page.keyboard.press("G");
  await seen(lines);
  reached.push("the last line by a key");
  await page.keyboard.press("g");
  await seen(1);
  await page.evaluate(() => {
    const scroller = document.querySelector("task-log").shadowRoot.querySelector(".scroller");
    scroller.scrollTop = scroller.scrollHeight;
  });
  await seen(lines);
  reached.push("the last line by the scroll bar");
  appendFileSync(file, `2024-11-20T13:00:00Z INFO row ${lines + 1}\n`);
  await seen(lines + 1);
  reached.push("a new line");
  await page.keyboard.press("/");
  await page.keyboard.type("needle");
  await page.keyboard.press("Enter");
  await told(".count", "1 of 1");
  await told(".row.current mark", "Needle");
  reached.push("a hit");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await told("dialog", "next page");
  reached.push("the help");
  const ratioSeen = await page.evaluate(() => devicePixelRatio);
  console.log(JSON.stringify({ reached, said, ratio: ratioSeen }));
} finally {
  await browser.close();
}
