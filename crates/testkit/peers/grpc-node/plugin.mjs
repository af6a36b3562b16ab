// A key-value plugin with connect-node. Of the host it knows FTL_BIND and LOG_LEVEL.

import http2 from "node:http2";

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { KvService } from "./gen/kv/v1/kv_pb.js";

const levels = ["trace", "debug", "info", "warn", "error"];
const threshold = levels.indexOf((process.env.LOG_LEVEL ?? "info").toLowerCase());
const GRACE_MS = 5000;
const readyAt = performance.now() + Number(process.env.KV_NOT_READY_MS ?? 0);
const entries = new Map();

function log(level, message, attributes = {}) {
  if (levels.indexOf(level) < threshold) return;
  const line = { attributes, level, timestamp: new Date().toISOString(), message };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

function put(entry) {
  log("debug", "stored", { key: entry.key });
  const replaced = entries.has(entry.key);
  entries.set(entry.key, entry.value);
  return replaced;
}

const service = {
  ping: () => (performance.now() < readyAt ? { notReady: "warming up" } : {}),

  get({ key }) {
    const value = entries.get(key);
    if (value === undefined) throw new ConnectError(`no key "${key}"`, Code.NotFound);
    return { value };
  },

  put({ entry }) {
    if (!entry) throw new ConnectError("an entry is missing", Code.InvalidArgument);
    return { replaced: put(entry) };
  },

  async *list({ prefix }) {
    for (const key of [...entries.keys()].sort()) {
      if (key.startsWith(prefix)) yield { key, value: entries.get(key) };
    }
  },

  async load(requests) {
    let stored = 0n;
    for await (const entry of requests) {
      put(entry);
      stored += 1n;
    }
    return { stored };
  },

  async *sync(requests) {
    for await (const { step } of requests) {
      if (!step.case) throw new ConnectError("a step is missing", Code.InvalidArgument);
      if (step.case === "put") put(step.value);
      const key = step.case === "put" ? step.value.key : step.value;
      yield { key, value: entries.get(key) };
    }
  },
};

const { hostname, port } = new URL(process.env.FTL_BIND);
const sessions = new Set();
const server = http2.createServer(connectNodeAdapter({ routes: (router) => router.service(KvService, service) }));
server.on("session", (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
});
server.on("error", (error) => {
  log("error", `cannot listen: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), hostname, () => log("info", "listening", { address: `${hostname}:${port}` }));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    log("info", "stopping");
    // Streams that are open may go on to their end, but not for ever; the process ends with the last of them.
    server.close();
    for (const session of sessions) session.close();
    setTimeout(() => process.exit(0), GRACE_MS).unref();
  });
}
