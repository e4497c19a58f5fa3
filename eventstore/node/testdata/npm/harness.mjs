// What the scripts beside this one share. Each is run by TestNpmClients as
// node SCRIPT CLIENT-PACKAGE CONNECTION-STRING..., checks one part of the
// protocol through that client, and says how each check went on a line of JSON.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const [clientPackage, ...connectionStrings] = process.argv.slice(2);

/** The client's package: constants, errors and makers of events. */
export const esdb = await import(clientPackage);

/** Tells the newer generation, which reads through a library in Rust. */
export const newer = "KurrentDBClient" in esdb;

const Client = esdb.KurrentDBClient ?? esdb.EventStoreDBClient;
const patience = 20_000;
const open = [];

/** Opens a client for the n-th connection string, with extra parameters. */
export function connect(n = 0, extra = "") {
  const client = Client.connectionString(connectionStrings[n] + extra);
  open.push(client);
  return client;
}

/** Names a stream or group that no other run uses. */
export const fresh = (name) => `${name}-${randomUUID()}`;

/** An event that is known by its name: its type, and a field of its data. */
export const named = (name) => esdb.jsonEvent({ type: name, data: { name } });
export const numbered = (n, prefix = "e") => Array.from({ length: n }, (_, i) => named(prefix + i));

/** The option for an expected revision, which the generations call differently. */
export const expecting = (state) => ({ expectedRevision: state, streamState: state });

/** What a read gives, as the names of its events; a link stands before what it points at. */
export async function names(read) {
  const found = [];
  for await (const e of read) found.push(nameOf(e));
  return found.join(" ");
}

export function nameOf({ event, link }) {
  if (link === undefined) return event.type;
  return `${link.revision}>${event?.type ?? "-"}`;
}

export async function all(read) {
  const found = [];
  for await (const e of read) found.push(e);
  return found;
}

/** Waits for an error of a class, with properties. */
export async function fails(promise, kind, properties = {}) {
  const error = await promise.then(
    (value) => assert.fail(`gave ${JSON.stringify(value, plain)}, want ${kind.name}`),
    (error) => error,
  );
  assert.ok(error instanceof kind, `gave ${error?.constructor?.name}: ${error?.message}, want ${kind.name}`);
  for (const [key, want] of Object.entries(properties)) assert.deepEqual(error[key], want, key);
  return error;
}

const plain = (_, value) => (typeof value === "bigint" ? `${value}` : value);

/** Records what a subscription brings: names of events, and its signals in between. */
export class Feed {
  log = [];
  events = [];
  #waiting = [];

  constructor(subscription) {
    this.subscription = subscription;
    subscription.on("data", (e) => {
      this.events.push(e);
      this.note(nameOf(e));
    });
    for (const signal of ["confirmation", "caughtUp"]) subscription.on(signal, () => this.note(`(${signal})`));
    subscription.on("error", (error) => {
      this.error = error;
      this.note(`(${error.constructor.name})`);
    });
  }

  note(entry) {
    this.log.push(entry);
    this.#waiting = this.#waiting.filter((w) => !w());
  }

  /** Waits until so much has come that a condition holds. */
  until(condition) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (condition(this)) resolve();
        else if (this.error) reject(this.error);
        else return false;
        return true;
      };
      if (!look()) this.#waiting.push(look);
    });
  }

  /** Waits for so many events. */
  count = (n) => this.until(() => this.events.length >= n);

  /** Waits for an entry of the log. */
  sees = (entry) => this.until(() => this.log.includes(entry));
  ends = (kind) => this.sees(`(${kind.name})`).then(() => this.error);
}

/** Runs one check and says how it went. */
export async function check(name, body) {
  const line = { check: name };
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${patience} ms`)), patience);
  });
  try {
    await Promise.race([body(), late]);
  } catch (error) {
    line.error = error?.stack ?? `${error}`;
  }
  clearTimeout(timer);
  console.log(JSON.stringify(line));
}

/** Ends the script: clients keep a process alive. */
export async function done() {
  for (const client of open) await client.dispose();
  process.exit(0);
}
