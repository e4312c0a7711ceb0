// Two real sites for the tests of the web page: nats-server, repositories, files and antipoded
// each, on free ports, in a temporary directory. Every process dies with this one.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const built = new URL("../../build/dev/apps/", import.meta.url).pathname;
const antipoded = process.env.ANTIPODED ?? `${built}antipoded/antipoded`;
const antipode = process.env.ANTIPODE ?? `${built}antipode/antipode`;
const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, LC_ALL: "C" };

/** What the sites' daemons ask for before they do something. */
export const token = "a-secret-of-the-tests";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Polls `condition` until it is true and does not throw; fails with `what` after `timeoutMs`. */
export async function eventually(condition, what, timeoutMs = 30000) {
  const end = Date.now() + timeoutMs;
  let problem;
  const holds = () => Promise.resolve().then(condition).catch((error) => { problem = error; });
  while (!(await holds())) {
    if (Date.now() > end) {
      throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: problem });
    }
    await new Promise((done) => { setTimeout(done, 20); });
  }
}

/** A child process that the kernel kills when this one ends, however it ends. */
class Child {
  constructor(command, log) {
    this.command = command;
    this.log = log;
  }

  async start() {
    const output = await open(this.log, "a");
    this.process = spawn("setpriv", ["--pdeathsig", "KILL", ...this.command],
      { env: environment, stdio: ["ignore", output.fd, output.fd] });
    this.ended = once(this.process, "exit");
    await output.close();
  }

  signal(name) {
    this.process?.kill(name);
  }

  async end(name) {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      this.signal(name);
      await this.ended;
    }
  }
}

class Site {
  constructor(directory, name) {
    this.directory = join(directory, name);
    this.name = name;
    this.files = join(this.directory, "files");
    this.repositories = join(this.directory, "git");
    this.configuration = join(this.directory, "antipode.toml");
  }

  async make() {
    this.natsPort = await freePort();
    this.port = await freePort();
    for (const path of [this.files, this.repositories, join(this.directory, "nats")]) {
      await mkdir(path, { recursive: true });
    }
    this.nats = new Child(["nats-server", "--addr", "127.0.0.1", "--port", `${this.natsPort}`,
      "--jetstream", "--store_dir", join(this.directory, "nats")], this.path("nats.log"));
    this.daemon = new Child([antipoded, "--config", this.configuration],
      this.path("antipoded.log"));
    await this.nats.start();
  }

  path(name) {
    return join(this.directory, name);
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async configure(sites) {
    const others = sites.map((site) => `[[sites]]\nname = "${site.name}"\n` +
      `nats = "nats://127.0.0.1:${site.natsPort}"\nhttp = "${site.url}"\n`);
    await writeFile(this.path("token"), `${token}\n`, { mode: 0o600 });
    await writeFile(this.configuration, `cluster = "test"\nsite = "${this.name}"\n` +
      `state_dir = "${this.path("state")}"\n${others.join("")}` +
      `[http]\nlisten = "127.0.0.1:${this.port}"\ntoken_file = "${this.path("token")}"\n` +
      `[[repositories]]\nname = "git"\nroot = "${this.repositories}"\n` +
      `[[blobs]]\nname = "uploads"\nroot = "${this.files}"\n`);
  }

  antipode(...command) {
    return run(antipode, ["--config", this.configuration, ...command],
      { env: environment });
  }

  async status() {
    try {
      return await (await fetch(`${this.url}/v1/status`)).json();
    } catch {
      return null;
    }
  }
}

export class Sites {
  async start() {
    this.directory = await mkdtemp(join(tmpdir(), "antipode-dashboard-"));
    this.london = new Site(this.directory, "london");
    this.sydney = new Site(this.directory, "sydney");
    this.all = [this.london, this.sydney];
    for (const site of this.all) {
      await site.make();
    }
    await run("git", ["init", "-q", "--bare", join(this.london.repositories, "app.git")]);
    for (const site of this.all) {
      await site.configure(this.all);
    }
    // Again and again until nats-server is up.
    const named = () => this.london.antipode("sites", "init", "--primary", "london");
    await eventually(named, "the first primary is named");
    for (const site of this.all) {
      await site.daemon.start();
    }
    await eventually(async () => (await this.sydney.status())?.recovery_point_us,
      "sydney has a recovery point");
  }

  async stop() {
    for (const site of this.all ?? []) {
      site.daemon?.signal("SIGCONT");
      await site.daemon?.end("SIGTERM");
    }
    for (const site of this.all ?? []) {
      await site.nats?.end("SIGTERM");
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
