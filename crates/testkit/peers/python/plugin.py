"""A plugin for the tests, written as its author would who has the wire contract and the library
`websockets`, and nothing else."""

import asyncio
import itertools
import json
import os
import pathlib
import signal
import sys
import time
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

URL = os.environ["STORYDEN_RPC_URL"]
EXTERNAL = parse_qs(urlsplit(URL).query)["token"][0].startswith("sdprt_")
STATE = pathlib.Path(os.environ.get("JACKFIELD_STATE_DIR", "."))
BEGAN = time.monotonic()


class Refused(Exception):
    """The host answered with an error."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.error = error


class Line:
    """One connection: calls go both ways, as many at once as each side likes."""

    def __init__(self, socket):
        self.socket = socket
        self.waiting = {}
        self.ids = itertools.count(1)

    async def call(self, method, params=None):
        number = f"python-{next(self.ids)}"
        request = {"id": number, "jsonrpc": "2.0", "method": method}
        if params is not None:
            request["params"] = params
        self.waiting[number] = answer = asyncio.get_running_loop().create_future()
        try:
            await self.socket.send(json.dumps(request))
            frame = await answer
        finally:
            self.waiting.pop(number, None)
        if frame.get("error"):
            raise Refused(frame["error"])
        return frame["result"]

    async def serve(self):
        running = set()
        try:
            async for text in self.socket:
                frame = json.loads(text)
                if "method" in frame:
                    task = asyncio.create_task(self.answer(frame))
                    running.add(task)
                    task.add_done_callback(running.discard)
                elif waiting := self.waiting.get(frame.get("id")):
                    waiting.set_result(frame)
        finally:
            # Nobody waits for these any more.
            for task in running:
                task.cancel()

    async def answer(self, frame):
        method, params = frame["method"], frame.get("params") or {}
        reply = {"id": frame["id"], "jsonrpc": "2.0"}
        handler = HANDLERS.get(method)
        if handler is None:
            reply["error"] = {"code": -32601, "message": f"no method {method}"}
        else:
            try:
                reply["result"] = {"method": method, **await handler(self, params)}
            except Refused as refused:
                reply["error"] = {"code": -32000, "message": str(refused)}
        try:
            await self.socket.send(json.dumps(reply))
        except ConnectionClosed:
            pass


async def ping(_line, _params):
    return {"pong": True, "status": "healthy", "uptime_seconds": time.monotonic() - BEGAN}


seen = {}


async def configure(line, config):
    """Asks the host back before it has answered."""
    if config.get("refuse"):
        return {"ok": False}
    told = await line.call("get_config", {"keys": sorted(config)})
    access = (await line.call("access_get"))["result"]
    # As strict as the models that Python programs decode this with: these two keys, and strings.
    assert set(access) == {"access_key", "apibase_url"}, access
    assert isinstance(access["apibase_url"], str), access
    seen.update(config=told["config"], key=access["access_key"], url=access["apibase_url"])
    return {"ok": True}


async def tell_seen(_line, _params):
    return {"seen": seen}


async def event(_line, params):
    with open(STATE / "events.log", "a", encoding="utf-8") as log:
        log.write(json.dumps(params) + "\n")
    return {"ok": True}


async def robot_tool_call(_line, params):
    if params["tool_id"] == "broken":
        return {"error": "the tool is broken"}
    return {"output": {"tool": params["tool_id"], "arguments": params["arguments"]}}


async def echo(_line, params):
    await asyncio.sleep(params.get("ms", 0) / 1000)
    return {"params": params}


async def ask(line, params):
    """Passes a call on to the host."""
    try:
        return {"answer": await line.call(params["method"], params.get("params"))}
    except Refused as refused:
        return {"refused": refused.error}


HANDLERS = {
    "ping": ping,
    "configure": configure,
    "event": event,
    "robot_tool_call": robot_tool_call,
    "echo": echo,
    "ask": ask,
    "seen": tell_seen,
}


async def main():
    pause = 0.05
    while True:
        try:
            async with connect(URL) as socket:
                pause = 0.05
                print("connected", flush=True)
                await Line(socket).serve()
                print(f"hung up: {socket.close_code} {socket.close_reason}", flush=True)
                if not EXTERNAL or socket.close_code == 1008:
                    return
        except InvalidStatus as refused:
            if not EXTERNAL or refused.response.status_code < 500:
                sys.exit(f"refused: {refused}")
        except (OSError, WebSocketException) as error:
            if not EXTERNAL:
                sys.exit(f"cannot connect: {error}")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1)


async def until_told():
    work = asyncio.create_task(main())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        print("told to end", flush=True)


asyncio.run(until_told())
