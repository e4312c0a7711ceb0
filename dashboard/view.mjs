// The page itself: puts what words.mjs says into the document. Text only, never markup. Elements
// stay where they are while they are shown, so that focus and selection survive an update.
import * as chart from "./chart.mjs";
import { checklist } from "./checklist.mjs";
import * as format from "./format.mjs";
import { pastView } from "./past.mjs";
import { confirmResync, mayResync } from "./resync.mjs";
import * as words from "./words.mjs";

const id = (name) => document.getElementById(name);
const part = (element, name) => element.querySelector(`[data-part="${name}"]`);

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
  element.hidden = text === "";
}

function setTone(element, tone) {
  if (element.dataset.tone !== tone) {
    element.dataset.tone = tone;
  }
}

/** Gives `parent` one child for each row, in order, made from a template when its key is new. */
function fill(parent, template, rows, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const row of rows) {
    let child = before.get(row.key);
    if (child) {
      before.delete(row.key);
    } else {
      child = id(template).content.firstElementChild.cloneNode(true);
      child.dataset.key = row.key;
    }
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(child, place);
    }
    update(child, row);
  }
  before.forEach((child) => child.remove());
}

function showFacts(element, facts) {
  fill(element, "fact-template", facts.map(([key, value]) => ({ key, value })), (child, fact) => {
    setText(part(child, "term"), fact.key);
    setText(part(child, "value"), fact.value);
  });
}

/** Without a feed, a state is what it was: unknown. */
function showState(element, state, tone, lost) {
  setText(element, lost && state !== "unknown" ? `was ${state}` : state);
  setTone(element, lost ? "unknown" : tone);
}

function showHeader(status) {
  setText(id("where"), `cluster ${status.cluster}, seen from ${status.site} ` +
    `(${status.role}), epoch ${status.epoch ?? format.unknown}, version ${status.version}`);
}

function showHeadline(status, nowUs, lost) {
  const { text, more, tone } = words.headline(status, nowUs, lost);
  setText(id("headline"), text);
  setText(id("headline-more"), more);
  setTone(id("headline"), lost ? "unknown" : tone);
}

function showSites(status, nowUs, lost) {
  const rows = status.sites.map((site) => words.siteView(site, status, nowUs))
    .map((site) => ({ ...site, key: site.name }))
    .sort((left, right) => (right.role === "primary") - (left.role === "primary"));
  fill(id("sites"), "site-template", rows, (child, site) => {
    child.classList.toggle("primary", site.role === "primary");
    setText(part(child, "edge"), site.edge);
    setTone(part(child, "edge"), lost ? "unknown" : site.edgeTone);
    setText(part(child, "name"), site.name);
    setText(part(child, "sentence"), `${site.role}${site.here ? ", this page's site" : ""}`);
    showState(part(child, "state"), site.state, site.tone, lost);
    showFacts(part(child, "facts"), site.facts);
  });
}

const stageNames = {
  capture: "capture", delivery: "delivery", apply: "apply", marker: "age of the last marker",
};

/** Which colour is which; the primary has but one. */
function showLegend(element, stages) {
  fill(element, "stage-template", stages.map((key) => ({ key })), (child, stage) => {
    child.className = `stage ${stage.key}`;
    setText(child, stageNames[stage.key]);
  });
}

function showProgress(child, progress) {
  part(child, "progress").hidden = !progress;
  if (progress) {
    part(child, "bar").value = progress.percent;
    part(child, "bar").setAttribute("aria-label", progress.what);
    setText(part(child, "progress-text"), progress.text);
  }
}

function showStores(status, nowUs, histories, lost) {
  const stages = status.role === "primary" ? ["capture"] : chart.stages;
  setText(id("stores-title"), `Stores of ${status.site}`);
  setText(id("stores-none"), status.stores.length === 0 ? "Nothing is known of them yet." : "");
  const rows = status.stores.map((store) => ({ ...words.storeView(store, status, nowUs) }));
  fill(id("stores"), "store-template", rows.map((row) => ({ ...row, key: row.name })),
    (child, store) => {
      setText(part(child, "name"), store.name);
      showState(part(child, "state"), store.state, store.tone, lost);
      setText(part(child, "sentence"), store.sentence);
      showProgress(child, store.progress);
      const history = histories.get(store.name);
      const { text } = chart.summary(history);
      chart.draw(part(child, "chart"), history, nowUs);
      part(child, "chart").setAttribute("aria-label", `Lag of ${store.name} by stage. ${text}`);
      setText(part(child, "course"), text);
      showLegend(part(child, "legend"), stages);
      showFacts(part(child, "facts"), store.facts);
    });
}

async function copy(button, code) {
  try {
    // A remark may follow the command: "antipode status -o json, see exceptions".
    await navigator.clipboard.writeText(code.textContent.split(", ")[0]);
    button.textContent = "Copied";
  } catch {
    // Off loopback and without TLS the browser refuses: leave it selected for the reader.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

/** What was asked for stays beside the list, for what it was about may be gone a moment later. */
function showDone(problem, text) {
  setText(id("attention-done"), `${problem.what}: ${text}`);
  if (document.activeElement === document.body) {
    id("main").focus(); // the button is gone
  }
}

function showResync(child, problem, may, lost) {
  part(child, "act").hidden = !may || !problem.resync;
  if (!may || !problem.resync) {
    return;
  }
  const { label, question, body } = problem.resync;
  const button = part(child, "resync");
  setText(button, label);
  button.setAttribute("aria-label", `${label}: ${problem.what}`);
  button.disabled = lost;
  button.onclick = () => confirmResync(question, body, (text) => showDone(problem, text));
}

function showProblem(child, problem, may, lost) {
  setText(part(child, "what"), problem.what);
  setText(part(child, "reason"), problem.reason ?? "");
  setText(part(child, "details"), problem.details);
  const code = part(child, "next");
  const button = part(child, "copy");
  part(child, "try").hidden = !problem.next;
  setText(code, problem.next ?? "");
  button.hidden = !problem.next?.startsWith("antipode ");
  button.setAttribute("aria-label", `Copy: ${problem.next}`);
  button.onclick ??= () => copy(button, code);
  showResync(child, problem, may, lost);
}

function showAttention(status, nowUs, lost) {
  const problems = words.attention(status, nowUs);
  const assigned = status.role !== "unassigned" && status.stores.length > 0;
  setText(id("attention-none"), problems.length > 0 ? ""
    : assigned ? "Nothing." : "Nothing is known yet.");
  const may = mayResync(status);
  fill(id("attention"), "problem-template", problems,
    (child, problem) => showProblem(child, problem, may, lost));
  const parked = status.stores.reduce((total, store) => total + (store.parked ?? 0), 0);
  const more = parked - status.exceptions.length;
  setText(id("announcement"), words.announcement(status, problems.length));
  setText(id("attention-more"), more > 0 ? `And ${format.count(more)} more items.` : "");
}

const verdicts = { good: "ok", bad: "blocked", moving: "warning", unknown: "unknown" };

function showChecklist(status, nowUs, lost) {
  const list = checklist(status, nowUs);
  setText(id("checklist-none"), list ? "" : "Nobody could be promoted: no secondary is known.");
  setText(id("checklist-sentence"), !list ? "" : lost ? "unknown: no data" : list.sentence);
  setTone(id("checklist-sentence"), lost || !list ? "unknown" : list.tone);
  fill(id("checklist"), "check-template", list?.lines ?? [], (child, line) => {
    setText(part(child, "verdict"), verdicts[line.tone]);
    setTone(part(child, "verdict"), lost ? "unknown" : line.tone);
    setText(part(child, "what"), line.what);
    part(child, "try").hidden = !line.next;
    setText(part(child, "next"), line.next);
  });
  id("checklist-try").hidden = !list;
  setText(id("checklist-command"), list?.command ?? "");
  id("checklist-copy").setAttribute("aria-label", `Copy: ${list?.command}`);
  id("checklist-copy").onclick ??= () => copy(id("checklist-copy"), id("checklist-command"));
}

/** Everything that a status says, as of `nowUs` on the daemon's clock; `lost`: and not any more. */
export function showStatus(status, nowUs, histories, lost) {
  showHeader(status);
  showHeadline(status, nowUs, lost);
  showSites(status, nowUs, lost);
  showAttention(status, nowUs, lost);
  showStores(status, nowUs, histories, lost);
  showChecklist(status, nowUs, lost);
}

/** `past`: the journal and the drills; null before they came. */
export function showPast(past, nowUs) {
  const rows = past === null ? [] : pastView(past.journal, past.drills, nowUs);
  setText(id("past-none"), past === null ? "Nothing is known yet."
    : rows.length === 0 ? "The primary has never changed, and nothing was rehearsed here." : "");
  fill(id("past"), "seen-template", rows, (child, row) => {
    setText(part(child, "time"), row.time);
    setText(part(child, "kind"), row.kind);
    setText(part(child, "text"), row.text);
  });
}

/** The newest events, the newest first. */
export function showSeen(events, nowUs) {
  id("seen-none").hidden = events.length > 0;
  const rows = events.map((event) => words.seenView(event, nowUs));
  fill(id("seen"), "seen-template", rows, (child, event) => {
    setText(part(child, "time"), event.time);
    setText(part(child, "kind"), event.kind);
    setText(part(child, "text"), event.text);
  });
}

/** Whether the page is live; `sinceUs`: when the last status came, null before the first. */
export function showFeed(lost, status, sinceUs, silentSeconds) {
  document.body.classList.toggle("lost", lost);
  setText(id("feed"), lost ? (sinceUs === null ? "waiting for data" : "no data") : "live");
  setText(id("lost"), lost && sinceUs !== null
    ? `No data since ${format.time(sinceUs, sinceUs)}. What is below was true then; what is now ` +
      "is unknown. This page keeps trying." : "");
  // Beside the words that are read out, which must not change every second.
  setText(id("silence"), lost && sinceUs !== null ? `for ${format.age(silentSeconds)}` : "");
  document.title = status === null ? "Antipode" : title(lost, status);
}

function title(lost, status) {
  const own = status.sites.find((site) => site.site === status.site);
  return `${lost ? "no data" : own?.state ?? "unknown"} - ${status.site} - Antipode`;
}
