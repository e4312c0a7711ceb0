// What stands in the way of a promotion, in the words of `antipode preflight`: decisions only, no
// page. The page promotes nothing: it says the command.
import * as format from "./format.mjs";
import { staleAfterSeconds } from "./words.mjs";

const mostLagSeconds = 10;
const known = (value) => value !== null && value !== undefined;

/** One line of the list: done ("good"), in the way ("bad"), to be weighed ("moving"), "unknown". */
const line = (key, tone, what, next = "") => ({ key, tone, what, next });

function findings(status, tone, list) {
  return (list ?? []).map((each, index) => line(`${tone} ${index} ${each.what}`, tone,
    `${status.site}: ${each.what}`, each.next_step));
}

/** What this daemon found out of itself: its fences, commands, servers. */
function readiness(status) {
  const change = status.failover ?? {};
  if (!Array.isArray(change.blockers)) {
    return [line("ready", "unknown", `${status.site} has not looked yet whether it is ready`,
      "antipode preflight, again, in some seconds")];
  }
  const middle = !["serving", "following", "", undefined, null].includes(change.state);
  const lines = [
    ...(middle ? [line("change", "bad", `${status.site} is in the middle of ${change.operation} ` +
      `(${change.state})${change.problem ? `: ${change.problem}` : ""}`,
    change.next_step || "antipode status")] : []),
    ...findings(status, "bad", change.blockers), ...findings(status, "moving", change.warnings),
  ];
  return lines.length > 0 ? lines
    : [line("ready", "good", `${status.site}: fences, commands and servers are ready`)];
}

function ofPrimary(status, nowUs) {
  const primary = status.sites.find((site) => site.role === "primary");
  if (!primary) {
    return [line("primary", "unknown", "nobody says who is the primary", "antipode status")];
  }
  const silent = !known(primary.report_at_us) ||
    nowUs - primary.report_at_us > staleAfterSeconds * 1e6;
  if (silent) {
    return [line("primary", "bad", `the primary, ${primary.site}, does not report`,
      "if it is off: antipode promote SITE --fenced-by TEXT")];
  }
  return [primary.state === "serving"
    ? line("primary", "good", `${primary.site} is serving`)
    : line("primary", "bad", `${primary.site} is ${primary.state}: ${primary.reason}`,
      primary.next_step || "antipode status"),
  ...(primary.site === status.site ? [] : [line("there", "unknown",
    `whether ${primary.site} can be fenced is known there`, "antipode preflight, on a terminal")])];
}

function ofStores(target, status) {
  if (target.site !== status.site) {
    return [line("own", "unknown", `paused stores, and what ${target.site} lacks, is known there`,
      `antipode preflight --to ${target.site}`)];
  }
  const paused = status.stores.filter((store) => store.state === "paused");
  return [
    ...paused.map((store) => line(`paused ${store.store}`, "bad",
      `${target.site} ${store.store}: ${store.reason}`, store.next_step)),
    ...(paused.length === 0 ? [line("paused", "good", "no store is paused")] : []),
    ...status.stores.filter((store) => store.content_check?.unproven > 0).map((store) =>
      line(`unproven ${store.store}`, "moving", `${store.content_check.unproven} repositories of ` +
        `${store.store} on ${target.site} are still to be read there`,
      `wait until they are: antipode lag ${target.site}`)),
  ];
}

function ofTarget(target, status, nowUs) {
  const point = target.recovery_point_us;
  const behind = known(point) ? Math.max(0, nowUs - point) / 1e6 : null;
  const parked = target.parked ?? 0;
  return [
    behind === null ? line("lag", "bad", `${target.site} does not know its recovery point: ` +
      `${target.reason || "it has not said why"}`, target.next_step || "antipode status")
      : behind > mostLagSeconds ? line("lag", "bad", `${target.site} is ` +
        `${format.duration(behind)} behind, or its clock is ahead`,
      `antipode lag ${target.site}; compare both machines' clocks`)
        : line("lag", "good", `${target.site} has everything but the last ` +
          `${mostLagSeconds} seconds at most`),
    ...ofStores(target, status),
    parked > 0 ? line("parked", "bad", `${format.count(parked)} items failed on ${target.site}`,
      `antipode status ${target.site}`) : line("parked", "good", "nothing failed"),
  ];
}

/** The secondary that is spoken of: this site, or on the primary the one that is furthest. */
function targetOf(status) {
  const secondaries = status.sites.filter((site) => site.role === "secondary");
  return secondaries.find((site) => site.site === status.site) ?? secondaries.sort((left, right) =>
    (right.recovery_point_us ?? 0) - (left.recovery_point_us ?? 0))[0];
}

/** {target, lines, sentence, tone, command}; null when there is nobody to be promoted. */
export function checklist(status, nowUs) {
  const target = targetOf(status);
  if (!target) {
    return null;
  }
  const lines = [
    ...ofPrimary(status, nowUs), ...ofTarget(target, status, nowUs), ...readiness(status),
  ];
  const blocked = lines.filter((each) => each.tone === "bad").length;
  const open = lines.filter((each) => each.tone === "unknown").length;
  return {
    target: target.site,
    lines,
    sentence: blocked > 0 ? `Blocked: ${blocked} of ${lines.length} stand in the way of a ` +
      `switchover to ${target.site}.`
      : open > 0 ? `Nothing that is known here stands in the way of a switchover to ${target.site}.`
        : `Nothing stands in the way of a switchover to ${target.site}.`,
    tone: blocked > 0 ? "bad" : open > 0 ? "unknown" : "good",
    command: blocked > 0 || open > 0 ? `antipode preflight --to ${target.site}`
      : `antipode switchover --to ${target.site}`,
  };
}
