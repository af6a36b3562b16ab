"""A key-value plugin with connectrpc under hypercorn. Of the host it knows FTL_BIND and LOG_LEVEL."""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from hypercorn.asyncio import serve
from hypercorn.config import Config

from kv.v1.kv_connect import KvService, KvServiceASGIApplication
from kv.v1.kv_pb2 import Entry, GetResponse, LoadResponse, PingResponse, PutResponse, SyncResponse

LEVELS = ["trace", "debug", "info", "warn", "error"]
THRESHOLD = LEVELS.index(os.environ.get("LOG_LEVEL", "info").lower())


def log(level, message, **attributes):
    if LEVELS.index(level) >= THRESHOLD:
        now = datetime.now(timezone.utc).isoformat()
        line = {"attributes": attributes, "level": level, "timestamp": now, "message": message}
        print(json.dumps(line), file=sys.stderr, flush=True)


class Kv(KvService):
    def __init__(self, warm_up):
        self.ready = time.monotonic() + warm_up
        self.entries = {}

    async def ping(self, request, ctx):
        if time.monotonic() < self.ready:
            return PingResponse(not_ready="warming up")
        return PingResponse()

    async def get(self, request, ctx):
        if request.key not in self.entries:
            raise ConnectError(Code.NOT_FOUND, f'no key "{request.key}"')
        return GetResponse(value=self.entries[request.key])

    async def put(self, request, ctx):
        if not request.HasField("entry"):
            raise ConnectError(Code.INVALID_ARGUMENT, "an entry is missing")
        return PutResponse(replaced=self.store(request.entry))

    async def list(self, request, ctx):
        for key in sorted(self.entries):
            if key.startswith(request.prefix):
                yield Entry(key=key, value=self.entries[key])

    async def load(self, request, ctx):
        stored = 0
        async for entry in request:
            self.store(entry)
            stored += 1
        return LoadResponse(stored=stored)

    async def sync(self, request, ctx):
        async for step in request:
            match step.WhichOneof("step"):
                case "get":
                    key = step.get
                case "put":
                    key = step.put.key
                    self.store(step.put)
                case _:
                    raise ConnectError(Code.INVALID_ARGUMENT, "a step is missing")
            yield SyncResponse(key=key, value=self.entries.get(key))

    def store(self, entry):
        log("debug", "stored", key=entry.key)
        replaced = entry.key in self.entries
        self.entries[entry.key] = entry.value
        return replaced


async def main():
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    config = Config()
    config.bind = [urlsplit(os.environ["FTL_BIND"]).netloc]
    config.errorlog = None
    config.graceful_timeout = 5
    warm_up = int(os.environ.get("KV_NOT_READY_MS", "0")) / 1000
    log("info", "starting", address=config.bind[0])
    await serve(KvServiceASGIApplication(Kv(warm_up)), config, shutdown_trigger=told.wait)
    log("info", "stopped")


if __name__ == "__main__":
    asyncio.run(main())
