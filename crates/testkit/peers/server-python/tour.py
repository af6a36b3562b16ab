"""A client that was written for Storyden, on a tour of everything that it knows of plugins.

It knows the published contract and nothing of this server: paths, verbs, shapes, the stream of logs, the door of
plugins. What it saw is told in lines that begin with `ok`.

    tour.py <url> <token> <folder with first.zip, second.zip, other.zip, crash.zip>
"""

import asyncio
import json
import re
import sys
import uuid
from pathlib import Path

import httpx
import websockets

url, token, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
headers = {"Authorization": f"Bearer {token}"}
api = httpx.AsyncClient(base_url=f"{url}/api", headers=headers, timeout=60, trust_env=False)

MANIFEST = {
    "id": "tour", "author": "tests", "name": "Tour", "description": "Dials in.", "version": "1.0.0", "command": "",
    "events_consumed": ["EventThreadPublished"],
    "access": {"handle": "tour", "name": "Tour", "permissions": ["CREATE_POST"]},
    "configuration_schema": {"fields": [
        {"type": "string", "id": "greeting", "label": "Greeting", "description": "What to say"},
    ]},
}


def ok(step):
    print("ok", step, flush=True)


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


async def call(method, path, status, **more):
    """A request: the JSON of its answer, which has this status."""
    response = await api.request(method, path, **more)
    expect(response.status_code == status, f"{method} {path}: {response.status_code} {response.text}")
    if status >= 400:
        expect(response.headers["content-type"] == "application/problem+json", response.headers)
        problem = response.json()
        expect(all(isinstance(problem[key], str) for key in ["type", "title", "detail", "trace_id"]), problem)
        return problem
    return response.json() if response.content else None


def zipped(name):
    return {"content": (folder / name).read_bytes(), "headers": {"Content-Type": "application/zip"}}


async def state(plugin_id, wanted):
    """Waits for a state."""
    for _ in range(6000):
        plugin = await call("GET", f"/plugins/{plugin_id}", 200)
        if plugin["status"]["active_state"] == wanted:
            return plugin
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {wanted}: {plugin}")


async def supervised():
    plugin = await call("POST", "/plugins", 200, **zipped("first.zip"))
    path = f"/plugins/{plugin['id']}"
    expect(re.fullmatch("[0-9a-v]{19}[0g]", plugin["id"]), plugin)
    expect(plugin["status"]["active_state"] == "inactive" and plugin["status"]["deactivated_at"], plugin)
    expect(plugin["connection"] == {"mode": "supervised"}, plugin)
    expect(plugin["version"] == plugin["manifest"]["version"] == "1.0.0" and plugin["added_at"], plugin)
    ok("upload")
    await call("POST", "/plugins", 400, content=b"no archive", headers={"Content-Type": "application/zip"})
    ok("garbage is refused")

    plugin = await call("PATCH", f"{path}/active", 200, json={"active": "active"})
    expect(plugin["status"]["active_state"] == "active" and plugin["status"]["activated_at"], plugin)
    ok("activate")
    plugins = (await call("GET", "/plugins", 200))["plugins"]
    expect([each["id"] for each in plugins] == [plugin["id"]], plugins)
    ok("list")
    expect((await call("GET", path, 200))["name"] == plugin["name"] == plugins[0]["name"], plugins)
    ok("get")

    logs = await api.send(api.build_request("GET", f"{path}/logs", timeout=None), stream=True)
    expect(logs.headers["content-type"] == "text/event-stream; charset=utf-8", logs.headers)
    lines = logs.aiter_lines()
    await until_data(lines, "hello from the plugin")
    ok("logs")

    fields = (await call("GET", f"{path}/configuration-schema", 200))["fields"]
    told = [(field["id"], field["type"], field["label"]) for field in fields]
    expect(told == [("greeting", "string", "Greeting"), ("count", "number", "Count"), ("loud", "boolean", "Loud")], told)
    ok("configuration schema")
    configuration = f"{path}/configuration"
    expect(await call("GET", configuration, 200) == {}, "not empty")
    problem = await call("PATCH", configuration, 400, json={"greeting": "hi", "loud": "very"})
    expect('Field "loud" must be a boolean value.' in problem["detail"], problem)
    ok("configuration of a wrong type is refused")
    await call("PATCH", configuration, 400, json={"refuse": True})
    expect(await call("GET", configuration, 200) == {}, "stored what the plugin refused")
    ok("configuration is refused by the plugin")
    wanted = {"greeting": "hi", "count": 2, "loud": False, "unknown": {"deep": [1]}}
    expect(await call("PATCH", configuration, 200, json=wanted) == wanted, "another one")
    expect(await call("GET", configuration, 200) == wanted, "another one is stored")
    ok("configuration")

    response = await api.get(f"{path}/package")
    expect(response.content == (folder / "first.zip").read_bytes(), "other bytes")
    expect(response.headers["content-type"] == "application/zip", response.headers)
    expect(response.headers["content-length"] == str(len(response.content)), response.headers)
    expect(response.headers["content-disposition"] == "attachment; filename=rig.zip", response.headers)
    ok("download package")
    updated = await call("PATCH", f"{path}/package", 200, **zipped("second.zip"))
    expect(updated["version"] == "1.0.1" and updated["status"]["active_state"] == "active", updated)
    expect(updated["status"]["activated_at"] > plugin["status"]["activated_at"], updated)
    expect(await call("GET", configuration, 200) == wanted, "the configuration is gone")
    ok("update package")
    await call("PATCH", f"{path}/package", 400, **zipped("other.zip"))
    expect((await call("GET", path, 200))["version"] == "1.0.1", "it counts")
    ok("another plugin's package is refused")
    await call("POST", f"{path}/token", 400)
    await call("PATCH", f"{path}/manifest", 400, json=MANIFEST)
    ok("what external plugins have is refused")

    plugin = await call("PATCH", f"{path}/active", 200, json={"active": "inactive"})
    expect(plugin["status"]["active_state"] == "inactive" and plugin["status"]["deactivated_at"], plugin)
    ok("deactivate")
    await call("PATCH", f"{path}/active", 400, json={"active": "sideways"})
    ok("an unknown state is refused")
    await call("DELETE", path, 204)
    await call("GET", path, 404)
    await call("DELETE", path, 404)
    ok("delete")
    rest = [line async for line in lines]
    expect("event: end" in rest, rest)
    ok("logs end")

    plugin = await call("POST", "/plugins", 200, **zipped("crash.zip"))
    problem = await call("PATCH", f"/plugins/{plugin['id']}/active", 502, json={"active": "active"})
    expect("exit status 42" in problem["detail"], problem)
    plugin = await call("GET", f"/plugins/{plugin['id']}", 200)
    expect(plugin["status"]["active_state"] == "error" and "exit status" in plugin["status"]["message"], plugin)
    await call("DELETE", f"/plugins/{plugin['id']}", 204)
    ok("a crash at the start is told")


async def until_data(lines, wanted):
    async for line in lines:
        if line.startswith("data: ") and line.removeprefix("data: ") == wanted:
            return
    raise AssertionError(f"never {wanted}")


class Program:
    """An external plugin, and what it was told."""

    def __init__(self, socket):
        self.socket = socket
        self.events = asyncio.Queue()
        self.configurations = []
        self.refuses = False
        self.waiting = {}
        self.task = asyncio.create_task(self.listen())

    @classmethod
    async def dial(cls, token):
        return cls(await websockets.connect(door(token), proxy=None))

    async def listen(self):
        async for text in self.socket:
            frame = json.loads(text)
            method = frame.get("method")
            if method is None:
                self.waiting.pop(frame["id"]).set_result(frame)
                continue
            expect(frame["jsonrpc"] == "2.0" and re.fullmatch("[0-9a-v]{19}[0g]", frame["id"]), frame)
            result = {"method": method}
            if method == "event":
                self.events.put_nowait(frame["params"])
                result["ok"] = True
            elif method == "configure":
                self.configurations.append(frame["params"])
                result["ok"] = not self.refuses
            elif method == "ping":
                result |= {"pong": True, "status": "healthy", "uptime_seconds": 1.5}
            await self.socket.send(json.dumps({"id": frame["id"], "jsonrpc": "2.0", "result": result}))

    async def ask(self, method, **params):
        """Calls the host: its result."""
        call_id = uuid.uuid4().hex[:20]
        told = self.waiting[call_id] = asyncio.get_running_loop().create_future()
        frame = {"id": call_id, "jsonrpc": "2.0", "method": method}
        if params:
            frame["params"] = params
        await self.socket.send(json.dumps(frame))
        return (await asyncio.wait_for(told, 60))["result"]

    async def closed(self):
        """With which code the host hangs up."""
        await asyncio.wait_for(self.socket.wait_closed(), 60)
        return self.socket.close_code


def door(token):
    return f"ws{url.removeprefix('http')}/rpc?token={token}"


async def let_in(token):
    """Why it is not let in: status and text."""
    try:
        await (await websockets.connect(door(token), proxy=None)).close()
    except websockets.InvalidStatus as refused:
        return refused.response.status_code, refused.response.body.decode()


async def external():
    plugin = await call("POST", "/plugins", 200, json={"mode": "external", "manifest": MANIFEST})
    path, connection = f"/plugins/{plugin['id']}", plugin["connection"]
    expect(plugin["status"]["active_state"] == "connecting" and plugin["status"]["connecting_at"], plugin)
    expect(connection["mode"] == "external" and re.fullmatch("sdprt_[A-Za-z0-9]{32}", connection["token"]), "no token")
    ok("external: create")
    for wrong in [{"name": None}, {"name": ""}, {"id": "has spaces"}, {"author": "has spaces"}]:
        body = {"mode": "external", "manifest": MANIFEST | wrong}
        await call("POST", "/plugins", 400, json=body)
    ok("external: a wrong manifest is refused")
    expect(await let_in("") == (400, "invalid connection parameters\n"), "let in")
    expect(await let_in("sdprt_" + 32 * "x") == (401, "unauthenticated\n"), "let in")
    ok("external: a wrong token is refused")

    program = await Program.dial(connection["token"])
    await state(plugin["id"], "active")
    ok("external: connect")
    # Somebody publishes it when they read the line above.
    event = await asyncio.wait_for(program.events.get(), 60)
    expect(event == {"event": "EventThreadPublished", "id": "d4g1m2k3l4m5n6o7p8q0"}, event)
    ok("external: event")

    configuration = f"{path}/configuration"
    expect(await call("PATCH", configuration, 200, json={"greeting": "hi", "n": 1}) == {"greeting": "hi", "n": 1}, "")
    expect(program.configurations == [{"greeting": "hi", "n": 1}], program.configurations)
    ok("external: configure")
    program.refuses = True
    await call("PATCH", configuration, 400, json={"greeting": "bye"})
    expect(program.configurations[1:] == [{"greeting": "bye"}], program.configurations)
    ok("external: configure refused")
    expect(await program.ask("get_config") == {"method": "get_config", "config": {"greeting": "hi", "n": 1}}, "all")
    some = await program.ask("get_config", keys=["n", "none"])
    expect(some == {"method": "get_config", "config": {"n": 1}}, some)
    ok("external: get_config")
    access = await program.ask("access_get")
    expect(access["method"] == "access_get", access)
    access = access["result"]
    expect(access["access_key"].startswith("sdbak_") and access["apibase_url"] == url, access.keys())
    for key, status in [(access["access_key"], 403), ("sdbak_other", 401)]:
        answer = await api.get("/plugins", headers={"Authorization": f"Bearer {key}"})
        expect(answer.status_code == status, answer)
    ok("external: access_get")

    manifest = MANIFEST | {"version": "2.0.0", "events_consumed": []}
    updated = await call("PATCH", f"{path}/manifest", 200, json=manifest)
    expect(updated["version"] == "2.0.0" and updated["manifest"]["name"] == "Tour", updated)
    expect(await program.closed() == 1000, program.socket.close_code)
    await state(plugin["id"], "connecting")
    program = await Program.dial(connection["token"])
    await state(plugin["id"], "active")
    ok("external: manifest update disconnects")
    new = (await call("POST", f"{path}/token", 200))["token"]
    expect(new != connection["token"] and re.fullmatch("sdprt_[A-Za-z0-9]{32}", new), "no token")
    expect(await program.closed() == 1000, program.socket.close_code)
    expect(await let_in(connection["token"]) == (401, "unauthenticated\n"), "let in")
    await state(plugin["id"], "connecting")
    program = await Program.dial(new)
    await state(plugin["id"], "active")
    ok("external: token cycle disconnects")

    await call("PATCH", f"{path}/active", 400, json={"active": "inactive"})
    ok("external: deactivate is refused")
    await call("GET", f"{path}/logs", 400)
    ok("external: logs are refused")
    await call("GET", f"{path}/package", 400)
    await call("PATCH", f"{path}/package", 400, **zipped("first.zip"))
    ok("external: packages are refused")
    await state(plugin["id"], "active")
    await call("DELETE", path, 204)
    await program.closed()
    await call("GET", path, 404)
    expect(await let_in(new) == (401, "unauthenticated\n"), "let in")
    ok("external: delete")
    answer = await api.get("/plugins", headers={"Authorization": ""})
    expect(answer.status_code == 401, answer)
    ok("nobody without a token")


async def main():
    await supervised()
    await external()
    await api.aclose()


asyncio.run(main())
