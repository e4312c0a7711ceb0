// The web page in a real Chromium, fed by two real sites.
import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { close, colours, entry, expectAccessible, launch, live, lost, openPage }
  from "./browser.mjs";
import { Sites, eventually } from "./sites.mjs";

const sites = new Sites();
let browser;

before(async () => {
  [browser] = await Promise.all([launch(), sites.start()]);
});

after(async () => {
  await browser?.close();
  await sites.stop();
});

const upload = (name, text = "x") => writeFile(join(sites.london.files, name), text);

test("shows both sites, from either of them", async () => {
  for (const site of sites.all) {
    const page = await openPage(browser, site.url);
    await live(page);
    await page.locator("#headline", { hasText: /^Everything up to .* is safe on sydney/ })
      .waitFor();
    await entry(page, "sites", "london").locator(".state", { hasText: "serving" }).waitFor();
    await entry(page, "sites", "sydney").locator(".state", { hasText: "streaming" }).waitFor();
    await entry(page, "stores", "blobs/uploads").waitFor();
    await entry(page, "stores", "repositories/git").waitFor();
    assert.match(await page.title(), new RegExp(`(serving|streaming) - ${site.name} - Antipode`));
    await expectAccessible(page, site.name);
    await close(page);
  }
});

test("shows a change without being asked", async () => {
  const page = await openPage(browser, sites.sydney.url);
  await live(page);
  const verified = async () => Number(await entry(page, "stores", "blobs/uploads")
    .locator("dl div", { hasText: "Verified" }).locator("dd").textContent());
  const before = await verified();
  await upload("news.txt", "something new");
  await eventually(async () => await verified() > before, "the count of verified files grows");
  await page.locator("summary").click();
  await entry(page, "seen", "blobs/uploads news.txt").first().waitFor();
  const point = () => page.locator("#headline").textContent();
  const earlier = await point();
  await eventually(async () => await point() !== earlier, "the headline goes on");
  await close(page);
});

test("is reachable by keyboard and fits a narrow screen", async () => {
  const page = await openPage(browser, sites.sydney.url, { viewport: { width: 400, height: 800 } });
  await live(page);
  await page.keyboard.press("Tab");
  await page.locator(".skip:focus").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("main:focus").waitFor();
  await page.keyboard.press("Tab");
  await page.locator("summary:focus").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("details[open]").waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 400, `${wide} pixels wide`);
  await expectAccessible(page, "narrow");
  await close(page);
});

test("says what failed, why, and what comes next", async () => {
  const page = await openPage(browser, sites.sydney.url);
  await live(page);
  await page.locator("#attention-none", { hasText: "Nothing." }).waitFor();
  await mkdir(join(sites.sydney.files, "taken.txt", "inside"), { recursive: true });
  await writeFile(join(sites.sydney.files, "taken.txt", "inside", "by-hand"), "x");
  await upload("taken.txt");
  const problem = entry(page, "attention", "blobs/uploads taken.txt");
  await problem.waitFor();
  assert.match(await problem.textContent(), /is parked.*directory.*tr(y|ies)/s);
  await entry(page, "stores", "blobs/uploads").locator('.state[data-tone="bad"]',
    { hasText: "degraded" }).waitFor();
  await entry(page, "sites", "sydney").locator('.state[data-tone="bad"]').waitFor();
  await page.locator("#announcement[role=status]",
    { hasText: "sydney is degraded, one thing needs attention." }).waitFor();
  await expectAccessible(page, "degraded");
  await rm(join(sites.sydney.files, "taken.txt"), { recursive: true });
  await close(page);
});

test("names what was changed by hand, with the command that mends it", async () => {
  const page = await openPage(browser, sites.sydney.url);
  await live(page);
  const stray = join(sites.sydney.files, "stray");
  await writeFile(stray, "put here by hand");
  const problem = entry(page, "attention", "1 thing is there that was never applied, stray");
  await problem.locator("code", {
    hasText: "antipode resync --store blobs/uploads --site sydney stray",
  }).waitFor();
  await problem.locator("button", { hasText: "Copy" }).waitFor();
  await expectAccessible(page, "by hand");
  await rm(stray);
  await page.locator("#attention-none", { hasText: "Nothing." }).waitFor();
  await close(page);
});

test("turns grey when the daemon dies, and is live again with it", async () => {
  const page = await openPage(browser, sites.sydney.url);
  const primary = await openPage(browser, sites.london.url);
  await Promise.all([live(page), live(primary)]);
  await sites.sydney.daemon.end("SIGKILL");
  await lost(page);
  assert.match(await page.locator("#lost").textContent(), /^No data since \d\d:\d\d:\d\dZ/);
  assert.match(await page.title(), /^no data - sydney/);
  await page.locator("#silence", { hasText: /^for \d+s$/ }).waitFor();
  assert.equal(new Set(await colours(page)).size, 1, "everything has the one grey");
  await entry(page, "sites", "sydney").locator(".state", { hasText: "was" }).waitFor();
  await expectAccessible(page, "lost");
  const silent = entry(primary, "attention", "sydney does not report");
  await silent.locator("code", { hasText: "antipode doctor" }).waitFor();
  await silent.locator("button").focus();
  await primary.keyboard.press("Enter");
  await silent.locator("button", { hasText: /Copied|Selected/ }).waitFor();
  await entry(primary, "sites", "sydney").locator('.state[data-tone="unknown"]').waitFor();
  await primary.locator('#headline[data-tone="unknown"]').waitFor();
  await sites.sydney.daemon.start();
  await live(page);
  await close(page);
  await close(primary);
});

test("turns grey when the daemon says nothing", async () => {
  const page = await openPage(browser, sites.london.url);
  await live(page);
  sites.london.daemon.signal("SIGSTOP");
  await lost(page);
  sites.london.daemon.signal("SIGCONT");
  await live(page);
  await close(page);
});

test("is not green while nothing can be published", async () => {
  const page = await openPage(browser, sites.london.url);
  await entry(page, "sites", "london").locator('.state[data-tone="good"]').waitFor();
  await sites.london.nats.end("SIGKILL");
  const bad = '.state[data-tone="bad"]';
  await entry(page, "sites", "london").locator(bad, { hasText: "degraded" }).waitFor();
  await entry(page, "stores", "blobs/uploads").locator(bad, { hasText: "degraded" }).waitFor();
  await entry(page, "attention", /blobs\/uploads are degraded.*nats/s).waitFor();
  await sites.london.nats.start();
  await entry(page, "sites", "london").locator('.state[data-tone="good"]').waitFor();
  await close(page);
});

test("stays live when too many watch", async () => {
  const watchers = await Promise.all(Array.from({ length: 17 }, () => new Promise((done) => {
    get(`${sites.london.url}/v1/watch`, done);
  })));
  assert.ok(watchers.some((answer) => answer.statusCode === 503));
  const page = await openPage(browser, sites.london.url);
  await live(page);
  const first = await page.locator("#headline").textContent();
  await eventually(async () => await page.locator("#headline").textContent() !== first,
    "the page asks again");
  watchers.forEach((answer) => answer.destroy());
  page.problems = page.problems.filter((problem) => !problem.includes("503"));
  await close(page);
});
