// Debian's Chromium, and what the tests ask of a page in it.
import assert from "node:assert/strict";
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

function program() {
  for (const directory of `${process.env.PATH}:/usr/bin`.split(":")) {
    for (const name of ["chromium-headless-shell", "chromium"]) {
      try {
        accessSync(join(directory, name), constants.X_OK);
        return join(directory, name);
      } catch {
        // the next place
      }
    }
  }
  throw new Error("there is no Chromium. Try: scripts/packages install");
}

export function launch() {
  // Its sandbox needs a user who is not root; it sees nothing but the daemons under test.
  return chromium.launch({
    executablePath: program(),
    args: ["--no-sandbox", "--disable-dev-shm-usage",
      "--host-resolver-rules=MAP antipode.test 127.0.0.1"],
  });
}

/** A page that notes what must not be: errors, and requests to anywhere else. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ colorScheme: "light", ...options });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(`${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("net::ERR_")) {
      page.problems.push(message.text());
    }
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) {
      page.problems.push(`a request to ${request.url()}`);
    }
  });
  await page.goto(`${url}/`);
  return page;
}

export async function close(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

export const live = (page) => page.locator("body:not(.lost)").waitFor();
export const lost = (page) => page.locator("body.lost #lost:not([hidden])").waitFor();

/** The element of `list` whose heading or text says `text`. */
export const entry = (page, list, text) => page.locator(`#${list} > li`, { hasText: text });

/** Fails with every violation that axe-core finds, in light and in dark. */
export async function expectAccessible(page, when) {
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const found = await page.evaluate(async () => {
      const { violations } = await globalThis.axe.run();
      return violations.map((each) => `${each.id}: ${each.help}: ` +
        each.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; "));
    });
    assert.deepEqual(found, [], `${when}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** The tones of all states on the page, as their colours are, not as they are named. */
export function colours(page) {
  return page.evaluate(() => [...document.querySelectorAll(".state, .edge, #feed, #headline")]
    .filter((element) => element.getClientRects().length > 0)
    .map((element) => getComputedStyle(element).color));
}
