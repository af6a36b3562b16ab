// Calls a key-value plugin in every way that connect-node knows: client.mjs <URL> [<token> [<Unix socket>]].
//
// A line "ok <protocol> <HTTP> <check>" for each check that holds; at the first that does not, it says so and exits
// with 1.

import assert from "node:assert/strict";
import net from "node:net";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";

import { KvService } from "./gen/kv/v1/kv_pb.js";

const [baseUrl, token, socket] = process.argv.slice(2);
const PATIENCE = 30_000;

const ways = [
  ["grpc", createGrpcTransport, { httpVersion: "2" }],
  ["grpc-web", createGrpcWebTransport, { httpVersion: "2" }],
  ["connect", createConnectTransport, { httpVersion: "2", useBinaryFormat: true }],
  ["connect-json", createConnectTransport, { httpVersion: "2", useBinaryFormat: false }],
  ["grpc-web", createGrpcWebTransport, { httpVersion: "1.1" }],
  ["connect", createConnectTransport, { httpVersion: "1.1", useBinaryFormat: true }],
  ["connect-json", createConnectTransport, { httpVersion: "1.1", useBinaryFormat: false }],
];

const bytes = (...values) => new Uint8Array(values);

// Each is given a function that makes a client, to which it may give options of its own.
const checks = {
  async ping(client) {
    assert.equal((await client().ping({})).notReady ?? "", "");
  },

  async unary(client) {
    const kv = client();
    await kv.put({ entry: { key: "unary", value: bytes(1) } });
    const { replaced } = await kv.put({ entry: { key: "unary", value: bytes(98, 0, 255) } });
    assert.ok(replaced);
    same((await kv.get({ key: "unary" })).value, bytes(98, 0, 255));
  },

  async "not-found"(client) {
    await refused(Code.NotFound, () => client().get({ key: "nowhere ☂" }));
  },

  async "without-token"(client) {
    if (!token) return;
    for (const other of ["", "guessed"]) {
      const stranger = client({ token: other });
      await refused(Code.Unauthenticated, () => stranger.get({ key: "unary" }));
      await refused(Code.Unauthenticated, () => all(stranger.list({})));
    }
  },

  async get(client) {
    const kv = client({ useHttpGet: true });
    await kv.put({ entry: { key: "get", value: bytes(3, 0) } });
    same((await kv.get({ key: "get" })).value, bytes(3, 0));
  },

  async "client-stream"(client) {
    async function* entries() {
      for (let n = 0; n < 50; n++) yield { key: numbered(n), value: bytes(n) };
    }
    assert.equal((await client().load(entries())).stored, 50n);
  },

  async "server-stream"(client) {
    const listed = await all(client().list({ prefix: "load/" }));
    assert.deepEqual(listed.map((entry) => entry.key), Array.from({ length: 50 }, (_, n) => numbered(n)));
    assert.deepEqual(listed.map((entry) => entry.value[0]), Array.from({ length: 50 }, (_, n) => n));
  },

  async "two-way-stream"(client) {
    const questions = new Questions();
    const answers = client().sync(questions)[Symbol.asyncIterator]();
    const ask = async (step) => {
      questions.add({ step });
      return (await answers.next()).value;
    };
    const nothing = await ask({ case: "get", value: "nowhere" });
    assert.deepEqual([nothing.key, nothing.value], ["nowhere", undefined]);
    for (let n = 0; n < 20; n++) {
      const stored = await ask({ case: "put", value: { key: "sync", value: bytes(n) } });
      same(stored.value, bytes(n));
      same((await ask({ case: "get", value: "sync" })).value, bytes(n));
    }
    questions.end();
    assert.ok((await answers.next()).done);
  },

  async deadline(client) {
    const began = performance.now();
    const questions = new Questions();
    const answers = client().sync(questions, { timeoutMs: 200 })[Symbol.asyncIterator]();
    questions.add({ step: { case: "get", value: "nowhere" } });
    await answers.next();
    await refused(Code.DeadlineExceeded, () => answers.next());
    const took = performance.now() - began;
    assert.ok(took > 190 && took < 10_000, `${took} ms`);
  },

  async gzip(client) {
    const kv = client({ sendCompression: compressionGzip, compressMinBytes: 0 });
    const value = new Uint8Array(2_000_000).fill(97);
    await kv.put({ entry: { key: "gzip", value } });
    same((await kv.get({ key: "gzip" })).value, value);
  },
};

// HTTP/1.1 cannot speak in both directions at once.
const duplex = ["two-way-stream", "deadline"];

class Questions {
  #ready = [];
  #wake = () => {};
  #ended = false;

  add(question) {
    this.#ready.push(question);
    this.#wake();
  }

  end() {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (this.#ready.length > 0) yield this.#ready.shift();
      if (this.#ended) return;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

const numbered = (n) => `load/${String(n).padStart(2, "0")}`;

async function all(stream) {
  const taken = [];
  for await (const one of stream) taken.push(one);
  return taken;
}

// Some answers hold a Buffer, some a plain Uint8Array.
const same = (value, expected) => assert.deepEqual(Uint8Array.from(value), expected);

async function refused(code, call) {
  const error = await call().then(
    (answer) => assert.fail(`it was answered: ${JSON.stringify(answer)}`),
    (error) => ConnectError.from(error),
  );
  assert.equal(Code[error.code], Code[code], error.message);
}

function clientOver(transport, options, { token: own = token, ...more } = {}) {
  const carry = (next) => (request) => {
    if (own) request.header.set("jackfield-token", own);
    return next(request);
  };
  const nodeOptions = {};
  if (socket && options.httpVersion === "2") nodeOptions.createConnection = () => net.connect(socket);
  else if (socket) nodeOptions.socketPath = socket;
  return createClient(
    KvService,
    transport({ baseUrl, ...options, nodeOptions, interceptors: [carry], defaultTimeoutMs: PATIENCE, ...more }),
  );
}

for (const [protocol, transport, options] of ways) {
  for (const [name, check] of Object.entries(checks)) {
    if (options.httpVersion === "1.1" && duplex.includes(name)) continue;
    const line = `${protocol} ${options.httpVersion} ${name}`;
    try {
      await check((more) => clientOver(transport, options, more));
    } catch (error) {
      console.log(`failed ${line}: ${error.stack}`);
      process.exit(1);
    }
    console.log(`ok ${line}`);
  }
}
// Connections that are kept for later do not keep the process.
process.exit(0);
