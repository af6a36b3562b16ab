"""A plugin that speaks on the socket it was handed, with nothing but Python's own library: what
docs/local-socket.md says, by hand.

Its argument is what it does beside that: `dial` (dials as well, once it is greeted), `dial-first`, `garbage` (after
its greeting), `silent` (says nothing)."""

import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

TEXT, PING, PONG, CLOSE = 0x00000000, 0x81000000, 0x82000000, 0x83000000


def say(message):
    text = json.dumps(message).encode()
    write(struct.pack(">I", len(text)) + text)


def write(frame):
    try:
        LINE.sendall(frame)
    except BrokenPipeError:
        # The host has hung up. Why may still be there to be read.
        pass


def hear(size):
    heard = b""
    while len(heard) < size:
        more = LINE.recv(size - len(heard))
        if not more:
            sys.exit("the host has hung up")
        heard += more
    return heard


def dial():
    """The first line of what the host's door answers; the connection stays open."""
    url = urlsplit(os.environ["JACKFIELD_RPC_URL"])
    door = socket.create_connection((url.hostname, url.port))
    key = base64.b64encode(os.urandom(16)).decode()
    door.sendall(
        f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    DOORS.append(door)
    return door.makefile("rb").readline().decode().strip()


def answer(request):
    method, params = request["method"], request.get("params") or {}
    if method == "dial":
        # Beside the reading: a line that does not answer pings is taken for dead.
        reply = lambda: say({"id": request["id"], "jsonrpc": "2.0", "result": {"door": dial()}})
        threading.Thread(target=reply, daemon=True).start()
        return None
    if method == "garbage":
        write(b"\xff\xff\xff\xff and so on")
        return None
    return {"method": method, "params": params}


ORDER = sys.argv[1] if len(sys.argv) > 1 else ""
DOORS = []
LINE = socket.socket(fileno=int(os.environ["JACKFIELD_RPC_FD"]))
if ORDER == "silent":
    hear(1)
if ORDER == "dial-first":
    print("the door:", dial(), flush=True)
    # Until that is the line.
    while not os.path.exists(os.path.join(os.environ["JACKFIELD_STATE_DIR"], "go")):
        time.sleep(0.01)
say({"jsonrpc": "2.0", "method": "$/hello", "params": {"max_message": 1 << 20}})
while True:
    (word,) = struct.unpack(">I", hear(4))
    if word == PING:
        write(struct.pack(">I", PONG))
    elif word == PONG:
        pass
    elif word >= CLOSE:
        farewell = hear(word - CLOSE)
        write(struct.pack(">I", word) + farewell)
        (code,) = struct.unpack(">H", farewell[:2])
        print(f"close: {code} {farewell[2:].decode()}", flush=True)
        if ORDER == "dial-first":
            # The other line is the one that counts.
            DOORS[0].recv(1 << 20)
            LINE.close()
            while DOORS[0].recv(1 << 20):
                pass
        sys.exit(0 if code == 1000 else 1)
    else:
        request = json.loads(hear(word))
        if "id" in request and "method" in request:
            result = answer(request)
            if result is not None:
                say({"id": request["id"], "jsonrpc": "2.0", "result": result})
