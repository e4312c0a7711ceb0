// Texts for numbers and times, the same as the command line's. Unknown is "?", never 0.

export const unknown = "?";
export const notApplicable = "-";

const pad = (number) => String(number).padStart(2, "0");

/** From a minute on: the two largest units. */
function long(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes}m${pad(seconds % 60)}s`;
  }
  if (minutes < 24 * 60) {
    return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`;
  }
  return `${Math.floor(minutes / (24 * 60))}d${pad(Math.floor(minutes / 60) % 24)}h`;
}

/** A lag in seconds: "2.0s", "41s", "8m23s". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return unknown;
  }
  if (seconds < 0) {
    return `-${duration(-seconds)}`;
  }
  if (seconds < 9.95) {
    return `${seconds.toFixed(1)}s`;
  }
  return seconds < 59.5 ? `${seconds.toFixed(0)}s` : long(Math.round(seconds));
}

/** How long ago, in whole seconds: "2s", "14m09s". Clocks less than a second apart are equal. */
export function age(seconds) {
  if (seconds > -1 && seconds < 0) {
    return "0s";
  }
  if (seconds < 0) {
    return `-${age(-seconds)}`;
  }
  const whole = Math.floor(seconds);
  return whole < 60 ? `${whole}s` : long(whole);
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit > 0 && value < 9.95 ? 1 : 0)} ${units[unit]}`;
}

export function count(number) {
  return number === null || number === undefined ? unknown : number.toLocaleString("en-US");
}

/** Microseconds since 1970 as "14:40:05Z", with the day when it is not within a day of `nowUs`. */
export function time(us, nowUs) {
  const full = new Date(Math.floor(us / 1000)).toISOString();
  const clock = `${full.slice(11, 19)}Z`;
  return Math.abs(us - nowUs) < 24 * 3600 * 1e6 ? clock : `${full.slice(0, 10)} ${clock}`;
}

/** "14:40:05Z (2s ago)" */
export function moment(us, nowUs) {
  return us === null || us === undefined
    ? unknown
    : `${time(us, nowUs)} (${age((nowUs - us) / 1e6)} ago)`;
}
