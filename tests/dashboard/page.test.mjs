// The web page in a real Chromium, fed by two real sites.
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, get, request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { close, colours, entry, expectAccessible, launch, live, lost, openPage }
  from "./browser.mjs";
import { Sites, eventually, token } from "./sites.mjs";

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
  const verified = async () => Number((await entry(page, "stores", "blobs/uploads")
    .locator("dl div", { hasText: "Verified" }).locator("dd").textContent())
    .match(/^(?:100\.00% of )?(\d+)/)[1]);
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
  await page.locator("#checklist-copy:focus").waitFor();
  await page.keyboard.press("Tab");
  await page.locator("summary:focus").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("details[open]").waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 400, `${wide} pixels wide`);
  await expectAccessible(page, "narrow");
  await close(page);
});

test("says what stands in the way of a promotion, in preflight's words", async () => {
  const asked = await sites.sydney.antipode("-o", "json", "preflight", "--to", "sydney")
    .catch((error) => error); // blocked: the primary has no fences
  const { blockers, warnings } = JSON.parse(asked.stdout);
  assert.ok(blockers.length > 0 && warnings.length > 0, asked.stdout);
  const page = await openPage(browser, sites.london.url);
  await live(page);
  for (const [found, tone, word] of [...blockers.map((each) => [each, "bad", "blocked"]),
    ...warnings.map((each) => [each, "moving", "warning"])]) {
    const line = entry(page, "checklist", found.what);
    await line.locator(`.state[data-tone="${tone}"]`, { hasText: word }).waitFor();
    assert.equal(await line.locator("code").textContent(), found.next_step);
  }
  await entry(page, "checklist", "london is serving").locator('.state[data-tone="good"]').waitFor();
  await page.locator('#checklist-sentence[data-tone="bad"]', { hasText: /^Blocked: / }).waitFor();
  await page.locator("#checklist-command", { hasText: "antipode preflight --to sydney" }).waitFor();
  await expectAccessible(page, "checklist");
  await page.locator("#checklist-copy").click();
  await page.locator("#checklist-copy", { hasText: /Copied|Selected/ }).waitFor();
  await close(page);
  const there = await openPage(browser, sites.sydney.url);
  await live(there);
  await entry(there, "checklist", "whether london can be fenced is known there").waitFor();
  await there.locator('#checklist-sentence[data-tone="unknown"]').waitFor();
  await close(there);
});

test("remembers changes of roles and drills", async () => {
  const page = await openPage(browser, sites.sydney.url);
  await live(page);
  await entry(page, "past", "following").first().waitFor();
  await sites.sydney.antipode("drill").catch(() => {}); // it ends as blocked, for want of fences
  await entry(page, "past", "drill").locator("span", { hasText: /blocked|ready|failed/ }).waitFor();
  await expectAccessible(page, "history");
  await close(page);
});

/** Takes away what is in the item's way on sydney, and does not wait for the item's next try. */
async function mend(name) {
  await rm(join(sites.sydney.files, name, "inside", "by-hand"));
  await sites.sydney.antipode("resync", "--store", "blobs/uploads", name);
}

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
  await mend("taken.txt");
  await close(page);
});

/** Makes a file that cannot be applied on sydney until mend(); what the page says of it. */
async function failing(page, name) {
  const inTheWay = join(sites.sydney.files, name);
  await mkdir(join(inTheWay, "inside"), { recursive: true });
  await writeFile(join(inTheWay, "inside", "by-hand"), "x");
  await upload(name, "what it should be");
  const problem = entry(page, "attention", `blobs/uploads ${name}`);
  await problem.waitFor();
  return problem;
}

/** What sydney says of the item that failed, once `holds(exception, nowUs)`. */
async function failure(name, holds, what) {
  let found;
  await eventually(async () => {
    const { exceptions, now_us: nowUs } = await sites.sydney.status();
    found = { ...exceptions.find((each) => each.item === name), nowUs };
    return holds(found);
  }, `${name} ${what}`, 60000);
  return found;
}

const isApplied = (name) => eventually(async () =>
  await readFile(join(sites.sydney.files, name), "utf8") === "what it should be",
`${name} is there`);

test("has what failed sent again, by keyboard, once it was told the token", async () => {
  const page = await openPage(browser, sites.sydney.url);
  await live(page);
  const problem = await failing(page, "failing.txt");
  const before = await failure("failing.txt", (each) => each.next_try_us > each.nowUs + 12e6,
    "is tried by itself, but rarely");
  const button = problem.locator("button", { hasText: "Resync" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.locator("#resync[open]", { hasText: "failing.txt of blobs/uploads" }).waitFor();
  await expectAccessible(page, "asking for the token");
  await page.keyboard.press("Escape");
  await page.locator("#resync:not([open])").waitFor({ state: "attached" });
  assert.ok(await button.evaluate((each) => each === document.activeElement));

  await page.keyboard.press("Enter");
  await page.locator("#resync-token:focus").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#resync-problem", { hasText: "The token is missing." }).waitFor();
  await page.keyboard.type("not the token");
  await page.keyboard.press("Enter");
  await page.locator("#resync-problem", { hasText: "not this daemon's token" }).waitFor();
  await expectAccessible(page, "refused");
  await page.locator("#resync-token").fill(token);
  await page.keyboard.press("Enter");
  await page.locator("#attention-done[role=status]",
    { hasText: "failing.txt is parked: 1 item is asked for again." }).waitFor();
  const after = await failure("failing.txt", (each) => each.tries > before.tries, "is tried");
  assert.ok(after.nowUs < before.next_try_us, "it is tried because it was asked for");

  // The token is kept for the next time, over a reload, in this tab alone.
  await page.reload();
  await live(page);
  await button.click();
  await page.locator("#resync-token").waitFor({ state: "hidden" });
  await page.locator("#resync-send").click();
  await page.locator("#attention-done", { hasText: "1 item is asked for again." }).waitFor();
  await mend("failing.txt");
  await isApplied("failing.txt");
  await page.locator("#attention-none", { hasText: "Nothing." }).waitFor();
  assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
  page.problems = page.problems.filter((each) => !each.includes("401"));
  await close(page);
});

test("offers to resync only where it may, and never without data", async () => {
  const page = await openPage(browser, sites.sydney.url);
  const primary = await openPage(browser, sites.london.url);
  // Neither HTTPS nor this machine: the token would pass the network as it is.
  const open = await openPage(browser, `http://antipode.test:${sites.sydney.port}`);
  await Promise.all([live(page), live(primary), live(open)]);
  const problem = await failing(page, "where.txt");
  await problem.locator("button", { hasText: "Resync" }).waitFor();
  await entry(open, "attention", "blobs/uploads where.txt").waitFor();
  await entry(primary, "attention", "sydney is degraded").waitFor();
  for (const each of [open, primary]) {
    assert.equal(await each.locator("#attention button:visible", { hasText: "Resync" }).count(), 0);
  }
  sites.sydney.daemon.signal("SIGSTOP");
  await lost(page);
  await problem.locator("button:disabled", { hasText: "Resync" }).waitFor();
  sites.sydney.daemon.signal("SIGCONT");
  await live(page);
  await mend("where.txt");
  await page.locator("#attention-none", { hasText: "Nothing." }).waitFor();
  open.problems = open.problems.filter((each) => !each.includes("origin was untrustworthy"));
  for (const each of [page, primary, open]) {
    await close(each);
  }
});

test("does nothing that a page from elsewhere asks for, not even with the token", async () => {
  const elsewhere = createServer((asked, answer) => {
    answer.setHeader("Content-Type", "text/html");
    answer.end("<!doctype html><title>elsewhere</title>");
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
  const ask = (options) => page.evaluate(async ([url, more]) => {
    const body = JSON.stringify({ store: "blobs/uploads", all: true });
    try {
      const answer = await fetch(`${url}/v1/resync`, { method: "POST", body, ...more });
      return answer.type;
    } catch (error) {
      return error.name;
    }
  }, [sites.sydney.url, options]);
  const authorized = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  assert.equal(await ask({ headers: authorized }), "TypeError", "the browser asks first");
  assert.equal(await ask({ mode: "no-cors", headers: { "Content-Type": "text/plain" } }), "opaque");
  await context.close();
  elsewhere.close();

  const status = (more) => new Promise((done) => {
    const headers = { ...authorized, ...more };
    request(`${sites.sydney.url}/v1/resync`, { method: "POST", headers },
      (answer) => done(answer.statusCode)).end('{"store":"blobs/uploads","failed":true}');
  });
  assert.equal(await status({ Origin: "http://127.0.0.1:1" }), 403);
  assert.equal(await status({ "Sec-Fetch-Site": "same-site" }), 403);
  assert.equal(await status({ "Content-Type": "text/plain" }), 415);
  assert.equal(await status({ Authorization: "Bearer other" }), 401);
  assert.equal(await status({}), 200);
  const { exceptions } = await sites.sydney.status();
  assert.deepEqual(exceptions, []);
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
  await problem.locator("button", { hasText: "Resync" }).click();
  await page.locator("#resync", { hasText: "when the primary does not have it, it is removed" })
    .waitFor();
  await page.locator("#resync-token").fill(token);
  await page.locator("#resync-send").click();
  await eventually(() => access(stray).then(() => false, () => true), "it is removed");
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
  await silent.locator("button:visible").focus();
  await primary.keyboard.press("Enter");
  assert.equal(await silent.locator("button", { hasText: "Resync" }).count(), 0);
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
