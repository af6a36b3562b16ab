"""An application in Python that answers calls of plugins, written as its author would who has the contract,
Python's own HTTP server and the library `standardwebhooks`, and nothing else.

It prints its port. What it was asked it tells at `GET /asked`; `PUT /secret` gives it another secret.
`POST /call` answers as the method and its parameters say, if the request is signed."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

secret = sys.argv[1]
asked = []
lock = threading.Lock()


def robot_run(params):
    """As the original's robots: completes, blocks, fails."""
    message = params.get("message", "")
    if not message:
        return {"error": "message must not be empty", "session_id": ""}
    session = params.get("session_id", "c5r3k2f3q1g5s8b2n3og")
    if message == "ask me":
        attention = {"reason": "missing_input", "message": "which one?"}
        output = {"status": "blocked", "summary": "waits", "attention": attention}
        return {"output": output, "session_id": session}
    if message == "forbidden":
        output = {"status": "failed", "summary": "not permitted"}
        return {"output": output, "session_id": session, "error": "no permission"}
    return {"output": {"status": "completed", "summary": f"did {message}"}, "session_id": session}


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, body=None, kind="application/json", headers=()):
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        with lock:
            self.reply(200, asked)

    def do_PUT(self):
        global secret
        secret = self.body().decode()
        self.reply(204)

    def do_POST(self):
        body = self.body()
        if self.path == "/elsewhere":
            with lock:
                asked.append({"path": self.path})
            return self.reply(200, {"elsewhere": True})
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            call = Webhook(secret).verify(body, headers)
        except WebhookVerificationError as error:
            with lock:
                asked.append({"unverified": str(error), "path": self.path})
            return self.reply(401, {"title": "unsigned", "detail": str(error)}, "application/problem+json")
        with lock:
            asked.append({"path": self.path, "headers": headers, "call": call})
        params = call.get("params") or {}
        match call["method"]:
            case "robot_run":
                self.reply(200, robot_run(params))
            case "add":
                self.reply(200, {"sum": params["a"] + params["b"]})
            case "nothing":
                self.reply(204)
            case "empty":
                self.reply(200)
            case "slow":
                time.sleep(params["seconds"])
                self.reply(200, {"slept": True})
            case "fail":
                problem = {"title": "It failed", "detail": params.get("detail", "no such thread")}
                self.reply(params.get("status", 422), problem, "application/problem+json")
            case "redirect":
                self.reply(307, headers=[("Location", "/elsewhere")])
            case "html":
                self.reply(200, b"<p>hello", "text/html")
            case "big":
                self.reply(200, {"big": "x" * params["bytes"]})
            case "cut":
                self.close_connection = True
                self.connection.close()
            case _:
                self.reply(200, {"method": call["method"], "params": params})


server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
server.daemon_threads = True
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
