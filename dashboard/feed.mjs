// The daemon's feed (/v1/watch): tells of every status and event, and of its own loss.

const silenceMs = 4000;
const againMs = 2000;

/**
 * Listens for as long as the page lives. `on.status(status)`, `on.seen(event)`; `on.lost()` as soon
 * as the connection breaks or nothing came for four seconds. When the daemon has too many watchers,
 * the status is asked for now and then instead.
 */
export class Feed {
  constructor(on) {
    this.on = on;
    this.source = null;
    this.silence = null;
    this.open();
  }

  open() {
    this.source?.close();
    this.source = new EventSource("/v1/watch");
    this.source.addEventListener("status", (event) => this.heard(JSON.parse(event.data)));
    this.source.addEventListener("seen", (event) => this.on.seen(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.failed());
    this.listen();
  }

  heard(status) {
    this.listen();
    this.on.status(status);
  }

  /** A connection that went dead without a word is found by its silence. */
  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.on.lost();
      this.open();
    }, silenceMs);
  }

  failed() {
    if (this.source.readyState === EventSource.CLOSED) {
      this.ask();
      return;
    }
    this.on.lost(); // the browser connects again by itself
  }

  async ask() {
    try {
      const answer = await fetch("/v1/status", { signal: AbortSignal.timeout(silenceMs) });
      this.heard(await answer.json());
    } catch {
      this.on.lost();
    }
    setTimeout(() => this.open(), againMs);
  }
}
