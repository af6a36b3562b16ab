// A plugin for the tests, written as its author would who has the wire contract and the library
// `ws`, and nothing else.

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const url = process.env.STORYDEN_RPC_URL;
const external = new URL(url).searchParams.get("token").startsWith("sdprt_");
const state = process.env.JACKFIELD_STATE_DIR ?? ".";
const seen = {};
const waiting = new Map();
let socket;
let lastId = 0;

class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.error = error;
  }
}

function call(method, params) {
  const id = `node-${++lastId}`;
  return new Promise((resolve, reject) => {
    waiting.set(id, (frame) => {
      if (frame.error) reject(new Refused(frame.error));
      else resolve(frame.result);
    });
    socket.send(JSON.stringify({ id, jsonrpc: "2.0", method, params }));
  });
}

const methods = {
  ping: () => ({ pong: true, status: "healthy", uptime_seconds: process.uptime() }),

  // Asks the host back before it has answered.
  async configure(config) {
    if (config.refuse) return { ok: false };
    const told = await call("get_config", { keys: Object.keys(config) });
    const { access_key: key, api_base_url: url } = (await call("access_get")).result;
    Object.assign(seen, { config: told.config, key, url: `${url.Scheme}://${url.Host}${url.Path}` });
    return { ok: true };
  },

  event(params) {
    appendFileSync(join(state, "events.log"), `${JSON.stringify(params)}\n`);
    return { ok: true };
  },

  robot_tool_call({ tool_id, arguments: given }) {
    if (tool_id === "broken") return { error: "the tool is broken" };
    return { output: { tool: tool_id, arguments: given } };
  },

  async echo(params) {
    if (params.ms) await sleep(params.ms);
    return { params };
  },

  // Passes a call on to the host.
  async ask({ method, params }) {
    try {
      return { answer: await call(method, params) };
    } catch (refused) {
      return { refused: refused.error };
    }
  },

  seen: () => ({ seen }),
};

async function answer(frame) {
  const reply = { id: frame.id, jsonrpc: "2.0" };
  if (!Object.hasOwn(methods, frame.method)) {
    reply.error = { code: -32601, message: `no method ${frame.method}` };
  } else {
    try {
      const result = await methods[frame.method](frame.params ?? {});
      reply.result = { method: frame.method, ...result };
    } catch (error) {
      reply.error = { code: -32000, message: error.message };
    }
  }
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(reply));
}

// One connection, until it ends: how far it came, and how it ended.
function connect() {
  return new Promise((resolve) => {
    const end = { opened: false, status: 0, code: 0 };
    socket = new WebSocket(url);
    socket.on("open", () => {
      end.opened = true;
      console.log("connected");
    });
    socket.on("message", (text) => {
      const frame = JSON.parse(text);
      if (frame.method !== undefined) {
        answer(frame);
      } else {
        waiting.get(frame.id)?.(frame);
        waiting.delete(frame.id);
      }
    });
    socket.on("unexpected-response", (request, response) => {
      end.status = response.statusCode;
      request.destroy();
      resolve(end);
    });
    socket.on("error", (error) => console.log(`error: ${error.message}`));
    socket.on("close", (code, reason) => {
      if (end.opened) console.log(`hung up: ${code} ${reason}`);
      for (const settle of waiting.values()) settle({ error: { code: -32000, message: "closed" } });
      waiting.clear();
      resolve({ ...end, code });
    });
  });
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    console.log("told to end");
    process.exit(0);
  });
}

for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
  const end = await connect();
  if (!external) process.exit(end.opened ? 0 : 1);
  if (end.code === 1008 || (end.status >= 400 && end.status < 500)) process.exit(1);
  if (end.opened) pause = 50;
  await sleep(pause);
}
