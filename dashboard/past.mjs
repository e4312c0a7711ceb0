// Changes of the primary and drills, as this site remembers them (/v1/journal, /v1/drills).
import * as format from "./format.mjs";

const againMs = 60000;
const patienceMs = 5000;
const mostRows = 20;

const known = (value) => value !== null && value !== undefined;

async function lines(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(patienceMs) });
  return (await answer.text()).split("\n").filter(Boolean).map((each) => JSON.parse(each));
}

/** Asks now, whenever `about()` changes, and now and then; `take(journal, drills)`. */
export class Past {
  constructor(take) {
    this.take = take;
    this.about = null;
    this.askedMs = -Infinity;
  }

  /** `about`: says that something happened which is in the journal. */
  async look(about) {
    if (about === this.about && performance.now() - this.askedMs < againMs) {
      return;
    }
    this.about = about;
    this.askedMs = performance.now();
    try {
      this.take(await lines("/v1/journal"), await lines("/v1/drills"));
    } catch {
      this.askedMs = -Infinity; // the feed tells of the loss; this is asked again with it
    }
  }
}

/** What a status says of it: any change of these is a new line in the journal or of a drill. */
export function aboutOf(status) {
  const change = status.failover ?? {};
  return [status.started_us, status.epoch, change.state, change.since_us, status.drill?.drill,
    status.drill?.outcome].join(" ");
}

function drillText(drill) {
  const took = known(drill.open_seconds) ? `, would open within ` +
    format.duration(drill.open_seconds) : "";
  const lost = known(drill.unknown_seconds) ? `, ${format.duration(drill.unknown_seconds)} of ` +
    "writes unknown" : "";
  return `${drill.outcome}${took}${lost}${drill.problem ? `: ${drill.problem}` : ""}`;
}

/** The newest first: {key, time, kind, text}. */
export function pastView(journal, drills, nowUs) {
  const rows = [
    ...journal.map((entry) => ({
      key: `step ${entry.number}`, us: entry.at_us, kind: entry.state,
      text: `epoch ${entry.epoch}${entry.operation ? `, ${entry.operation}` : ""}: ` +
        `${entry.event}${entry.detail ? `, ${entry.detail}` : ""}`,
    })),
    ...drills.map((drill) => ({
      key: `drill ${drill.drill}`, us: drill.began_at_us, kind: "drill", text: drillText(drill),
    })),
  ];
  return rows.sort((left, right) => right.us - left.us).slice(0, mostRows)
    .map((row) => ({ ...row, time: format.time(row.us, nowUs) }));
}
