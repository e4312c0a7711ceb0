// What the page says of a status (docs/METRICS.md, antipode.status/1): decisions only, no page.
import * as format from "./format.mjs";

export const staleAfterSeconds = 10;

/** How a state looks: "good", "moving", "bad" or "unknown". What a later version may say is bad. */
export function toneOf(state) {
  switch (state) {
    case "serving":
    case "streaming":
      return "good";
    case "catching-up":
    case "copying":
      return "moving";
    case "unknown":
    case "":
    case null:
    case undefined:
      return "unknown";
    default:
      return "bad";
  }
}

const known = (value) => value !== null && value !== undefined;

function isStale(site, nowUs) {
  return !known(site.report_at_us) || nowUs - site.report_at_us > staleAfterSeconds * 1e6;
}

/** Why a site is as it is; what an old report said is told as such. */
function reasonOf(site, nowUs) {
  if (!isStale(site, nowUs) || !known(site.report_at_us)) {
    return site.reason || "";
  }
  const silence = `Its last report came ${format.age((nowUs - site.report_at_us) / 1e6)} ago`;
  return site.reason ? `${silence} and said: ${site.reason}` : `${silence}.`;
}

/** How old the results of a site's checks are: the oldest speaks for all of its stores. */
function checkedOf(site, nowUs) {
  if (!site.checks?.length) {
    return [];
  }
  const times = site.checks.map((check) => check.checked_us);
  const found = site.checks.filter((check) => check.what).length;
  return [["Checked", (times.every(known)
    ? `oldest ${format.age((nowUs - Math.min(...times)) / 1e6)} ago` : "not all yet") +
    (found > 0 ? `, ${found} of ${times.length} stores not well` : "")]];
}

function verifiedOn(site) {
  if (!known(site.verified)) {
    return format.unknown;
  }
  const all = site.verified + (site.parked ?? 0);
  return all === 0 ? "0 items" : percent(site.verified, all);
}

/** One site as it is shown. A site whose report is stale is never good. */
export function siteView(site, status, nowUs) {
  const stale = isStale(site, nowUs);
  const primary = site.role === "primary";
  const state = site.state || "unknown";
  const tone = stale && toneOf(state) === "good" ? "unknown" : toneOf(state);
  const lag = known(site.recovery_point_us)
    ? format.duration(Math.max(0, nowUs - site.recovery_point_us) / 1e6)
    : format.unknown;
  const reportAge = known(site.report_at_us)
    ? `${format.age((nowUs - site.report_at_us) / 1e6)} ago`
    : "never";
  return {
    name: site.site,
    here: site.site === status.site,
    role: !site.role || site.role === "unknown" ? "role unknown"
      : site.role === "unassigned" ? "no role yet" : site.role,
    state: stale && tone === "unknown" && state !== "unknown" ? `${state}?` : state,
    tone,
    edge: site.role !== "secondary" ? ""
      : lag === format.unknown ? "lag unknown" : `${lag} behind`,
    edgeTone: lag === format.unknown ? "unknown" : tone,
    facts: [
      ...(primary ? [] : [
        ["Recovery point", format.moment(site.recovery_point_us, nowUs)],
        ["Lag", lag],
        ["Verified", verifiedOn(site)],
        ["Failed", format.count(site.parked)],
        ...checkedOf(site, nowUs),
      ]),
      ...(site.retention_seconds === undefined ? []
        : [["Keeps for", format.duration(site.retention_seconds)]]),
      ["Report", stale && known(site.report_at_us) ? `${reportAge}, STALE` : reportAge],
    ],
  };
}

/** The one sentence for a reader at three in the morning: {text, more, tone}; `lost`: as it was. */
export function headline(status, nowUs, lost = false) {
  if (status.role !== "primary" && status.role !== "secondary") {
    const worker = status.workers.find((each) => !each.healthy && each.problem);
    return {
      text: `${status.site} has no role yet: nothing is known to be safe.`,
      more: worker ? worker.problem : "",
      tone: "unknown",
    };
  }
  const secondaries = status.sites.filter((site) => site.role !== "primary");
  const spoken = status.role === "secondary"
    ? secondaries.filter((site) => site.site === status.site) : secondaries;
  if (spoken.length === 0) {
    return {
      text: "No other site is configured: nothing is safe anywhere else.", more: "", tone: "bad",
    };
  }
  const unclear = spoken.find((site) => !known(site.recovery_point_us));
  if (unclear) {
    const own = unclear.site === status.site;
    return {
      text: `How much is safe on ${unclear.site} is unknown.`,
      more: (own && status.recovery_point_reason) || reasonOf(unclear, nowUs),
      tone: "unknown",
    };
  }
  const worst = spoken.reduce((left, right) =>
    (right.recovery_point_us < left.recovery_point_us ? right : left));
  const where = spoken.length === 1 ? worst.site : `all ${spoken.length} secondaries`;
  return {
    text: lost
      ? `Everything up to ${format.time(worst.recovery_point_us, nowUs)} was safe on ${where}.`
      : `Everything up to ${format.moment(worst.recovery_point_us, nowUs)} is safe on ${where}.`,
    more: reasonOf(worst, nowUs),
    tone: siteView(worst, status, nowUs).tone,
  };
}

function copyText(copy) {
  return `${copy.tables_done} of ${copy.tables} tables copied, ${format.count(copy.rows)} rows, ` +
    format.bytes(copy.bytes) +
    (known(copy.bytes_per_second) ? ` at ${format.bytes(copy.bytes_per_second)}/s` : "") +
    (known(copy.remaining_seconds)
      ? `, about ${format.duration(copy.remaining_seconds)} left`
      : "") +
    (copy.table ? `, now ${copy.table}` : "");
}

/** How long nothing was heard of the primary: the part of the lag that no stage accounts for. */
export function markerAge(store) {
  const parts = [store.total_lag_seconds, store.capture_lag_seconds, store.delivery_lag_seconds,
    store.apply_lag_seconds];
  if (!parts.every(known)) {
    return null;
  }
  const [total, ...accounted] = parts;
  return Math.max(0, accounted.reduce((left, part) => left - part, total));
}

function stages(store) {
  return `capture ${format.duration(store.capture_lag_seconds)}, ` +
    `delivery ${format.duration(store.delivery_lag_seconds)}, ` +
    `apply ${format.duration(store.apply_lag_seconds)}` +
    (markerAge(store) === null ? "" : `, last marker ${format.duration(markerAge(store))} ago`);
}

/** When the lag is gone, at the rate of the last minute; an older daemon does not say. */
function catchesUp(store) {
  if (store.apply_rate === undefined) {
    return [];
  }
  const left = store.catches_up_seconds;
  return [["Catches up", known(left) ? (left < 1 ? "now" : `in ${format.duration(left)}`)
    : known(store.apply_rate) ? "not at this rate" : format.unknown]];
}

/** Of the changes of the last hour; an older daemon does not say. */
function percentiles(store) {
  if (store.lag_percentiles === undefined) {
    return [];
  }
  const took = store.lag_percentiles ?? {};
  const parts = [took.p50_seconds, took.p95_seconds, took.p99_seconds];
  return [["P50, P95, P99 of 1h", parts.map(format.duration).join(", ")]];
}

/** How long what a stream or a slot keeps lasts, as fast as it grows now. */
function retention(name, kept) {
  if (kept?.retention_seconds === undefined) {
    return [];
  }
  return [[name, known(kept.retention_seconds) ? format.duration(kept.retention_seconds)
    : known(kept.bytes_per_second) ? format.notApplicable : format.unknown]];
}

/** How this site's inventory compares with the primary's; an older daemon does not say. */
function inventoryOf(store, nowUs) {
  const inventory = store.inventory;
  if (!inventory) {
    return [];
  }
  const equal = known(inventory.equal_us)
    ? `equal ${format.age((nowUs - inventory.equal_us) / 1e6)} ago` : "not equal yet";
  return [["Inventory", equal +
    (inventory.undecided > 0 ? `, ${format.count(inventory.undecided)} of 1,024 parts open` : "") +
    (inventory.differed > 0 ? `, ${format.count(inventory.differed)} differed` : "")]];
}

/** When content was looked at, beyond what was applied; nothing where that is not done. */
function lookedAt(store, nowUs) {
  const content = store.content_check;
  if (content) {
    const readAgain = content.asked > 0 ? `${format.count(content.asked)} left`
      : content.unproven > 0 ? `${format.count(content.unproven)} not read yet`
      : known(content.oldest_us) ? `oldest ${format.age((nowUs - content.oldest_us) / 1e6)} ago`
        : "not all yet";
    return [...inventoryOf(store, nowUs), ["Read again", readAgain]];
  }
  return store.check ? [["Compared", known(store.check.finished_us)
    ? `${format.age((nowUs - store.check.finished_us) / 1e6)} ago` : "not yet"]] : [];
}

/** "99.98%": never 100 while one of `all` is not `good`; "?" when nothing is known of any. */
export function percent(good, all) {
  if (!known(good) || !known(all) || all === 0) {
    return format.unknown;
  }
  return `${(Math.floor((good / all) * 10000) / 100).toFixed(2)}%`;
}

/** What of a store is as it was captured, of all that is here; of a database its tables. */
function verifiedOf(store, absent) {
  if (store.check) {
    const { tables, differing, undecided } = store.check;
    const equal = Math.max(0, tables - differing - undecided);
    return known(store.check.finished_us) ? `${percent(equal, tables)} of ` +
      `${format.count(tables)} tables` : format.unknown;
  }
  if (!known(store.verified)) {
    return absent;
  }
  const left = (store.parked ?? 0) + (store.content_check?.unproven ?? 0);
  return store.verified + left === 0 ? "0 items"
    : `${percent(store.verified, store.verified + left)} of ` +
      `${format.count(store.verified + left)}`;
}

/** How far what takes long is, and when it ends: {what, percent, text}; null: nothing does. */
function progressOf(store) {
  const copy = store.copy;
  const running = store.check?.running;
  if (copy) {
    const done = copy.source_bytes > 0 ? copy.source_bytes_done / copy.source_bytes
      : copy.tables > 0 ? copy.tables_done / copy.tables : 0;
    const share = Math.floor(Math.min(1, done) * 100);
    return { what: "Initial copy", percent: share, text: `${share} % copied, ` +
      (known(copy.remaining_seconds) ? `about ${format.duration(copy.remaining_seconds)} left`
        : "how long it takes is not known yet") };
  }
  if (running && running.tables > 0) {
    const share = Math.floor((running.tables_done / running.tables) * 100);
    return { what: "Comparison with the primary", percent: share,
      text: `${running.tables_done} of ${running.tables} tables compared` };
  }
  return null;
}

/** One store of the site that answers. */
export function storeView(store, status, nowUs) {
  const primary = status.role === "primary";
  const absent = primary ? format.notApplicable : format.unknown;
  const number = (value) => (known(value) ? format.count(value) : absent);
  let sentence;
  if (store.copy) {
    sentence = `Initial copy: ${copyText(store.copy)}.`;
  } else if (primary) {
    sentence = known(store.captured_through_us)
      ? `Captured up to ${format.moment(store.captured_through_us, nowUs)}.`
      : "How far it is captured is unknown.";
  } else if (known(store.total_lag_seconds)) {
    sentence = `${format.duration(store.total_lag_seconds)} behind: ${stages(store)}.`;
  } else {
    sentence = `Its lag is unknown: ${stages(store)}.`;
  }
  const backlog = number(store.backlog_events);
  const size = known(store.backlog_bytes) ? `, ${format.bytes(store.backlog_bytes)}` : "";
  const facts = [[primary ? "Not yet published" : "Backlog",
    known(store.backlog_events) ? `${backlog} events${size}` : backlog]];
  if (!primary) {
    facts.push(...catchesUp(store), ...percentiles(store), ["Applied", number(store.applied)],
      ["Verified", verifiedOf(store, absent)], ["Mismatches", number(store.mismatches)],
      ["Failed", number(store.parked)],
      ...lookedAt(store, nowUs));
  }
  facts.push(...retention("Slot lasts", store.slot));
  return {
    name: store.store, state: store.state || "unknown", tone: toneOf(store.state), sentence, facts,
    progress: progressOf(store),
  };
}

/** What a button has sent again: {label, question, body of POST /v1/resync}. */
function resyncOf(label, question, body) {
  return { label, question: `${question} It is what antipode resync does.`, body };
}

/** Only what failed here is sent again; a database is mended by comparing it. */
function resyncOfItem(each, status) {
  if (status.role !== "secondary" || each.kind !== "parked" ||
    each.store.startsWith("database/")) {
    return undefined;
  }
  const names = known(each.item_hex) ? { items_hex: [each.item_hex] } : { items: [each.item] };
  return resyncOf("Resync", `Have ${each.item} of ${each.store} sent again by the primary?`,
    { store: each.store, ...names });
}

function resyncOfStore(store, status) {
  if (status.role !== "secondary" || !store.parked || store.store.startsWith("database/")) {
    return undefined;
  }
  return resyncOf("Resync what failed", `Have what failed of ${store.store} ` +
    `(${format.count(store.parked)}) sent again by the primary now, instead of later?`,
  { store: store.store, failed: true });
}

/** Where a daemon says that all of a store is to be sent again, or one thing that it never got. */
function resyncOfStep(store, step, status) {
  if (status.role !== "secondary" || !step) {
    return undefined;
  }
  if (step.endsWith(`antipode resync --all --store ${store.store}`)) {
    return resyncOf("Resync all of it", `Is the file system of ${store.store} mounted, and were ` +
      "its files lost? Then have everything that is not there sent again by the primary.",
    { store: store.store, all: true });
  }
  const extra = store.content_check?.first_extra;
  if (extra && step === `antipode resync --store ${store.store} --site ${status.site} ${extra}`) {
    return resyncOf("Resync", `Have ${extra} of ${store.store} made as it is on the primary? ` +
      "It was never applied here: when the primary does not have it, it is removed.",
    { store: store.store, items: [extra] });
  }
  return undefined;
}

const storeNamed = (name, status) => status.stores.find((each) => each.store === name) ??
  { store: name };

function resyncOfWorker(worker, status) {
  const store = status.stores.find((each) => worker.name === `content check ${each.store}`);
  return store && resyncOfStep(store, worker.next_step, status);
}

function exceptionView(each, status, nowUs) {
  const details = [];
  if (each.class) {
    details.push(each.class);
  }
  if (known(each.tries)) {
    details.push(each.tries === 1 ? "1 try" : `${each.tries} tries`);
  }
  if (known(each.since_us)) {
    details.push(`for ${format.age((nowUs - each.since_us) / 1e6)}`);
  }
  if (known(each.next_try_us) && each.next_try_us > nowUs) {
    details.push(`next try in ${format.age((each.next_try_us - nowUs) / 1e6)}`);
  }
  return {
    key: `exception ${each.store} ${each.item}`,
    what: `${each.store} ${each.item} is ${each.kind || "held back"}`,
    reason: each.reason || "", details: details.join(", "), next: each.next_step || "",
    resync: resyncOfItem(each, status),
  };
}

/** Whether a store says no more than that its items failed, and all of them are listed anyway. */
function isSaidByItsItems(store, status) {
  const items = status.exceptions.filter((each) => each.store === store.store).length;
  return items > 0 && items === store.parked && /^\d+ items? failed/.test(store.reason);
}

/** Everything that is not as it should be, the worst first, each said once: a list of problems. */
export function attention(status, nowUs) {
  const disks = (status.disks ?? []).filter((disk) => disk.problem);
  const problems = disks.map((disk) => ({
    key: `disk ${disk.path}`, what: `A disk of ${status.site}`, reason: disk.problem, details: "",
    next: disk.next_step,
  }));
  problems.push(...status.exceptions.map((each) => exceptionView(each, status, nowUs)));
  const said = new Map();
  for (const store of status.stores) {
    const tone = toneOf(store.state);
    const before = store.reason && said.get(store.reason);
    if (isSaidByItsItems(store, status)) {
      continue;
    }
    if (before) {
      before.who.push(store.store);
    } else if (store.reason || tone === "bad") {
      const problem = {
        key: `store ${store.store}`, who: [store.store], is: store.state,
        reason: store.reason, details: "", next: store.next_step,
        resync: resyncOfStore(store, status),
      };
      said.set(store.reason, problem);
      problems.push(problem);
    }
  }
  const byStores = [...said.keys()];
  for (const worker of status.workers.filter((each) => !each.healthy && each.problem)) {
    const before = said.get(worker.problem);
    if (byStores.some((reason) => reason.includes(worker.problem))) {
      continue; // the stores say it
    }
    if (before) {
      before.who.push(worker.name);
    } else {
      const problem = {
        key: `worker ${worker.name}`, who: [worker.name], is: "waiting", reason: worker.problem,
        details: `for ${format.age((nowUs - worker.since_us) / 1e6)}`, next: worker.next_step,
        resync: resyncOfWorker(worker, status),
      };
      said.set(worker.problem, problem);
      problems.push(problem);
    }
  }
  for (const problem of said.values()) {
    problem.what = `${problem.who.join(", ")} ${problem.who.length > 1 ? "are" : "is"} ` +
      problem.is;
  }
  for (const site of status.sites) {
    const stale = isStale(site, nowUs);
    const told = [site.reason, ...(site.site === status.site ? [...said.keys()] : [])].join(" ");
    for (const check of site.checks ?? []) {
      if (check.what && !told.includes(check.what)) {
        problems.push({
          key: `check ${site.site} ${check.store}`, what: `${site.site} ${check.store}`,
          reason: check.what, details: "",
          next: site.site === status.site ? check.next_step : `on ${site.site}: ${check.next_step}`,
          resync: site.site !== status.site ? undefined
            : resyncOfStep(storeNamed(check.store, status), check.next_step, status),
        });
      }
    }
    if (site.site !== status.site && (site.reason || stale)) {
      problems.push({
        key: `site ${site.site}`,
        what: stale ? `${site.site} does not report` : `${site.site} is ${site.state}`,
        reason: reasonOf(site, nowUs), details: "",
        next: stale && known(site.report_at_us) ? "antipode doctor" : site.next_step,
      });
    }
  }
  return problems;
}

/** What is read out when it changes. */
export function announcement(status, problems) {
  const own = status.sites.find((site) => site.site === status.site);
  const needs = problems === 0 ? "nothing needs attention"
    : problems === 1 ? "one thing needs attention" : `${problems} things need attention`;
  return `${status.site} is ${own?.state || "unknown"}, ${needs}.`;
}

/** What one event of the feed says in a line: {key, time, kind, text}. */
export function seenView(event, nowUs) {
  return {
    key: `${event.at_us} ${event.sequence} ${event.position}`,
    time: format.time(event.at_us, nowUs),
    kind: event.kind,
    text: [event.store, event.item, event.text].filter(Boolean).join(" "),
  };
}
