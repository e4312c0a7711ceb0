// Has the primary send items again, as `antipode resync` does: asks the operator to confirm it, and
// for the daemon's token, which stays in this tab until it is closed.
const id = (name) => document.getElementById(name);

const key = "antipode.token";
const patienceMs = 15000;

/**
 * Whether the page may ask for it: the daemon takes it, and the token would travel neither over an
 * unencrypted line nor to another site's scripts (HTTPS, or this machine, or a tunnel to it).
 */
export function mayResync(status) {
  return globalThis.isSecureContext && (status.actions ?? []).includes("resync");
}

let asked = null; // what the dialog is about: {body, done}

function say(text) {
  id("resync-problem").textContent = text;
}

function showToken() {
  id("resync-token-part").hidden = sessionStorage.getItem(key) !== null;
}

/** Shows the dialog. `what`: the question; `body`: of the request; `done(text)`: the outcome. */
export function confirmResync(what, body, done) {
  asked = { body, done };
  id("resync-what").textContent = what;
  id("resync-token").value = "";
  say("");
  showToken();
  id("resync").showModal();
}

async function send(body, token) {
  const answer = await fetch("/v1/resync", {
    method: "POST",
    headers: { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(patienceMs),
  });
  return { status: answer.status, said: await answer.json() };
}

function count(items) {
  return items === 1 ? "1 item is" : `${items} items are`;
}

/** Sends what was confirmed. The dialog stays when it was refused, and says why. */
async function act() {
  const token = id("resync-token").value.trim() || sessionStorage.getItem(key);
  if (!token) {
    say("The token is missing.");
    id("resync-token").focus();
    return;
  }
  id("resync-send").disabled = true;
  try {
    const { status, said } = await send(asked.body, token);
    if (status === 401) {
      sessionStorage.removeItem(key);
      showToken();
      say("That is not this daemon's token.");
      id("resync-token").focus();
    } else if (status !== 200) {
      const { message, next_step: next } = said.error;
      say(`It was refused: ${message}${next ? ` (try: ${next})` : ""}`);
    } else {
      sessionStorage.setItem(key, token);
      const items = said.stores.reduce((total, store) => total + store.items, 0);
      id("resync").close();
      asked.done(`${count(items)} asked for again.`);
    }
  } catch (error) {
    // A token with characters that no header may have, or a daemon that is away.
    say(`It could not be asked for: ${error.message}`);
  } finally {
    id("resync-send").disabled = false;
  }
}

id("resync-form").addEventListener("submit", (event) => {
  event.preventDefault(); // nothing is ever navigated to
  act();
});
id("resync-cancel").addEventListener("click", () => id("resync").close());
id("resync").addEventListener("close", () => { id("resync-token").value = ""; });
