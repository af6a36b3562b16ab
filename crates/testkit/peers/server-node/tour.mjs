// A client that was written for Storyden, on a tour of everything that it knows of plugins.
//
// It knows the published contract and nothing of this server: paths, verbs, shapes, the stream of logs, the door of
// plugins. What it saw is told in lines that begin with `ok`.
//
//     tour.mjs <url> <token> <folder with first.zip, second.zip, other.zip, crash.zip>

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import WebSocket from "ws";

const [, , url, token, folder] = process.argv;

const MANIFEST = {
  id: "tour", author: "tests", name: "Tour", description: "Dials in.", version: "1.0.0", command: "",
  events_consumed: ["EventThreadPublished"],
  access: { handle: "tour", name: "Tour", permissions: ["CREATE_POST"] },
  configuration_schema: {
    fields: [{ type: "string", id: "greeting", label: "Greeting", description: "What to say" }],
  },
};
const TOKEN = /^sdprt_[A-Za-z0-9]{32}$/;
const ID = /^[0-9a-v]{19}[0g]$/;

const ok = (step) => console.log("ok", step);
const zipped = (name) => readFile(`${folder}/${name}.zip`);
const request = (method, path, options = {}) => fetch(`${url}/api${path}`, {
  method, ...options, headers: { Authorization: `Bearer ${token}`, ...options.headers },
});

// A request: the JSON of its answer, which has this status.
async function call(method, path, status, body) {
  const zip = body instanceof Uint8Array;
  const response = await request(method, path, body === undefined ? {} : {
    headers: { "Content-Type": zip ? "application/zip" : "application/json" },
    body: zip ? body : JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, status, `${method} ${path}: ${text}`);
  const answer = text === "" ? undefined : JSON.parse(text);
  if (status >= 400) {
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    for (const key of ["type", "title", "detail", "trace_id"]) assert.equal(typeof answer[key], "string", text);
  }
  return answer;
}

// Waits for a state.
async function state(id, wanted) {
  let plugin;
  for (let tries = 0; tries < 6000; tries += 1) {
    plugin = await call("GET", `/plugins/${id}`, 200);
    if (plugin.status.active_state === wanted) return plugin;
    await sleep(10);
  }
  throw new Error(`never ${wanted}: ${JSON.stringify(plugin)}`);
}

// The lines of a stream, as they come.
async function* linesOf(body) {
  let rest = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function supervised() {
  const first = await zipped("first");
  let plugin = await call("POST", "/plugins", 200, first);
  const path = `/plugins/${plugin.id}`;
  assert.match(plugin.id, ID);
  assert.equal(plugin.status.active_state, "inactive");
  assert.ok(plugin.status.deactivated_at && plugin.added_at);
  assert.deepEqual(plugin.connection, { mode: "supervised" });
  assert.deepEqual([plugin.version, plugin.manifest.version], ["1.0.0", "1.0.0"]);
  ok("upload");
  await call("POST", "/plugins", 400, Buffer.from("no archive"));
  ok("garbage is refused");

  plugin = await call("PATCH", `${path}/active`, 200, { active: "active" });
  assert.equal(plugin.status.active_state, "active");
  const { activated_at } = plugin.status;
  assert.ok(activated_at);
  ok("activate");
  const { plugins } = await call("GET", "/plugins", 200);
  assert.deepEqual(plugins.map(({ id }) => id), [plugin.id]);
  ok("list");
  assert.equal((await call("GET", path, 200)).name, plugins[0].name);
  ok("get");

  const logs = await request("GET", `${path}/logs`);
  assert.equal(logs.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const lines = linesOf(logs.body);
  while ((await lines.next()).value !== "data: hello from the plugin");
  ok("logs");

  const { fields } = await call("GET", `${path}/configuration-schema`, 200);
  assert.deepEqual(fields.map(({ id, type, label }) => [id, type, label]),
    [["greeting", "string", "Greeting"], ["count", "number", "Count"], ["loud", "boolean", "Loud"]]);
  ok("configuration schema");
  const configuration = `${path}/configuration`;
  assert.deepEqual(await call("GET", configuration, 200), {});
  const problem = await call("PATCH", configuration, 400, { greeting: "hi", loud: "very" });
  assert.ok(problem.detail.includes('Field "loud" must be a boolean value.'), problem.detail);
  ok("configuration of a wrong type is refused");
  await call("PATCH", configuration, 400, { refuse: true });
  assert.deepEqual(await call("GET", configuration, 200), {});
  ok("configuration is refused by the plugin");
  const wanted = { greeting: "hi", count: 2, loud: false, unknown: { deep: [1] } };
  assert.deepEqual(await call("PATCH", configuration, 200, wanted), wanted);
  assert.deepEqual(await call("GET", configuration, 200), wanted);
  ok("configuration");

  const download = await request("GET", `${path}/package`);
  assert.ok(first.equals(Buffer.from(await download.arrayBuffer())), "other bytes");
  const told = ["content-type", "content-length", "content-disposition"].map((name) => download.headers.get(name));
  assert.deepEqual(told, ["application/zip", String(first.length), "attachment; filename=rig.zip"]);
  ok("download package");
  plugin = await call("PATCH", `${path}/package`, 200, await zipped("second"));
  assert.deepEqual([plugin.version, plugin.status.active_state], ["1.0.1", "active"]);
  assert.ok(plugin.status.activated_at > activated_at);
  assert.deepEqual(await call("GET", configuration, 200), wanted);
  ok("update package");
  await call("PATCH", `${path}/package`, 400, await zipped("other"));
  assert.equal((await call("GET", path, 200)).version, "1.0.1");
  ok("another plugin's package is refused");
  await call("POST", `${path}/token`, 400);
  await call("PATCH", `${path}/manifest`, 400, MANIFEST);
  ok("what external plugins have is refused");

  plugin = await call("PATCH", `${path}/active`, 200, { active: "inactive" });
  assert.equal(plugin.status.active_state, "inactive");
  assert.ok(plugin.status.deactivated_at);
  ok("deactivate");
  await call("PATCH", `${path}/active`, 400, { active: "sideways" });
  ok("an unknown state is refused");
  await call("DELETE", path, 204);
  await call("GET", path, 404);
  await call("DELETE", path, 404);
  ok("delete");
  const rest = await all(lines);
  assert.ok(rest.includes("event: end"), rest.join("\n"));
  ok("logs end");

  plugin = await call("POST", "/plugins", 200, await zipped("crash"));
  const crash = await call("PATCH", `/plugins/${plugin.id}/active`, 502, { active: "active" });
  assert.ok(crash.detail.includes("exit status 42"), crash.detail);
  plugin = await call("GET", `/plugins/${plugin.id}`, 200);
  assert.equal(plugin.status.active_state, "error");
  assert.ok(plugin.status.message.includes("exit status"), plugin.status.message);
  await call("DELETE", `/plugins/${plugin.id}`, 204);
  ok("a crash at the start is told");
}

async function all(lines) {
  const found = [];
  for await (const line of lines) found.push(line);
  return found;
}

// An external plugin, and what it was told.
class Program {
  events = [];
  configurations = [];
  refuses = false;
  waiting = new Map();

  constructor(token) {
    this.socket = new WebSocket(door(token));
    this.socket.on("message", (text) => this.hear(JSON.parse(text)));
    this.closed = once(this.socket, "close").then(([code]) => code);
  }

  static async dial(token) {
    const program = new Program(token);
    await once(program.socket, "open");
    return program;
  }

  hear({ id, jsonrpc, method, params, ...answer }) {
    if (method === undefined) return this.waiting.get(id)(answer.result);
    assert.match(id, ID);
    assert.equal(jsonrpc, "2.0");
    const result = { method };
    if (method === "event") {
      this.events.push(params);
      result.ok = true;
    } else if (method === "configure") {
      this.configurations.push(params);
      result.ok = !this.refuses;
    } else if (method === "ping") {
      Object.assign(result, { pong: true, status: "healthy", uptime_seconds: 1.5 });
    }
    this.socket.send(JSON.stringify({ id, jsonrpc, result }));
  }

  // Calls the host: its result.
  ask(method, params) {
    const id = `tour-${this.waiting.size}`;
    this.socket.send(JSON.stringify({ id, jsonrpc: "2.0", method, params }));
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
}

const door = (token) => `${url.replace(/^http/, "ws")}/rpc?token=${token}`;

// Why it is not let in: status and text.
function letIn(token) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(door(token));
    socket.on("open", () => reject(new Error("let in")));
    socket.on("unexpected-response", async (_, response) => {
      response.setEncoding("utf8");
      resolve([response.statusCode, (await all(response)).join("")]);
    });
  });
}

async function external() {
  const plugin = await call("POST", "/plugins", 200, { mode: "external", manifest: MANIFEST });
  const path = `/plugins/${plugin.id}`;
  assert.equal(plugin.status.active_state, "connecting");
  assert.ok(plugin.status.connecting_at);
  assert.equal(plugin.connection.mode, "external");
  const old = plugin.connection.token;
  assert.match(old, TOKEN);
  ok("external: create");
  for (const wrong of [{ name: undefined }, { name: "" }, { id: "has spaces" }, { author: "has spaces" }])
    await call("POST", "/plugins", 400, { mode: "external", manifest: { ...MANIFEST, ...wrong } });
  ok("external: a wrong manifest is refused");
  assert.deepEqual(await letIn(""), [400, "invalid connection parameters\n"]);
  assert.deepEqual(await letIn(`sdprt_${"x".repeat(32)}`), [401, "unauthenticated\n"]);
  ok("external: a wrong token is refused");

  let program = await Program.dial(old);
  await state(plugin.id, "active");
  ok("external: connect");
  // Somebody publishes it when they read the line above.
  while (program.events.length === 0) await once(program.socket, "message");
  assert.deepEqual(program.events, [{ event: "EventThreadPublished", id: "d4g1m2k3l4m5n6o7p8q0" }]);
  ok("external: event");

  const configuration = `${path}/configuration`;
  const wanted = { greeting: "hi", n: 1 };
  assert.deepEqual(await call("PATCH", configuration, 200, wanted), wanted);
  assert.deepEqual(program.configurations, [wanted]);
  ok("external: configure");
  program.refuses = true;
  await call("PATCH", configuration, 400, { greeting: "bye" });
  assert.deepEqual(program.configurations, [wanted, { greeting: "bye" }]);
  ok("external: configure refused");
  assert.deepEqual(await program.ask("get_config"), { method: "get_config", config: wanted });
  const some = await program.ask("get_config", { keys: ["n", "none"] });
  assert.deepEqual(some, { method: "get_config", config: { n: 1 } });
  ok("external: get_config");
  const { method, result: access } = await program.ask("access_get");
  assert.equal(method, "access_get");
  const { Scheme, Host } = access.api_base_url;
  assert.equal(`${Scheme}://${Host}`, url);
  for (const [key, status] of [[access.access_key, 403], ["sdbak_other", 401]]) {
    const answer = await request("GET", "/plugins", { headers: { Authorization: `Bearer ${key}` } });
    assert.equal(answer.status, status);
  }
  ok("external: access_get");

  const manifest = { ...MANIFEST, version: "2.0.0", events_consumed: [] };
  const updated = await call("PATCH", `${path}/manifest`, 200, manifest);
  assert.deepEqual([updated.version, updated.manifest.name], ["2.0.0", "Tour"]);
  assert.equal(await program.closed, 1000);
  await state(plugin.id, "connecting");
  program = await Program.dial(old);
  await state(plugin.id, "active");
  ok("external: manifest update disconnects");
  const { token: cycled } = await call("POST", `${path}/token`, 200);
  assert.match(cycled, TOKEN);
  assert.notEqual(cycled, old);
  assert.equal(await program.closed, 1000);
  assert.deepEqual(await letIn(old), [401, "unauthenticated\n"]);
  await state(plugin.id, "connecting");
  program = await Program.dial(cycled);
  await state(plugin.id, "active");
  ok("external: token cycle disconnects");

  await call("PATCH", `${path}/active`, 400, { active: "inactive" });
  ok("external: deactivate is refused");
  await call("GET", `${path}/logs`, 400);
  ok("external: logs are refused");
  await call("GET", `${path}/package`, 400);
  await call("PATCH", `${path}/package`, 400, await zipped("first"));
  ok("external: packages are refused");
  await state(plugin.id, "active");
  await call("DELETE", path, 204);
  await program.closed;
  await call("GET", path, 404);
  assert.deepEqual(await letIn(cycled), [401, "unauthenticated\n"]);
  ok("external: delete");
  assert.equal((await request("GET", "/plugins", { headers: { Authorization: "" } })).status, 401);
  ok("nobody without a token");
}

await supervised();
await external();
