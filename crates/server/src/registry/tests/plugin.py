# A plugin without any library. Orders, as arguments: --exit CODE, --never-dial, --mute (answers no
# ping), --refuse (no configuration), --begin-anew (ends at each configuration). It answers what it has seen to "seen".
import base64, json, os, socket, struct, sys, time, urllib.parse

orders = sys.argv[1:]
if "--exit" in orders:
    print("giving up", file=sys.stderr)
    sys.exit(int(orders[orders.index("--exit") + 1]))
if "--never-dial" in orders:
    time.sleep(3600)

url = urllib.parse.urlsplit(os.environ["STORYDEN_RPC_URL"])
line = socket.create_connection((url.hostname, url.port))
line.sendall((
    f"GET {url.path}?{url.query} HTTP/1.1\r\nhost: {url.netloc}\r\nupgrade: websocket\r\n"
    "connection: Upgrade\r\nsec-websocket-version: 13\r\n"
    f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
).encode())
taken = line.makefile("rb")
assert b" 101 " in taken.readline()
while taken.readline() != b"\r\n":
    pass

def write(kind, data):
    mask = os.urandom(4)
    size = len(data)
    head = bytes([0x80 | kind])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    line.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

def read():
    while True:
        head = taken.read(2)
        if len(head) < 2:
            sys.exit(0)
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", taken.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", taken.read(8))[0]
        data = taken.read(size)
        kind = head[0] & 0x0F
        if kind == 1:
            return json.loads(data)
        if kind == 8:
            write(8, data)
            sys.exit(0)
        if kind == 9:
            write(10, data)

def answer(frame, result):
    result["method"] = frame["method"]
    write(1, json.dumps({"id": frame["id"], "jsonrpc": "2.0", "result": result}).encode())

def ask(method):
    write(1, json.dumps({"id": "mine", "jsonrpc": "2.0", "method": method}).encode())
    while True:
        frame = read()
        if frame["id"] == "mine":
            return frame["result"]

seen = []
while True:
    frame = read()
    method, params = frame.get("method"), frame.get("params", {})
    if method == "ping":
        if "--mute" not in orders:
            answer(frame, {"pong": True})
    elif method == "configure":
        seen.append({"configure": params})
        if params.get("ask"):
            seen.append({"answer": ask(params["ask"])})
        answer(frame, {"ok": "--refuse" not in orders and "refuse" not in params})
        if "--begin-anew" in orders:
            sys.exit(0)
    elif method == "event":
        seen.append({"event": params})
        answer(frame, {"ok": True})
    elif method == "seen":
        answer(frame, {"seen": seen, "pid": os.getpid(), "orders": orders})
    elif method:
        fault = {"code": -32601, "message": "no such method"}
        write(1, json.dumps({"id": frame["id"], "jsonrpc": "2.0", "error": fault}).encode())
