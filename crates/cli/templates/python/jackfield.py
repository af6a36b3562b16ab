"""Connects a plugin to its host: JSON-RPC 2.0 over a WebSocket, by the standard library alone.

This file is yours, like the rest of the plugin. The host tells where to dial in JACKFIELD_RPC_URL.
"""

import asyncio, base64, contextlib, hashlib, inspect, itertools, json, logging
import os, random, signal, ssl, struct, sys, time
from urllib.parse import urlsplit

log = logging.getLogger("jackfield")
MAX_MESSAGE = 16 << 20  # bytes of one message that are taken
SILENCE = 30  # seconds without a sign of life after which the line is taken for dead
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # kinds of WebSocket frames


class RpcError(Exception):
    """An error as the other side sees it. Raise it in a handler to refuse a call."""

    def __init__(self, message, code=-32000, data=None):
        super().__init__(message)
        self.message, self.code, self.data = message, code, data


class Closed(Exception):
    """The line has ended. Codes: 1000 bye, 1008 not wanted, 1012 and 1013 come back later."""

    def __init__(self, code, reason=""):
        super().__init__(f"{reason or 'closed'} (code {code})")
        self.code = code


class Plugin:
    """What the host may call, and a way to call the host. Calls are answered beside each other,
    events in order; plain functions run in threads, so that they may block."""

    def __init__(self):
        self._methods = {"ping": self._ping, "event": self._event, "configure": self._configure}
        self._events, self._connected, self._configured = {}, [], lambda config: None
        self._line, self._began, self._turn = None, time.monotonic(), None

    def method(self, handler):
        """Decorator: the function answers calls of its name; the call's parameters are its own."""
        self._methods[handler.__name__] = handler
        return handler

    def event(self, name):
        """Decorator: the function takes an event that the manifest lists under events_consumed."""

        def take(handler):
            self._events[name] = handler
            return handler

        return take

    def configure(self, handler):
        """Decorator: the function takes the whole configuration; it returns False to refuse it."""
        self._configured = handler
        return handler

    def connected(self, handler):
        """Decorator: the function runs whenever the line was opened, beside everything else."""
        self._connected.append(handler)
        return handler

    async def call(self, method, params=None, timeout=30):
        """Calls the host, for example `await plugin.call("get_config", {"keys": ["greeting"]})`."""
        if self._line is None:
            raise Closed(1006, "not connected")
        return await asyncio.wait_for(self._line.call(method, params), timeout)

    def run(self):
        """Serves the host until it hangs up or this process is told to end."""
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen at once
        url = os.environ.get("JACKFIELD_RPC_URL") or os.environ.get("STORYDEN_RPC_URL")
        if not url:
            sys.exit("JACKFIELD_RPC_URL is not set: start this with `jackfield run .`")
        sys.exit(asyncio.run(self._main(url)))

    async def _main(self, url):
        serving, loop = asyncio.ensure_future(self._serve(url)), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, serving.cancel)
        try:
            return await serving
        except asyncio.CancelledError:
            return 0

    async def _serve(self, url):
        # With a token of this kind nobody would start us again: we come back by ourselves.
        external, delay, self._turn = "token=sdprt_" in url, 0.25, asyncio.Lock()
        while True:
            began = time.monotonic()
            try:
                line = self._line = await Line.dial(url, self._answer)
                log.info("connected")
                for handler in self._connected:
                    line.start(_logged(handler))
                await line.serve()
            except Closed as end:
                log.info("the line ended: %s", end)
                if end.code in (1000, 1005):
                    return 0  # the host has hung up
                if end.code in (1008, 1009):
                    return 1
                if not external:
                    return int(end.code == 1011)  # the host starts us again, if it is there
            except PermissionError as refused:
                log.error("%s", refused)
                return 1
            except OSError as error:
                log.warning("cannot reach the host: %s", error)
                if not external:
                    return 1
            finally:
                self._line = None
            if time.monotonic() - began > 10:
                delay = 0.25  # only a line that lasts shows that the host is well
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, 10)

    async def _answer(self, method, params):
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(f"there is no method {method!r}", -32601)
        result = await _run(handler, params)
        # The contract wants the method's name in every answer.
        return {"method": method, **result} if isinstance(result, dict) else result

    def _ping(self):
        return {"pong": True, "status": "healthy", "uptime_seconds": time.monotonic() - self._began}

    async def _event(self, /, event, **payload):
        async with self._turn:  # events are handled in the order in which they came
            if event in self._events:
                await _run(self._events[event], [payload])
        return {"ok": True}

    async def _configure(self, /, **config):
        async with self._turn:
            return {"ok": await _run(self._configured, [config]) is not False}


async def _run(handler, params):
    """Calls a handler with named parameters (an object) or with placed ones (an array)."""
    args, named = ((), params) if isinstance(params, dict) else (params, {})
    try:
        inspect.signature(handler).bind(*args, **named)
    except TypeError as misfit:
        raise RpcError(f"the parameters do not fit: {misfit}", -32602) from None
    if inspect.iscoroutinefunction(handler):
        return await handler(*args, **named)
    return await asyncio.to_thread(handler, *args, **named)


async def _logged(handler):
    try:
        await _run(handler, [])
    except Exception:
        log.exception("%s failed", handler.__name__)


class Line:
    """One open WebSocket (RFC 6455), the client's side of it."""

    def __init__(self, reader, writer, answer):
        self._reader, self._writer, self._answer = reader, writer, answer
        self._pending, self._running, self._seen = {}, set(), time.monotonic()

    @classmethod
    async def dial(cls, url, answer):
        """Connects, within 10 s. Errors do not show the URL: there is a secret in it."""
        dialing = asyncio.ensure_future(cls._dial(url, answer))
        try:  # not wait_for: before Python 3.12 it may lose that we are told to end
            await asyncio.wait([dialing], timeout=10)
        finally:
            in_time = not dialing.cancel()
        if not in_time:
            raise ConnectionError("no answer within 10 s")
        return dialing.result()

    @classmethod
    async def _dial(cls, url, answer):
        at, key = urlsplit(url), base64.b64encode(os.urandom(16)).decode()
        tls = ssl.create_default_context() if at.scheme == "wss" else None
        port = at.port or (443 if tls else 80)
        reader, writer = await asyncio.open_connection(at.hostname, port, ssl=tls)
        writer.write(
            f"GET {at.path or '/'}?{at.query} HTTP/1.1\r\nHost: {at.netloc}\r\n"
            f"User-Agent: jackfield.py\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ConnectionError("what answers there is no host of plugins") from None
        status, *headers = head.decode("latin-1").split("\r\n")
        accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        headers = dict(line.split(":", 1) for line in headers if ":" in line)
        headers = {name.lower(): value.strip() for name, value in headers.items()}
        expected = base64.b64encode(accept).decode()
        if " 101 " in status and headers.get("sec-websocket-accept") == expected:
            return cls(reader, writer, answer)
        writer.close()
        refused = status.split(" ")[1:2] in (["400"], ["401"], ["403"])  # trying again cannot help
        raise (PermissionError if refused else ConnectionError)(f"the host answered {status!r}")

    async def serve(self):
        """Reads until the line ends, which it says by raising Closed."""
        alive = asyncio.ensure_future(self._keep_alive())
        try:
            while True:
                self._sort(await self._message())
        except (OSError, EOFError) as error:  # EOFError: in the middle of a frame
            raise Closed(1006, f"the line broke ({error})") from None
        except asyncio.CancelledError:
            self._send(CLOSE, struct.pack(">H", 1000) + b"closed")
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._writer.drain(), 1)
            raise
        finally:
            for task in (alive, *self._running):
                task.cancel()
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(Closed(1006, "the line ended before the answer"))
            self._writer.close()

    async def call(self, method, params):
        """Sends a request and waits for its answer."""
        id, answer = xid(), asyncio.get_running_loop().create_future()
        self._pending[id] = answer
        try:
            self._tell(id=id, method=method, **({} if params is None else {"params": params}))
            await self._writer.drain()  # not faster than the host reads
            return await answer
        finally:
            del self._pending[id]

    def start(self, job):
        """Has something done beside everything else, until the line ends."""
        task = asyncio.ensure_future(job)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _sort(self, text):
        """One message: a request gets a task of its own, an answer goes to who waits for it."""
        try:
            frame = json.loads(text)
        except ValueError as error:
            error = {"code": -32700, "message": f"this is not JSON: {error}"}
            return self._tell(id=None, error=error)
        if isinstance(frame, dict) and isinstance(frame.get("method"), str):
            self.start(self._take(frame))
        elif isinstance(frame, dict) and ("result" in frame or "error" in frame):
            waiting, error = self._pending.get(frame.get("id")), frame.get("error")
            if waiting is None or waiting.done():
                log.warning("an answer came that nobody waits for")
            elif error:
                code, message = error.get("code", -32000), error.get("message", "")
                waiting.set_exception(RpcError(message, code, error.get("data")))
            else:
                waiting.set_result(frame.get("result"))
        else:
            id = frame.get("id") if isinstance(frame, dict) else None
            self._tell(id=id, error={"code": -32600, "message": "neither a request nor an answer"})

    async def _take(self, frame):
        """Answers one request, whatever happens."""
        params = {} if frame.get("params") is None else frame["params"]
        try:
            if not isinstance(params, (dict, list)):
                raise RpcError("the parameters are neither an object nor an array", -32602)
            outcome = {"result": await self._answer(frame["method"], params)}
        except RpcError as e:
            outcome = {"error": {"code": e.code, "message": e.message}}
            outcome["error"] |= {} if e.data is None else {"data": e.data}
        except Exception as e:
            log.exception("%s failed", frame["method"])
            outcome = {"error": {"code": -32603, "message": f"{type(e).__name__}: {e}"}}
        self._tell(id=frame.get("id"), **outcome)
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def _message(self):
        """The next text, put together from its fragments."""
        text, parts, size = False, [], 0
        while True:
            first, length = await self._reader.readexactly(2)
            kind, length = first & 15, length & 127
            if length > 125:
                length = await self._reader.readexactly(2 if length == 126 else 8)
                length = int.from_bytes(length, "big")
            if size + length > MAX_MESSAGE:
                self._send(CLOSE, struct.pack(">H", 1009))
                raise Closed(1009, f"a message of more than {MAX_MESSAGE} bytes")
            data, self._seen = await self._reader.readexactly(length), time.monotonic()
            if kind == PING:
                self._send(PONG, data)
            elif kind == CLOSE:
                code = int.from_bytes(data[:2], "big") or 1005
                self._send(CLOSE, data[:2])
                raise Closed(code, data[2:].decode(errors="replace"))
            elif kind < CLOSE:
                text, size = text or kind == TEXT, size + length
                parts.append(data)
                if first & 128:
                    if text:
                        return b"".join(parts)
                    text, parts, size = False, [], 0  # binary: not of this contract

    def _tell(self, **frame):
        self._send(TEXT, json.dumps({"jsonrpc": "2.0", **frame}).encode())

    def _send(self, kind, data):
        """One frame. Whatever a client sends is masked."""
        size, mask = len(data), os.urandom(4)
        if size < 126:
            head = struct.pack(">BB", 128 | kind, 128 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 128 | kind, 128 | 126, size)
        else:
            head = struct.pack(">BBQ", 128 | kind, 128 | 127, size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")  # one number: a loop is slow
        self._writer.write(head + mask + (int.from_bytes(data, "big") ^ key).to_bytes(size, "big"))

    async def _keep_alive(self):
        """A host that is gone without a word is noticed."""
        while time.monotonic() - self._seen < SILENCE:
            self._send(PING, b"")
            await asyncio.sleep(SILENCE / 3)
        self._writer.transport.abort()


_machine, _count = os.urandom(3), itertools.count(int.from_bytes(os.urandom(3), "big"))


def xid():
    """An id as the contract has them: 12 bytes (time, machine, process, counter) in base32hex."""
    count = (next(_count) & 0xFFFFFF).to_bytes(3, "big")
    id = struct.pack(">I3sH3s", int(time.time()), _machine, os.getpid() & 0xFFFF, count)
    bits, digits = int.from_bytes(id, "big") << 4, "0123456789abcdefghijklmnopqrstuv"
    return "".join(digits[bits >> place & 31] for place in range(95, -1, -5))
