// What the page says, without a page.
import assert from "node:assert/strict";
import { test } from "node:test";

import { History, summary } from "../../dashboard/chart.mjs";
import * as format from "../../dashboard/format.mjs";
import * as words from "../../dashboard/words.mjs";

const now = Date.UTC(2026, 10, 22, 14, 40, 7) * 1000;
const second = 1e6;

const site = (name, more) => ({
  site: name, role: "secondary", state: "streaming", recovery_point_us: now - 2 * second,
  lag_seconds: 2, verified: 1200, parked: 0, report_at_us: now, reason: "", next_step: "", ...more,
});
const london = site("london", {
  role: "primary", state: "serving", recovery_point_us: null, verified: null, parked: null,
});
const store = (more) => ({
  store: "blobs/uploads", state: "streaming", reason: "", next_step: "", capture_lag_seconds: 0.2,
  delivery_lag_seconds: 0.3, apply_lag_seconds: 1.3, total_lag_seconds: 1.8, backlog_events: 63,
  backlog_bytes: 18000, captured_through_us: now - second, applied: 5, verified: 5, mismatches: 0,
  parked: 0, copy: null, ...more,
});
const status = (more) => ({
  site: "sydney", role: "secondary", recovery_point_reason: "", sites: [london, site("sydney")],
  stores: [store()], exceptions: [], workers: [], ...more,
});

test("writes numbers as the command line does", () => {
  assert.deepEqual([0, 9.94, 9.95, 59.4, 59.5, 503, 3600, 90000, -2, null].map(format.duration),
    ["0.0s", "9.9s", "10s", "59s", "1m00s", "8m23s", "1h00m", "1d01h", "-2.0s", "?"]);
  assert.deepEqual([-0.1, 0.9, 59.9, 60, 849, -2].map(format.age),
    ["0s", "0s", "59s", "1m00s", "14m09s", "-2s"]);
  assert.deepEqual([0, 999, 1000, 18000, 3.1e9].map(format.bytes),
    ["0 B", "999 B", "1.0 kB", "18 kB", "3.1 GB"]);
  assert.equal(format.moment(now - 2 * second, now), "14:40:05Z (2s ago)");
  assert.equal(format.time(now - 2 * 86400 * second, now), "2026-11-20 14:40:07Z");
  assert.equal(format.count(null), "?");
});

test("takes only what is known to be well for good", () => {
  assert.deepEqual(["serving", "streaming"].map(words.toneOf), ["good", "good"]);
  assert.deepEqual(["copying", "catching-up"].map(words.toneOf), ["moving", "moving"]);
  for (const state of ["degraded", "waiting", "paused", "something-new"]) {
    assert.equal(words.toneOf(state), "bad", state);
  }
  assert.deepEqual(["unknown", "", null, undefined].map(words.toneOf), Array(4).fill("unknown"));
});

test("knows what may be sent again", () => {
  const bodies = (more) => words.attention(status(more), now).map((each) => each.resync?.body);
  const parked = {
    store: "blobs/uploads", item: "a\\xff", item_hex: "61ff", kind: "parked", reason: "r",
    since_us: now,
  };
  const failed = store({ state: "degraded", reason: "60 items failed", parked: 60 });
  assert.deepEqual(bodies({ exceptions: [parked, { ...parked, item: "b", item_hex: null }] }),
    [{ store: "blobs/uploads", items_hex: ["61ff"] }, { store: "blobs/uploads", items: ["b"] }]);
  assert.deepEqual(bodies({ stores: [failed] }), [{ store: "blobs/uploads", failed: true }]);
  assert.deepEqual(bodies({ workers: [{
    name: "content check blobs/uploads", healthy: false, problem: "none of 60 items is here",
    since_us: now,
    next_step: "mount it; where they are lost: antipode resync --all --store blobs/uploads",
  }] }), [{ store: "blobs/uploads", all: true }]);
  // What is right again, what waits for the primary, and databases are not.
  assert.deepEqual(bodies({ exceptions: [{ ...parked, kind: "mended" },
    { ...parked, kind: "expired" }, { ...parked, store: "database/app" }] }),
  [undefined, undefined, undefined]);
  assert.deepEqual(bodies({ role: "primary", exceptions: [parked], stores: [failed] }),
    [undefined, undefined]);
});

test("says when content was looked at again", () => {
  const facts = (more) => Object.fromEntries(words.storeView(store(more), status(), now).facts);
  const content = { asked: 0, oldest_us: now - 7200 * second, differed: 0 };
  assert.equal(facts({ content_check: content })["Read again"], "oldest 2h00m ago");
  assert.equal(facts({ content_check: { ...content, asked: 1200 } })["Read again"], "1,200 left");
  assert.equal(facts({ content_check: { ...content, oldest_us: null } })["Read again"],
    "not all yet");
  assert.equal(facts({ check: { finished_us: now - 60 * second } }).Compared, "1m00s ago");
  assert.equal(facts({ check: { finished_us: null } }).Compared, "not yet");
  assert.ok(!("Read again" in facts({})) && !("Compared" in facts({})));
});

test("says when a store catches up", () => {
  const said = (more) => Object.fromEntries(words.storeView(store(more), status(), now).facts)[
    "Catches up"];
  assert.equal(said({ catches_up_seconds: 0, apply_rate: null }), "now");
  assert.equal(said({ catches_up_seconds: 372, apply_rate: 5 }), "in 6m12s");
  assert.equal(said({ catches_up_seconds: null, apply_rate: 0.5 }), "not at this rate");
  assert.equal(said({ catches_up_seconds: null, apply_rate: null }), "?");
  assert.equal(said({}), undefined, "an older daemon");
});

test("says how long changes take, and how long what is kept lasts", () => {
  const said = (more) => Object.fromEntries(words.storeView(store(more), status(), now).facts);
  const took = { p50_seconds: 0.3, p95_seconds: 2.4, p99_seconds: 65, changes: 9 };
  assert.equal(said({ lag_percentiles: took })["P50, P95, P99 of 1h"], "0.3s, 2.4s, 1m05s");
  assert.equal(said({ lag_percentiles: null })["P50, P95, P99 of 1h"], "?, ?, ?");
  const slot = { retention_seconds: 15120, bytes_per_second: 9 };
  assert.equal(said({ slot })["Slot lasts"], "4h12m");
  assert.equal(said({ slot: { ...slot, retention_seconds: null } })["Slot lasts"], "-");
  assert.equal(said({ slot: { retention_seconds: null, bytes_per_second: null } })["Slot lasts"],
    "?");
  const older = said({ slot: {} });
  assert.ok(!("Slot lasts" in older) && !("P50, P95, P99 of 1h" in older), "an older daemon");
  const kept = (more) => Object.fromEntries(
    words.siteView(site("sydney", more), status(), now).facts)["Keeps for"];
  assert.equal(kept({ retention_seconds: 7200 }), "2h00m");
  assert.equal(kept({ retention_seconds: null }), "?");
  assert.equal(kept({}), undefined);
});

test("says how the inventory compares with the primary's", () => {
  const said = (inventory) => Object.fromEntries(words.storeView(
    store({ content_check: { asked: 0, oldest_us: now }, inventory }), status(), now).facts)
    .Inventory;
  const inventory = { equal_us: now - 3 * second, undecided: 0, differed: 0 };
  assert.equal(said(inventory), "equal 3s ago");
  assert.equal(said({ ...inventory, undecided: 12 }), "equal 3s ago, 12 of 1,024 parts open");
  assert.equal(said({ ...inventory, equal_us: null, differed: 2 }), "not equal yet, 2 differed");
  assert.equal(said(undefined), undefined);
});

test("says what the checks of other sites found", () => {
  const differs = {
    store: "database/app", checked_us: now - 7200 * second, what: "public.items differs",
    next_step: "antipode database check --mend",
  };
  const well = { store: "blobs/uploads", checked_us: now - 60 * second, what: "", next_step: "" };
  const checked = (checks) => Object.fromEntries(
    words.siteView(site("sydney", { checks }), status(), now).facts).Checked;
  assert.equal(checked([differs, well]), "oldest 2h00m ago, 1 of 2 stores not well");
  assert.equal(checked([well, { ...well, checked_us: null }]), "not all yet");
  assert.equal(checked(null), undefined);
  const seen = (more) => words.attention(status({
    site: "london", role: "primary", stores: [],
    sites: [london, site("sydney", { checks: [differs, well], ...more })],
  }), now);
  assert.deepEqual(seen().map(({ what, reason, next }) => ({ what, reason, next })), [{
    what: "sydney database/app", reason: "public.items differs",
    next: "on sydney: antipode database check --mend",
  }]);
  const reason = "database/app: public.items differs";
  const [said, ...others] = seen({ state: "degraded", reason });
  assert.equal(said.what, "sydney is degraded");
  assert.deepEqual(others, [], "once is enough");
});

test("says in one sentence what is safe", () => {
  const said = words.headline(status(), now);
  assert.equal(said.text, "Everything up to 14:40:05Z (2s ago) is safe on sydney.");
  assert.equal(said.tone, "good");
  assert.equal(words.headline(status(), now, true).text,
    "Everything up to 14:40:05Z was safe on sydney.");
});

test("speaks on the primary of the secondary that is furthest behind", () => {
  const tokyo = site("tokyo", { recovery_point_us: now - 60 * second, state: "catching-up" });
  const said = words.headline(
    status({ site: "london", role: "primary", sites: [london, site("sydney"), tokyo] }), now);
  assert.match(said.text, /^Everything up to 14:39:07Z \(1m00s ago\) is safe on all 2 secondaries/);
  assert.equal(said.tone, "moving");
});

test("never makes a number or a colour of what is unknown", () => {
  const blind = site("sydney", { recovery_point_us: null });
  const said = words.headline(
    status({ sites: [london, blind], recovery_point_reason: "initial copy of database/app" }), now);
  assert.deepEqual(said, {
    text: "How much is safe on sydney is unknown.", more: "initial copy of database/app",
    tone: "unknown",
  });
  assert.equal(words.headline(status({ role: "unassigned" }), now).tone, "unknown");
  assert.equal(words.headline(status({ role: "primary", sites: [london] }), now).tone, "bad");
  const nothing = site("sydney", { recovery_point_us: null, verified: null, parked: null });
  const facts = Object.fromEntries(words.siteView(nothing, status(), now).facts);
  assert.deepEqual([facts["Recovery point"], facts.Lag, facts.Verified, facts.Failed],
    ["?", "?", "?", "?"]);
  const view = words.storeView(store({ total_lag_seconds: null, apply_lag_seconds: null }),
    status(), now);
  assert.equal(view.sentence, "Its lag is unknown: capture 0.2s, delivery 0.3s, apply ?.");
});

test("takes an old report for no report", () => {
  const old = words.siteView(site("sydney", { report_at_us: now - 11 * second }), status(), now);
  assert.deepEqual([old.tone, old.state], ["unknown", "streaming?"]);
  assert.match(Object.fromEntries(old.facts).Report, /11s ago, STALE/);
  const problems = words.attention(
    status({ sites: [site("london", { report_at_us: null }), site("sydney")] }), now);
  assert.equal(problems[0].what, "london does not report");
  const silent = site("tokyo", {
    report_at_us: now - 60 * second, reason: "disk full", next_step: "x", recovery_point_us: null,
  });
  const [problem] = words.attention(status({ sites: [silent, site("sydney")] }), now);
  assert.equal(problem.reason, "Its last report came 1m00s ago and said: disk full");
  assert.equal(problem.next, "antipode doctor");
});

test("draws a lag only where there is one", () => {
  const edge = (more) => words.siteView(site("sydney", more), status(), now);
  assert.equal(edge({ recovery_point_us: null, state: "waiting" }).edgeTone, "unknown");
  assert.equal(edge({ role: "unassigned", recovery_point_us: null }).edge, "");
  assert.equal(edge({ role: "unassigned" }).role, "no role yet");
  assert.equal(edge({ role: "unknown" }).role, "role unknown");
});

test("counts ages on, between two reports", () => {
  assert.equal(words.siteView(site("sydney"), status(), now + 5 * second).edge, "7.0s behind");
});

test("names every problem once, with its next step", () => {
  const lane = { state: "waiting", reason: "relay: no route", next_step: "antipode doctor" };
  const problems = words.attention(status({
    exceptions: [{
      store: "blobs/uploads", item: "a.txt", kind: "parked", class: "transient",
      reason: "disk full", next_step: "antipode lag", since_us: now - 120 * second, tries: 3,
      next_try_us: now + 20 * second,
    }],
    stores: [store(lane), store({ ...lane, store: "repositories/git" })],
    workers: [{ name: "relay", healthy: false, problem: "no route", next_step: "", since_us: now },
      ...["pull 1", "pull 2"].map((name) => (
        { name, healthy: false, problem: "denied", next_step: "x", since_us: now }))],
  }), now);
  assert.deepEqual(problems.map((problem) => problem.what), ["blobs/uploads a.txt is parked",
    "blobs/uploads, repositories/git are waiting", "pull 1, pull 2 are waiting"]);
  assert.equal(problems[0].details, "transient, 3 tries, for 2m00s, next try in 20s");
  assert.equal(problems[1].next, "antipode doctor");
});

test("says of a store that its items failed only when they are not all listed", () => {
  const failed = { store: "blobs/uploads", item: "a.txt", kind: "parked", reason: "disk full" };
  const said = (parked) => words.attention(status({
    exceptions: [failed],
    stores: [store({ state: "degraded", parked, reason: `${parked} items failed and so on` })],
  }), now).map((problem) => problem.what);
  assert.deepEqual(said(1), ["blobs/uploads a.txt is parked"]);
  assert.deepEqual(said(70), ["blobs/uploads a.txt is parked", "blobs/uploads is degraded"]);
});

test("accounts for the whole lag", () => {
  assert.match(words.storeView(store({ total_lag_seconds: 31.8 }), status(), now).sentence,
    /^32s behind: capture 0.2s, delivery 0.3s, apply 1.3s, last marker 30s ago\.$/);
});

test("keeps three minutes of lag, and leaves a gap where it was unknown", () => {
  const history = new History();
  for (let i = 0; i <= 200; ++i) {
    const apply = i === 190 ? 4 : 1;
    history.add(now + i * second, i === 150 ? {}
      : store({ apply_lag_seconds: apply, total_lag_seconds: 1 + apply }));
  }
  assert.equal(history.samples.length, 180);
  assert.equal(history.runs().length, 2);
  assert.deepEqual(summary(history),
    { most: 5, text: "At most 5.0s in the last 3m00s." });
  assert.equal(summary(new History()).most, null);
});
