"""A plugin that does as its arguments say. Speaks as much HTTP/2 as a unary call needs, and answers all of them alike."""
import os, signal, socket, struct, sys, threading, time

args = sys.argv[1:]
def has(flag): return flag in args
def value(flag, default=None): return args[args.index(flag) + 1] if flag in args else default

def say(text):
    sys.stdout.write(text + "\n"); sys.stdout.flush()

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

def header(name, value):
    # A literal that is not indexed.
    name, value = name.encode(), value.encode()
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

def answer(stream):
    global unready, answered
    answered += 1
    if has("--then-reset") and answered > 1:
        return frame(3, 0, stream, struct.pack(">I", 2))
    if has("--then-die") and answered > 1:
        sys.stderr.write("dying\n"); os._exit(9)
    if has("--then-hang") and answered > 1:
        return frame(1, 4, stream, b"\x88" + header("content-type", "application/grpc"))
    if has("--unimplemented"):
        head = b"\x88" + header("content-type", "application/grpc") + header("grpc-status", "12")
        return frame(1, 5, stream, head)
    reason = b""
    if unready > 0:
        unready -= 1
        reason = b"warming up"
    message = b"\x0a" + bytes([len(reason)]) + reason if reason else b""
    head = b"\x88" + header("content-type", "application/grpc")
    return (frame(1, 4, stream, head)
            + frame(0, 0, stream, struct.pack(">BI", 0, len(message)) + message)
            + frame(1, 5, stream, header("grpc-status", "0")))

def exactly(conn, count):
    data = b""
    while len(data) < count:
        more = conn.recv(count - len(data))
        if not more: raise EOFError
        data += more
    return data

def serve(conn):
    try:
        exactly(conn, 24)
        conn.sendall(frame(4, 0, 0))
        while True:
            head = exactly(conn, 9)
            length = int.from_bytes(head[:3], "big")
            kind, flags = head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            payload = exactly(conn, length)
            if kind == 4 and not flags & 1: conn.sendall(frame(4, 1, 0))
            if kind == 6 and not flags & 1: conn.sendall(frame(6, 1, 0, payload))
            if kind == 1 and has("--headers"): say("headers " + payload.hex())
            # The end of a request: its headers, or its data.
            if kind in (0, 1) and flags & 1 and not has("--silent"):
                conn.sendall(answer(stream))
                if has("--once") and unready == 0:
                    # Read on: what is closed with unread bytes takes the answer with it.
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(4096): pass
                    conn.close()
                    return
    except (EOFError, OSError):
        pass

def listen():
    port = int(os.environ["FTL_BIND"].rsplit(":", 1)[1])
    if has("--socket"):
        return socket.socket(fileno=int(os.environ["JACKFIELD_LISTEN_FD"]))
    s = socket.socket()
    if not has("--no-reuse"):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((value("--address", "127.0.0.1"), port))
    s.listen()
    return s

answered = 0
unready = int(value("--unready", "0"))
say("args " + " ".join(args))
if has("--env"):
    for name in sorted(os.environ): say("env " + name + "=" + os.environ[name])
for signum in (signal.SIGTERM, signal.SIGINT):
    signal.signal(signum, signal.SIG_IGN if has("--deaf") else lambda *_: (say("asked to stop"), os._exit(0)))
if has("--grandchild"):
    os.system("sleep 1000 & echo grandchild $!")
if has("--long"):
    sys.stderr.write("x" * int(value("--long"))); sys.stderr.flush()
if has("--burst"):
    for number in range(int(value("--burst"))): sys.stderr.write("line %d\n" % number)
    sys.stderr.flush()
if has("--paused"): os.kill(os.getpid(), signal.SIGSTOP)
if has("--say"): say(value("--say"))
if has("--exit"): os._exit(int(value("--exit")))
if has("--never"):
    say("port " + os.environ["FTL_BIND"].rsplit(":", 1)[1])
    while True: time.sleep(1000)
time.sleep(float(value("--constructor", "0")))
listener = listen()
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
