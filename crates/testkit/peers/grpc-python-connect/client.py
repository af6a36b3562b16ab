"""Calls a key-value plugin in every way that connectrpc knows: client.py <URL> [<token>].

A line "ok <protocol> <HTTP> <check>" for each check that holds; at the first that does not, it says so and exits
with 1.
"""

import asyncio
import sys
import time

from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType
from pyqwest import Client, HTTPTransport, HTTPVersion

from kv.v1.kv_connect import KvServiceClient
from kv.v1.kv_pb2 import Entry, GetRequest, ListRequest, PingRequest, PutRequest, SyncRequest

PATIENCE_MS = 30_000
BINARY = google_protobuf_binary_codec()
JSON = google_protobuf_json_codec()
PROTOCOLS = [
    ("grpc", ProtocolType.GRPC, BINARY, ["2"]),
    ("grpc-web", ProtocolType.GRPC_WEB, BINARY, ["2", "1.1"]),
    ("connect", ProtocolType.CONNECT, BINARY, ["2", "1.1"]),
    ("connect-json", ProtocolType.CONNECT, JSON, ["2", "1.1"]),
]
VERSIONS = {"1.1": HTTPVersion.HTTP1, "2": HTTPVersion.HTTP2}
# HTTP/1.1 cannot speak in both directions at once.
DUPLEX = ["two-way-stream", "deadline"]


class Checks:
    """Each method whose name begins with `check_` is a check; they run in this order."""

    def __init__(self, token, connect):
        self.token = token
        self.how = {"headers": {"jackfield-token": token} if token else {}}
        self.client = connect()
        self.zipped = connect(send_compression=GzipCompression())

    async def check_ping(self):
        pong = await self.client.ping(PingRequest(), **self.how)
        assert pong.not_ready == "", pong

    async def check_unary(self):
        await self.put("unary", b"first")
        assert (await self.put("unary", b"blue \x00\xff")).replaced
        assert await self.get("unary") == b"blue \x00\xff"

    async def check_not_found(self):
        await refused(Code.NOT_FOUND, self.get("nowhere ☂"))

    async def check_without_token(self):
        if not self.token:
            return
        for headers in ({}, {"jackfield-token": "guessed"}):
            await refused(Code.UNAUTHENTICATED, self.client.get(GetRequest(key="unary"), headers=headers))
            await refused(Code.UNAUTHENTICATED, taken(self.client.list(ListRequest(), headers=headers)))

    async def check_get(self):
        await self.put("get", b"by GET")
        answer = await self.client.get(GetRequest(key="get"), use_get=True, **self.how)
        assert answer.value == b"by GET"

    async def check_client_stream(self):
        async def entries():
            for n in range(50):
                yield Entry(key=f"load/{n:02}", value=bytes([n]))

        assert (await self.client.load(entries(), **self.how)).stored == 50

    async def check_server_stream(self):
        listed = await taken(self.client.list(ListRequest(prefix="load/"), **self.how))
        assert [entry.key for entry in listed] == [f"load/{n:02}" for n in range(50)]
        assert [entry.value for entry in listed] == [bytes([n]) for n in range(50)]

    async def check_two_way_stream(self):
        questions = asyncio.Queue()
        answers = aiter(self.client.sync(asked(questions), **self.how))

        async def ask(step):
            await questions.put(step)
            return await anext(answers)

        nothing = await ask(SyncRequest(get="nowhere"))
        assert nothing.key == "nowhere" and not nothing.HasField("value")
        for n in range(20):
            stored = await ask(SyncRequest(put=Entry(key="sync", value=bytes([n]))))
            assert stored.value == bytes([n])
            assert (await ask(SyncRequest(get="sync"))).value == bytes([n])
        await questions.put(None)
        assert await anext(answers, None) is None

    async def check_deadline(self):
        began = time.monotonic()
        questions = asyncio.Queue()
        await questions.put(SyncRequest(get="nowhere"))
        answers = aiter(self.client.sync(asked(questions), timeout_ms=200, **self.how))
        await anext(answers)
        await refused(Code.DEADLINE_EXCEEDED, anext(answers))
        assert 0.19 <= time.monotonic() - began < 10

    async def check_gzip(self):
        big = b"jackfield " * 200_000
        await self.zipped.put(PutRequest(entry=Entry(key="gzip", value=big)), **self.how)
        assert await self.get("gzip") == big

    async def put(self, key, value):
        return await self.client.put(PutRequest(entry=Entry(key=key, value=value)), **self.how)

    async def get(self, key):
        return (await self.client.get(GetRequest(key=key), **self.how)).value


async def asked(questions):
    while (question := await questions.get()) is not None:
        yield question


async def taken(stream):
    return [one async for one in stream]


async def refused(code, call):
    try:
        answer = await call
    except ConnectError as error:
        assert error.code == code, f"{error.code}: {error}"
    else:
        raise AssertionError(f"it was answered: {answer}")


async def main():
    url, token = (sys.argv[1:] + [""] * 2)[:2]
    for name, protocol, codec, versions in PROTOCOLS:
        for version in versions:
            # Proxies that the environment names are none of its business.
            transport = HTTPTransport(http_version=VERSIONS[version], proxy=[])

            def connect(send_compression=None):
                return KvServiceClient(
                    url,
                    codec=codec,
                    protocol=protocol,
                    send_compression=send_compression,
                    timeout_ms=PATIENCE_MS,
                    http_client=Client(transport),
                )

            await run(name, version, Checks(token, connect))


async def run(protocol, version, checks):
    for method in [name for name in vars(Checks) if name.startswith("check_")]:
        name = method.removeprefix("check_").replace("_", "-")
        if version == "1.1" and name in DUPLEX:
            continue
        try:
            await getattr(checks, method)()
        except Exception as error:
            print(f"failed {protocol} {version} {name}: {error!r}", flush=True)
            raise
        print(f"ok {protocol} {version} {name}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
