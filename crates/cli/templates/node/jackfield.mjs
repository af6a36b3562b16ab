// Connects a plugin to its host: JSON-RPC 2.0 over a WebSocket, by what Node itself brings alone.
//
// This file is yours, like the rest of the plugin. The host tells where to dial in
// JACKFIELD_RPC_URL.

import { createHash, randomBytes } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'

const MAX_MESSAGE = 16 << 20 // bytes of one message that are taken
const SILENCE = 30_000 // milliseconds without a sign of life: the line is taken for dead
const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10] // kinds of WebSocket frames

/** An error as the other side sees it. Throw it in a handler to refuse a call. */
export class RpcError extends Error {
  constructor(message, code = -32000, data = undefined) {
    super(message)
    Object.assign(this, { code, data })
  }
}

/** What a handler throws when the parameters do not fit. */
export const invalidParams = (message) => new RpcError(message, -32602)

/** What the host may call, and a way to call it. Calls run beside each other, events in order. */
export class Plugin {
  #began = Date.now()
  #connected = []
  #events = new Map()
  #line = null
  #methods = new Map([
    ['ping', () => ({ pong: true, status: 'healthy', uptime_seconds: this.#uptime() })],
    ['event', (params) => this.#event(params)],
    ['configure', (config) => this.#configure(config)],
  ])
  #configured = () => {}
  #turn = Promise.resolve()

  /** The function answers calls of this name. It gets the parameters as they came, `{}` if none. */
  method(name, handler) {
    this.#methods.set(name, handler)
    return this
  }

  /** The function takes an event that the manifest lists under `events_consumed`. */
  event(name, handler) {
    this.#events.set(name, handler)
    return this
  }

  /** The function takes the whole configuration; it returns `false` to refuse it. */
  configure(handler) {
    this.#configured = handler
    return this
  }

  /** The function runs whenever the line was opened, beside everything else. */
  connected(handler) {
    this.#connected.push(handler)
    return this
  }

  /** Calls the host: `await plugin.call('get_config', { keys: ['greeting'] })`. */
  async call(method, params = undefined, timeout = 30_000) {
    if (!this.#line) throw new Error('not connected')
    return this.#line.call(method, params, timeout)
  }

  /** Serves the host until it hangs up or this process is told to end. */
  async run() {
    const url = process.env.JACKFIELD_RPC_URL || process.env.STORYDEN_RPC_URL
    if (!url) {
      console.error('JACKFIELD_RPC_URL is not set: start this with `jackfield run .`')
      process.exit(1)
    }
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => {
        if (!this.#line) process.exit(0)
        this.#line.close(1000, 'closed', () => process.exit(0))
      })
    }
    process.exit(await this.#serve(url))
  }

  async #serve(url) {
    // With a token of this kind nobody would start us again: we come back by ourselves.
    const external = url.includes('token=sdprt_')
    for (let delay = 250; ; ) {
      const began = Date.now()
      try {
        const line = await Line.dial(url, (method, params) => this.#answer(method, params))
        this.#line = line
        console.log('connected')
        for (const handler of this.#connected) {
          const failed = (error) => console.error(`connected failed: ${error.stack}`)
          Promise.resolve().then(handler).catch(failed)
        }
        const { code, reason } = await line.serve()
        console.log(`the line ended: ${reason || 'closed'} (code ${code})`)
        if (code === 1000 || code === 1005) return 0 // the host has hung up
        if (code === 1008 || code === 1009) return 1
        if (!external) return Number(code === 1011) // the host starts us again, if it is there
      } catch (error) {
        console.error(`cannot reach the host: ${error.message}`)
        if (!external || error.final) return 1
      } finally {
        this.#line = null
      }
      // Only a line that lasts shows that the host is well.
      if (Date.now() - began > 10_000) delay = 250
      await new Promise((resolve) => setTimeout(resolve, delay * (0.5 + Math.random() / 2)))
      delay = Math.min(delay * 2, 10_000)
    }
  }

  #uptime() {
    return (Date.now() - this.#began) / 1000
  }

  async #answer(method, params) {
    const handler = this.#methods.get(method)
    if (!handler) throw new RpcError(`there is no method "${method}"`, -32601)
    const result = (await handler(params)) ?? null
    // The contract wants the method's name in every answer.
    const plain = typeof result !== 'object' || result === null || Array.isArray(result)
    return plain ? result : { method, ...result }
  }

  async #event({ event, ...payload }) {
    await this.#inTurn(() => this.#events.get(event)?.(payload))
    return { ok: true }
  }

  async #configure(config) {
    return { ok: (await this.#inTurn(() => this.#configured(config))) !== false }
  }

  /** Events are handled in the order in which they came. */
  #inTurn(job) {
    const done = this.#turn.then(job)
    this.#turn = done.catch(() => {})
    return done
  }
}

/** One open WebSocket (RFC 6455), the client's side of it. */
class Line {
  #socket
  #buffered
  #answer
  #pending = new Map()
  #parts = []
  #text = false
  #size = 0
  #seen = Date.now()
  #alive
  #end

  constructor(socket, first, answer) {
    this.#socket = socket
    this.#buffered = first
    this.#answer = answer
  }

  /** Reads until the line ends, and says why it did. */
  serve() {
    const read = (data) => {
      this.#buffered = this.#buffered.length ? Buffer.concat([this.#buffered, data]) : data
      this.#buffered = this.#buffered.subarray(this.#frames(this.#buffered))
    }
    const ended = new Promise((resolve) => (this.#end = resolve))
    this.#socket.on('data', read)
    this.#socket.on('error', (error) => this.#finish(1006, `the line broke (${error.code})`))
    this.#socket.on('close', () => this.#finish(1006, 'the line broke'))
    // A host that is gone without a word is noticed.
    this.#alive = setInterval(() => {
      if (Date.now() - this.#seen > SILENCE) return this.#finish(1006, 'no sign of life')
      this.#send(PING, Buffer.alloc(0))
    }, SILENCE / 3)
    read(Buffer.alloc(0)) // what came with the answer to the dial
    return ended
  }

  /** Connects. Errors do not show the URL: there is a secret in it. */
  static dial(url, answer) {
    const at = new URL(url)
    const key = randomBytes(16).toString('base64')
    const proof = key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
    const expected = createHash('sha1').update(proof).digest('base64')
    const host = at.hostname.replace(/^\[|\]$/g, '')
    return new Promise((resolve, reject) => {
      const fail = (message, final = false) => {
        socket.destroy()
        reject(Object.assign(new Error(message), { final }))
      }
      const secure = at.protocol === 'wss:'
      const port = at.port || (secure ? 443 : 80)
      const target = { host, port, servername: net.isIP(host) ? '' : host }
      const socket = secure ? tls.connect(target) : net.connect(target)
      socket.setNoDelay(true)
      socket.setTimeout(10_000, () => fail('no answer within 10 s'))
      socket.once('error', (error) => fail(error.code ?? error.message))
      socket.once('close', () => fail('it hung up'))
      socket.write(
        `GET ${at.pathname}${at.search} HTTP/1.1\r\nHost: ${at.host}\r\n` +
          'User-Agent: jackfield.mjs\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      )
      let head = Buffer.alloc(0)
      socket.on('data', function read(data) {
        head = Buffer.concat([head, data])
        const end = head.indexOf('\r\n\r\n')
        if (end < 0 && head.length > 65_536) fail('what answers there is no host of plugins')
        if (end < 0) return
        socket.off('data', read)
        const lines = head.subarray(0, end).toString('latin1').split('\r\n')
        const header = lines.find((line) => /^sec-websocket-accept:/i.test(line))
        const accept = header?.split(':')[1].trim()
        if (!/ 101 /.test(lines[0]) || accept !== expected) {
          // Trying again cannot help where this is not wanted.
          return fail(`it answered "${lines[0]}"`, / 40[013] /.test(lines[0]))
        }
        socket.setTimeout(0)
        for (const event of ['error', 'close', 'timeout']) socket.removeAllListeners(event)
        resolve(new Line(socket, head.subarray(end + 4), answer))
      })
    })
  }

  /** Sends a request and waits for its answer. */
  call(method, params, timeout) {
    const id = xid()
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`"${method}" was not answered within ${timeout} ms`))
      const timer = setTimeout(late, timeout)
      this.#pending.set(id, { resolve, reject, timer })
      this.#tell({ id, method, params })
    }).finally(() => {
      clearTimeout(this.#pending.get(id)?.timer)
      this.#pending.delete(id)
    })
  }

  /** Says goodbye. */
  close(code, reason, then = () => {}) {
    const head = Buffer.alloc(2)
    head.writeUInt16BE(code)
    this.#send(CLOSE, Buffer.concat([head, Buffer.from(reason)]), then)
  }

  #finish(code, reason) {
    clearInterval(this.#alive)
    this.#socket.destroySoon()
    const lost = new Error('the line ended before the answer')
    for (const { reject } of this.#pending.values()) reject(lost)
    this.#end({ code, reason }) // only the first counts
  }

  /** Reads the frames that are whole, and says how many bytes they were. */
  #frames(data) {
    let at = 0
    for (;;) {
      if (data.length < at + 2) return at
      const kind = data[at] & 15
      const final = data[at] & 128
      let [length, body] = [data[at + 1] & 127, at + 2]
      if (length > 125) {
        const wide = length === 126 ? 2 : 8
        if (data.length < body + wide) return at
        length = wide === 2 ? data.readUInt16BE(body) : Number(data.readBigUInt64BE(body))
        body += wide
      }
      if (this.#size + length > MAX_MESSAGE) {
        this.close(1009, '')
        this.#finish(1009, `a message of more than ${MAX_MESSAGE} bytes`)
        return data.length
      }
      if (data.length < body + length) return at
      at = body + length
      this.#seen = Date.now()
      this.#frame(kind, final, data.subarray(body, at))
    }
  }

  #frame(kind, final, data) {
    if (kind === PING) return this.#send(PONG, data)
    if (kind === CLOSE) {
      this.#send(CLOSE, data.subarray(0, 2))
      const code = data.length < 2 ? 1005 : data.readUInt16BE()
      return this.#finish(code, data.subarray(2).toString())
    }
    if (kind > CLOSE) return
    this.#text ||= kind === TEXT
    this.#size += data.length
    this.#parts.push(data)
    if (!final) return
    const [text, message] = [this.#text, Buffer.concat(this.#parts)]
    ;[this.#parts, this.#text, this.#size] = [[], false, 0]
    if (text) this.#sort(message.toString()) // what is binary is not of this contract
  }

  /** One message: a request is answered beside all others, an answer goes to who waits for it. */
  #sort(message) {
    let frame
    try {
      frame = JSON.parse(message)
    } catch (error) {
      return this.#refuse(null, -32700, `this is not JSON: ${error.message}`)
    }
    if (typeof frame?.method === 'string') return this.#take(frame)
    if (frame?.result === undefined && frame?.error === undefined) {
      return this.#refuse(frame?.id ?? null, -32600, 'neither a request nor an answer')
    }
    const waiting = this.#pending.get(frame.id)
    if (!waiting) return console.warn('warn: an answer came that nobody waits for')
    if (!frame.error) return waiting.resolve(frame.result)
    waiting.reject(new RpcError(frame.error.message, frame.error.code, frame.error.data))
  }

  /** Answers one request, whatever happens. */
  async #take({ id = null, method, params }) {
    try {
      if (typeof (params ?? {}) !== 'object') throw invalidParams('neither an object nor an array')
      this.#tell({ id, result: await this.#answer(method, params ?? {}) })
    } catch (error) {
      if (error instanceof RpcError) return this.#refuse(id, error.code, error.message, error.data)
      console.error(`${method} failed: ${error?.stack ?? error}`)
      this.#refuse(id, -32603, String(error))
    }
  }

  #refuse(id, code, message, data = undefined) {
    this.#tell({ id, error: { code, message, data } })
  }

  #tell(frame) {
    this.#send(TEXT, Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...frame })))
  }

  /** One frame. Whatever a client sends is masked. */
  #send(kind, data, then = undefined) {
    const wide = data.length < 126 ? 0 : data.length < 65_536 ? 2 : 8
    const frame = Buffer.alloc(6 + wide + data.length)
    frame[0] = 128 | kind
    frame[1] = 128 | (wide === 0 ? data.length : wide === 2 ? 126 : 127)
    if (wide === 2) frame.writeUInt16BE(data.length, 2)
    if (wide === 8) frame.writeBigUInt64BE(BigInt(data.length), 2)
    const mask = randomBytes(4)
    mask.copy(frame, 2 + wide)
    for (let i = 0; i < data.length; i++) frame[6 + wide + i] = data[i] ^ mask[i & 3]
    if (this.#socket.writable) this.#socket.write(frame, then)
    else then?.()
  }
}

const machine = randomBytes(3)
let count = randomBytes(3).readUIntBE(0, 3)

/** An id as the contract has them: 12 bytes (time, machine, process, counter) in base32hex. */
function xid() {
  const id = Buffer.alloc(12)
  id.writeUInt32BE(Math.floor(Date.now() / 1000))
  machine.copy(id, 4)
  id.writeUInt16BE(process.pid & 0xffff, 7)
  id.writeUIntBE((count = (count + 1) & 0xffffff), 9, 3)
  let bits = BigInt('0x' + id.toString('hex')) << 4n
  let text = ''
  for (; text.length < 20; bits >>= 5n) text = (bits & 31n).toString(32) + text
  return text
}
