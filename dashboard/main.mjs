// Wires the feed to the page, and keeps the clock: the daemon's, carried on by this browser's.
import { History } from "./chart.mjs";
import { Feed } from "./feed.mjs";
import { Past, aboutOf } from "./past.mjs";
import * as view from "./view.mjs";

const mostSeen = 30;

let status = null;
let receivedMs = 0;
let lost = true;
const histories = new Map();
let seen = [];
let past = null;
const remembered = new Past((journal, drills) => {
  past = { journal, drills };
  show();
});

/** On the daemon's clock. What is shown stands still when the feed is lost: it was true then. */
function nowUs() {
  return status.now_us + (lost ? 0 : (performance.now() - receivedMs) * 1000);
}

function show() {
  const silentSeconds = (performance.now() - receivedMs) / 1000;
  view.showFeed(lost, status, status?.now_us ?? null, silentSeconds);
  if (status) {
    view.showStatus(status, nowUs(), histories, lost);
    view.showSeen(seen, nowUs());
    view.showPast(past, nowUs());
  }
}

function takeStatus(fresh) {
  if (status && status.version !== fresh.version) {
    location.reload(); // the page belongs to the daemon that serves it
    return;
  }
  if (status && status.started_us !== fresh.started_us) {
    seen = [];
  }
  status = fresh;
  receivedMs = performance.now();
  lost = false;
  remembered.look(aboutOf(status));
  for (const store of status.stores) {
    if (!histories.has(store.store)) {
      histories.set(store.store, new History());
    }
    histories.get(store.store).add(status.now_us, store);
  }
  show();
}

function takeSeen(event) {
  if (event.kind === "marker") {
    return; // one a second, of no store
  }
  if (!seen.some((each) => each.sequence === event.sequence)) {
    seen = [event, ...seen].slice(0, mostSeen);
  }
}

function takeLoss() {
  lost = true;
  show();
}

new Feed({ status: takeStatus, seen: takeSeen, lost: takeLoss });
setInterval(show, 1000);
