"""A key-value plugin. Of the host it knows FTL_BIND, where to listen, and LOG_LEVEL."""

import asyncio
import logging
import os
import signal
import sys
import time
from urllib.parse import urlsplit

import grpc

from kv.v1 import kv_pb2, kv_pb2_grpc
from records import Records

# How long calls in flight have when the plugin is told to stop, in seconds.
GRACE = 5

log = logging.getLogger("kv")


class Kv(kv_pb2_grpc.KvServiceServicer):
    """What is stored lives as long as the process."""

    def __init__(self, warm_up):
        self.ready = time.monotonic() + warm_up
        self.entries = {}

    async def Ping(self, request, context):
        if time.monotonic() < self.ready:
            return kv_pb2.PingResponse(not_ready="warming up")
        return kv_pb2.PingResponse()

    async def Get(self, request, context):
        if request.key not in self.entries:
            await context.abort(grpc.StatusCode.NOT_FOUND, f'no key "{request.key}"')
        return kv_pb2.GetResponse(value=self.entries[request.key])

    async def Put(self, request, context):
        if not request.HasField("entry"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an entry is missing")
        replaced = request.entry.key in self.entries
        self.put(request.entry)
        return kv_pb2.PutResponse(replaced=replaced)

    async def List(self, request, context):
        for key in sorted(self.entries):
            if key.startswith(request.prefix):
                yield kv_pb2.Entry(key=key, value=self.entries[key])

    async def Load(self, requests, context):
        stored = 0
        async for entry in requests:
            self.put(entry)
            stored += 1
        return kv_pb2.LoadResponse(stored=stored)

    async def Sync(self, requests, context):
        async for request in requests:
            match request.WhichOneof("step"):
                case "get":
                    key = request.get
                case "put":
                    key = request.put.key
                    self.put(request.put)
                case _:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a step is missing")
            # No value where nothing is stored.
            yield kv_pb2.SyncResponse(key=key, value=self.entries.get(key))

    def put(self, entry):
        log.debug("stored", extra={"attributes": {"key": entry.key}})
        self.entries[entry.key] = entry.value


async def main():
    address = urlsplit(os.environ.get("FTL_BIND", "")).netloc
    if not address:
        sys.exit("FTL_BIND must be http://<address>:<port>; a plugin host sets it")
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)

    # Without this option, another process could listen on the same port.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    # For as long it says that it is not ready, as a plugin does that has something to load.
    warm_up = int(os.environ.get("KV_NOT_READY_MS", "0")) / 1000
    kv_pb2_grpc.add_KvServiceServicer_to_server(Kv(warm_up), server)
    server.add_insecure_port(address)
    await server.start()
    log.info("listening", extra={"attributes": {"address": address}})

    await told.wait()
    log.info("stopping")
    await server.stop(GRACE)


if __name__ == "__main__":
    log.setLevel(Records.level(os.environ.get("LOG_LEVEL", "info")))
    log.addHandler(Records())
    asyncio.run(main())
