"""Calls a key-value plugin in every way that grpcio knows: client.py <URL> [<token> [<Unix socket>]].

A line "ok grpc 2 <check>" for each check that holds; at the first that does not, it says so and exits with 1.
The code generated for the example in Python has to be on PYTHONPATH.
"""

import queue
import sys
import time
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from kv.v1 import kv_pb2, kv_pb2_grpc

TOKEN_HEADER = "jackfield-token"
PATIENCE = 30


class Checks:
    """Each method whose name begins with `check_` is a check; they run in this order."""

    def __init__(self, address, token):
        self.token = token
        self.metadata = ((TOKEN_HEADER, token),) if token else ()
        self.address = address
        # Over a Unix socket it would send the path, which is no name of a host.
        self.options = [("grpc.default_authority", "localhost")] if address.startswith("unix:") else []
        self.channel = grpc.insecure_channel(address, self.options)
        self.stub = kv_pb2_grpc.KvServiceStub(self.channel)
        self.how = {"timeout": PATIENCE, "metadata": self.metadata}

    def check_ping(self):
        assert self.stub.Ping(kv_pb2.PingRequest(), **self.how).not_ready == ""

    def check_unary(self):
        self.put("unary", b"first")
        assert self.put("unary", b"blue \x00\xff").replaced
        assert self.get("unary") == b"blue \x00\xff"

    def check_not_found(self):
        refused(grpc.StatusCode.NOT_FOUND, lambda: self.get("nowhere ☂"))

    def check_without_token(self):
        if not self.token:
            return
        for metadata in ((), ((TOKEN_HEADER, "guessed"),)):
            how = {"timeout": PATIENCE, "metadata": metadata}
            unary = lambda: self.stub.Get(kv_pb2.GetRequest(key="unary"), **how)
            refused(grpc.StatusCode.UNAUTHENTICATED, unary)
            stream = lambda: list(self.stub.List(kv_pb2.ListRequest(), **how))
            refused(grpc.StatusCode.UNAUTHENTICATED, stream)

    def check_client_stream(self):
        entries = (kv_pb2.Entry(key=f"load/{n:02}", value=bytes([n])) for n in range(50))
        assert self.stub.Load(entries, **self.how).stored == 50

    def check_server_stream(self):
        listed = list(self.stub.List(kv_pb2.ListRequest(prefix="load/"), **self.how))
        assert [entry.key for entry in listed] == [f"load/{n:02}" for n in range(50)]
        assert [entry.value for entry in listed] == [bytes([n]) for n in range(50)]

    def check_two_way_stream(self):
        questions = queue.SimpleQueue()
        answers = self.stub.Sync(iter(questions.get, None), **self.how)

        def ask(**step):
            questions.put(kv_pb2.SyncRequest(**step))
            return next(answers)

        nothing = ask(get="nowhere")
        assert nothing.key == "nowhere" and not nothing.HasField("value")
        for n in range(20):
            assert ask(put=kv_pb2.Entry(key="sync", value=bytes([n]))).value == bytes([n])
            assert ask(get="sync").value == bytes([n])
        questions.put(None)
        assert next(answers, None) is None

    def check_deadline(self):
        began = time.monotonic()
        questions = queue.SimpleQueue()
        questions.put(kv_pb2.SyncRequest(get="nowhere"))
        answers = self.stub.Sync(iter(questions.get, None), timeout=0.2, metadata=self.metadata)
        next(answers)
        refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(answers))
        assert 0.2 <= time.monotonic() - began < 10
        questions.put(None)

    def check_gzip(self):
        big = b"jackfield " * 200_000
        entry = kv_pb2.Entry(key="gzip", value=big)
        how = self.how | {"compression": grpc.Compression.Gzip}
        self.stub.Put(kv_pb2.PutRequest(entry=entry), **how)
        assert self.get("gzip") == big

    def check_reflection(self):
        with grpc.insecure_channel(self.address, self.options) as channel:
            if self.metadata:
                channel = grpc.intercept_channel(channel, Carry(self.metadata))
            known = ProtoReflectionDescriptorDatabase(channel)
            assert "kv.v1.KvService" in known.get_services(), known.get_services()
            described = known.FindFileContainingSymbol("kv.v1.KvService")
            methods = [method.name for method in described.service[0].method]
            assert methods == ["Ping", "Get", "Put", "List", "Load", "Sync"], methods

    def check_health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "kv.v1.KvService"):
            health = stub.Check(health_pb2.HealthCheckRequest(service=service), **self.how)
            assert health.status == health_pb2.HealthCheckResponse.SERVING, health

    def put(self, key, value):
        return self.stub.Put(kv_pb2.PutRequest(entry=kv_pb2.Entry(key=key, value=value)), **self.how)

    def get(self, key):
        return self.stub.Get(kv_pb2.GetRequest(key=key), **self.how).value


class Carry(grpc.StreamStreamClientInterceptor):
    def __init__(self, metadata):
        self.metadata = metadata

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=self.metadata), requests)


def refused(code, call):
    try:
        answer = call()
    except grpc.RpcError as error:
        assert error.code() == code, error
    else:
        raise AssertionError(f"it was answered: {answer}")


def main():
    url, token, socket = (sys.argv[1:] + [""] * 3)[:3]
    checks = Checks(f"unix:{socket}" if socket else urlsplit(url).netloc, token)
    for method in [name for name in vars(Checks) if name.startswith("check_")]:
        name = method.removeprefix("check_").replace("_", "-")
        try:
            getattr(checks, method)()
        except Exception as error:
            print(f"failed grpc 2 {name}: {error!r}", flush=True)
            raise
        print(f"ok grpc 2 {name}", flush=True)
    checks.channel.close()


if __name__ == "__main__":
    main()
