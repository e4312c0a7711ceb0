// The promotion checklist, the history and the bars, without a page.
import assert from "node:assert/strict";
import { test } from "node:test";

import { checklist } from "../../dashboard/checklist.mjs";
import { aboutOf, pastView } from "../../dashboard/past.mjs";
import * as words from "../../dashboard/words.mjs";

const now = Date.UTC(2026, 10, 22, 14, 40, 7) * 1000;
const second = 1e6;

const site = (name, more) => ({
  site: name, role: "secondary", state: "streaming", recovery_point_us: now - 2 * second,
  verified: 1200, parked: 0, report_at_us: now, reason: "", next_step: "", ...more,
});
const london = (more) => site("london", {
  role: "primary", state: "serving", recovery_point_us: null, verified: null, parked: null, ...more,
});
const store = (more) => ({ store: "blobs/uploads", state: "streaming", reason: "", ...more });
const status = (more) => ({
  site: "sydney", role: "secondary", sites: [london(), site("sydney")], stores: [store()],
  failover: { state: "following", blockers: [], warnings: [] }, ...more,
});
const bad = (more) => checklist(status(more), now).lines.filter((line) => line.tone === "bad")
  .map((line) => [line.what, line.next]);

test("calls nothing good that only the other site knows", () => {
  const list = checklist(status(), now);
  assert.deepEqual([list.tone, list.command], ["unknown", "antipode preflight --to sydney"]);
  assert.equal(list.sentence,
    "Nothing that is known here stands in the way of a switchover to sydney.");
  assert.deepEqual(list.lines.filter((line) => line.tone !== "good").map((line) => line.what),
    ["whether london can be fenced is known there"]);
  assert.equal(checklist(status({ sites: [london()] }), now), null);
});

test("names each blocker with its next step, in preflight's words", () => {
  const blocked = { what: "nothing stops writes to blobs/uploads", next_step: "set fence_command" };
  assert.deepEqual(bad({ failover: { state: "following", blockers: [blocked], warnings: [] } }),
    [["sydney: nothing stops writes to blobs/uploads", "set fence_command"]]);
  assert.deepEqual(bad({ sites: [london(), site("sydney", { parked: 14 })] }),
    [["14 items failed on sydney", "antipode status sydney"]]);
  assert.deepEqual(bad({ sites: [london(),
    site("sydney", { recovery_point_us: now - 12 * second })] }),
  [["sydney is 12s behind, or its clock is ahead",
    "antipode lag sydney; compare both machines' clocks"]]);
  assert.deepEqual(bad({ sites: [london(),
    site("sydney", { recovery_point_us: null, reason: "initial copy", next_step: "wait" })] }),
  [["sydney does not know its recovery point: initial copy", "wait"]]);
  assert.deepEqual(bad({ stores: [store({ state: "paused", reason: "paused by ann",
    next_step: "antipode resume blobs/uploads" })] }),
  [["sydney blobs/uploads: paused by ann", "antipode resume blobs/uploads"]]);
  assert.deepEqual(bad({ sites: [london({ report_at_us: now - 60 * second }), site("sydney")] }),
    [["the primary, london, does not report",
      "if it is off: antipode promote SITE --fenced-by TEXT"]]);
  assert.deepEqual(bad({ sites: [london(), site("sydney"), site("tokyo")] }), [],
    "the others follow");
  assert.deepEqual(bad({ failover: { state: "fencing", operation: "switchover-2", problem: "x",
    next_step: "", blockers: [], warnings: [] } }),
  [["sydney is in the middle of switchover-2 (fencing): x", "antipode status"]]);
});

test("takes what is not known for no good", () => {
  const list = checklist(status({ failover: {} }), now);
  assert.deepEqual([list.tone, list.command], ["unknown", "antipode preflight --to sydney"]);
  const there = checklist(status({ site: "london", role: "primary",
    failover: { state: "serving", blockers: [], warnings: [] } }), now);
  assert.equal(there.tone, "unknown", "what sydney lacks is known on sydney");
  const warned = checklist(status({ failover: { state: "following", blockers: [],
    warnings: [{ what: "hooks alone", next_step: "" }] } }), now);
  assert.equal(warned.tone, "unknown");
  assert.deepEqual(warned.lines.filter((line) => line.tone === "moving").map((line) => line.what),
    ["sydney: hooks alone"]);
});

test("puts changes of the primary and drills in one list, the newest first", () => {
  const journal = [
    { number: 1, at_us: now - 9 * second, epoch: 1, operation: "", state: "following",
      event: "started", detail: "" },
    { number: 2, at_us: now - 3 * second, epoch: 2, operation: "promote-2", state: "serving",
      event: "opened", detail: "all answered" },
  ];
  const drills = [{ drill: "drill-1", began_at_us: now - 5 * second, outcome: "ready",
    open_seconds: 4, unknown_seconds: 2, problem: "" }];
  assert.deepEqual(pastView(journal, drills, now).map((row) => [row.time, row.kind, row.text]), [
    ["14:40:04Z", "serving", "epoch 2, promote-2: opened, all answered"],
    ["14:40:02Z", "drill", "ready, would open within 4.0s, 2.0s of writes unknown"],
    ["14:39:58Z", "following", "epoch 1: started"],
  ]);
  assert.notEqual(aboutOf(status()), aboutOf(status({ epoch: 2 })));
});

test("rounds no percentage up, and knows no percentage of nothing", () => {
  assert.equal(words.percent(99999, 100000), "99.99%");
  assert.equal(words.percent(5, 5), "100.00%");
  assert.equal(words.percent(0, 0), "?");
  const facts = (more) => Object.fromEntries(words.storeView(store(more), status(), now).facts);
  assert.equal(facts({ verified: 99986, parked: 14 }).Verified, "99.98% of 100,000");
  assert.equal(facts({ verified: 3, parked: 0, content_check: { unproven: 1, asked: 0 } }).Verified,
    "75.00% of 4");
  assert.equal(facts({ verified: 0, parked: 0 }).Verified, "0 items");
  assert.equal(facts({ verified: null }).Verified, "?");
  const check = { tables: 8, differing: 1, undecided: 0, finished_us: now };
  assert.equal(facts({ verified: 5, check }).Verified, "87.50% of 8 tables");
  assert.equal(facts({ verified: 5, check: { ...check, finished_us: null } }).Verified, "?");
});

test("shows how far a copy and a comparison are", () => {
  const progress = (more) => words.storeView(store(more), status(), now).progress;
  assert.equal(progress({}), null);
  const copy = { tables: 4, tables_done: 1, rows: 10, bytes: 10, source_bytes: 200,
    source_bytes_done: 90, remaining_seconds: 12 };
  assert.deepEqual(progress({ copy }),
    { what: "Initial copy", percent: 45, text: "45 % copied, about 12s left" });
  assert.equal(progress({ copy: { ...copy, source_bytes: 0, remaining_seconds: null } }).text,
    "25 % copied, how long it takes is not known yet");
  assert.deepEqual(progress({ check: { tables: 0, running: { tables: 8, tables_done: 2 } } }),
    { what: "Comparison with the primary", percent: 25, text: "2 of 8 tables compared" });
});
