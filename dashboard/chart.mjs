// The lag of a store over the last minutes, split by stage, as an SVG; and the same as a sentence.
import * as format from "./format.mjs";
import { markerAge } from "./words.mjs";

/** From the bottom up. "marker": how long nothing was heard of the primary. */
export const stages = ["capture", "delivery", "apply", "marker"];
const width = 240;
const height = 48;
const svg = "http://www.w3.org/2000/svg";

export const keepSeconds = 180;

/** Samples of one store: {us, and a number for each stage}; what is unknown leaves a gap. */
export class History {
  constructor() {
    this.samples = [];
  }

  add(us, store) {
    this.samples.push({
      us,
      capture: store.capture_lag_seconds,
      delivery: store.delivery_lag_seconds,
      apply: store.apply_lag_seconds,
      marker: markerAge(store),
    });
    this.samples = this.samples.filter((sample) => sample.us > us - keepSeconds * 1e6);
  }

  /** Runs of samples in which at least the capture is known. */
  runs() {
    const runs = [[]];
    for (const sample of this.samples) {
      if (sample.capture === null || sample.capture === undefined) {
        runs.push([]);
      } else {
        runs.at(-1).push(sample);
      }
    }
    return runs.filter((run) => run.length > 0);
  }
}

const sum = (sample, upTo) => stages.slice(0, upTo)
  .reduce((total, stage) => total + Math.max(0, sample[stage] ?? 0), 0);

/** {most, text}: the largest lag of the time that is kept. */
export function summary(history) {
  const all = history.runs().flat();
  if (all.length === 0) {
    return { most: null, text: "No lag is known yet." };
  }
  const most = Math.max(...all.map((sample) => sum(sample, stages.length)));
  const span = (all.at(-1).us - all[0].us) / 1e6;
  return { most, text: `At most ${format.duration(most)} in the last ${format.age(span + 1)}.` };
}

/** Draws into `element`, which is empty or was drawn by this function. */
export function draw(element, history, nowUs) {
  const top = Math.max(1, summary(history).most ?? 0) * 1.1;
  const x = (sample) => width * (1 - (nowUs - sample.us) / 1e6 / keepSeconds);
  const y = (seconds) => height - (height * seconds) / top;
  const at = (sample, upTo) => `${x(sample).toFixed(1)},${y(sum(sample, upTo)).toFixed(1)}`;
  const areas = [];
  for (const run of history.runs()) {
    stages.forEach((stage, place) => {
      const points = [...run.map((sample) => at(sample, place + 1)),
        ...run.slice().reverse().map((sample) => at(sample, place))];
      const area = document.createElementNS(svg, "polygon");
      area.setAttribute("class", stage);
      area.setAttribute("points", points.join(" "));
      areas.push(area);
    });
  }
  element.replaceChildren(...areas);
}
