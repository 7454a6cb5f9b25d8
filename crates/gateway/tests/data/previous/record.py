"""Records what an earlier Tidegate wrote and answered: see README.md.

    record.py PROGRAM APKS POSTGRES_URL OUT

PROGRAM is that Tidegate, APKS a folder of signed APKs, POSTGRES_URL an empty database. Needs `requests`,
`hypercorn` (it plays FCM, over HTTP/2 without TLS), `openssl` and `pg_dump`.
"""

import asyncio
import contextlib
import gzip
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone

import hypercorn.asyncio
import hypercorn.config
import requests

KEY_FILE = "test-only-master.key"
APP, TILL, KIOSK = "com.example.app", "com.example.till", "com.example.kiosk"
PASSWORD = "correct horse battery staple"

# What Android says no to for good.
CONFLICT = {"reason": "conflict", "android_status": 5, "message": "INSTALL_FAILED_UPDATE_INCOMPATIBLE"}

# Name, region, model, API level, and the version of the app that it comes with.
DEVICES = [
    (f"phone-{number:02}", ["north", "south", "east"][number % 3], ["Buoy 4", "Kiosk 10"][number % 2],
     [26, 30, 34, 35][number % 4], 0 if number % 5 == 0 else 1)
    for number in range(1, 23)
]


class Fcm:
    """Takes every message, but for the tokens in `dead`; answers 503 while it is `away`."""

    def __init__(self):
        self.messages, self.dead, self.away = [], set(), False
        self.port = free_port()
        config = hypercorn.config.Config()
        config.bind, config.loglevel = [f"127.0.0.1:{self.port}"], "ERROR"
        serve = hypercorn.asyncio.serve(self.answer, config, shutdown_trigger=asyncio.Event().wait)
        threading.Thread(target=lambda: asyncio.run(serve), daemon=True).start()

    async def answer(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        status, answer = self.reply(scope["path"], body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def reply(self, path, body):
        if path == "/token":
            return 200, {"access_token": "access", "expires_in": 3600}
        if self.away:
            return google(503, "UNAVAILABLE", "UNAVAILABLE")
        message = json.loads(body)["message"]
        if message["token"] in self.dead:
            return google(404, "NOT_FOUND", "UNREGISTERED")
        self.messages.append(message)
        return 200, {"name": f"projects/previous/messages/{len(self.messages)}"}

    def account(self, path):
        key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                             check=True, capture_output=True, text=True).stdout
        path.write_text(json.dumps({
            "type": "service_account", "project_id": "previous", "private_key": key,
            "client_email": "sender@previous.example", "token_uri": f"http://127.0.0.1:{self.port}/token",
        }))


def google(status, name, code):
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    return status, {"error": {"code": status, "status": name, "details": [{"@type": kind, "errorCode": code}]}}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    """The program in a folder of its own."""

    def __init__(self, program, folder, url=None, fcm=None):
        self.program, self.port = program, free_port()
        self.env = {"TIDEGATE_LISTEN": f"127.0.0.1:{self.port}", "TIDEGATE_DATA_DIR": str(folder)}
        if url:
            self.env["TIDEGATE_DATABASE_URL"] = url
        if fcm:
            self.env |= {
                "TIDEGATE_FCM_SERVICE_ACCOUNT": str(folder / "account.json"),
                "TIDEGATE_FCM_ENDPOINT": f"http://127.0.0.1:{fcm.port}", "TIDEGATE_FCM_RAMP": "0s",
            }
        self.folder = folder

    def start(self):
        log = open(self.folder.parent / "log", "a")
        self.child = subprocess.Popen([self.program, "serve"], env=self.env, stdout=log, stderr=log)
        for _ in range(200):
            try:
                if requests.get(self.url("/readyz")).status_code == 200:
                    break
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        else:
            raise SystemExit("the server does not start")
        self.token = self.run("admin", "token", "--subject", "olga", "--role", "admin")

    def stop(self):
        self.child.terminate()
        assert self.child.wait() == 0

    def run(self, *arguments, text=None):
        done = subprocess.run([self.program, *arguments], env=self.env, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, method, path, token, body=None, **more):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, self.url(path), headers=headers, json=body, **more)

    def do(self, method, path, body=None, **more):
        answer = self.ask(method, path, self.token, body, **more)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json()


class Story:
    """What happened before the fixture was taken."""

    def __init__(self, server, fcm, apks):
        self.server, self.fcm, self.apks, self.tokens, self.requests = server, fcm, apks, {}, 0

    def upload(self, name):
        notes = {"notes": f"Notes of {name}.", "build_type": "release", "ci_run_id": name, "git_sha": "0" * 40}
        with open(self.apks / f"{name}.apk", "rb") as file:
            return self.server.do("POST", "/v1/apk/upload", files={"file": file}, data=notes)["build_id"]

    def promote(self, build, percent, **settings):
        return self.server.do("POST", f"/v1/apk/{build}/promote", {"rollout_percent": percent} | settings)

    def post(self, path, body=None):
        return self.server.do("POST", path, body)

    def enroll(self, token, device, **more):
        name, region, model, sdk, version = device
        body = {
            "enrollment_token": token, "device_id": name, "alias": f"Till {name[-2:]}", "model": model,
            "manufacturer": "Example", "sdk": sdk, "android_version": str(sdk - 21), "region": region,
            "tags": ["lab"] if sdk == 34 else [], "package_name": APP, "current_version_code": version,
        }
        answer = self.server.ask("POST", "/v1/agent/enroll", None, body | more)
        assert answer.status_code == 201, answer.text
        self.tokens[name] = answer.json()["device_token"]

    def poll(self, name, package, version):
        device = next(device for device in DEVICES if device[0] == name)
        answer = self.server.ask("GET", poll_path(device, package, version), self.tokens[name])
        assert answer.status_code in (200, 304), answer.text
        return answer.json() if answer.status_code == 200 else None

    def report(self, name, build, status, **more):
        self.requests += 1
        body = {"build_id": build, "status": status, "attempt": 1, "request_id": f"try-{self.requests}"} | more
        answer = self.server.ask("POST", "/v1/agent/report", self.tokens[name], body)
        assert answer.status_code == 200, answer.text

    def update(self, name, package, version):
        """Takes what is offered; whether anything was."""
        offer = self.poll(name, package, version)
        if not offer:
            return False
        file = requests.get(offer["download_url"])
        assert file.status_code == 200 and len(file.content) == offer["file_size"]
        self.report(name, offer["build_id"], "downloaded", attempt=offer["attempt"])
        done = {"attempt": offer["attempt"], "android_status": 0}
        self.report(name, offer["build_id"], "install_success", **done)
        return True

    def tell(self):
        self.people()
        self.first_builds()
        self.rejections()
        self.forced_roll_back()
        self.canary()
        self.tills()
        self.revocations()
        self.nudges()

    def people(self):
        self.server.run("admin", "user", "add", "ann", "--role", "operator", text=PASSWORD + "\n")
        self.server.run("admin", "signer", "pin", "com.example.pinned", "ab" * 32)

    def first_builds(self):
        self.app = [self.upload("app-1")]
        self.promote(self.app[0], 100)
        self.enrollment = self.post("/v1/enrollment-tokens", {"uses": 30, "note": "first floor"})["enrollment_token"]
        for number, device in enumerate(DEVICES):
            self.enroll(self.enrollment, device, fcm_token=f"token-{device[0]}")
            if number % 4 == 3:
                self.fcm.dead.add(f"token-{device[0]}")
        for name, _, _, _, version in DEVICES:
            if version == 0:
                self.update(name, APP, 0)

    def rejections(self):
        self.app.append(self.upload("app-2"))
        second = self.app[1]
        self.promote(second, 100, salt="spring")
        for name in ["phone-01", "phone-02", "phone-03", "phone-04"]:
            self.poll(name, APP, 1)
        self.report("phone-01", second, "install_failed", **CONFLICT)
        self.report("phone-02", second, "install_failed", **CONFLICT)
        full = {"reason": "storage", "android_status": 6, "message": "INSTALL_FAILED_INSUFFICIENT_STORAGE"}
        self.report("phone-03", second, "install_failed", **full)
        self.report("phone-04", second, "verify_failed", reason="sha256_mismatch")
        for number in range(5, 15):
            self.update(f"phone-{number:02}", APP, 1)
        self.poll("phone-15", APP, 1)
        self.report("phone-15", second, "deferred", reason="battery_low")
        self.report("phone-15", second, "deferred", reason="in_call")
        # A second try: phone-02 takes it, phone-01 gives up again, phone-03 is left alone for a day.
        self.promote(second, 100, salt="spring", retry_failed=True)
        assert self.poll("phone-01", APP, 1)["attempt"] == 2
        self.report("phone-01", second, "install_failed", attempt=2, **CONFLICT)
        for _ in range(3):
            assert self.poll("phone-03", APP, 1)["attempt"] == 2
            self.report("phone-03", second, "install_failed", attempt=2, **full)
        self.update("phone-02", APP, 1)

    def forced_roll_back(self):
        self.app.append(self.upload("app-3"))
        self.promote(self.app[2], 40, must_install=True)
        self.post(f"/v1/apk/{self.app[2]}/rollout", {"rollout_percent": 90})
        self.third = [name for name in names(5, 12) if self.update(name, APP, 2)]
        assert len(self.third) > 3
        for name in self.third[:3]:
            self.report(name, self.app[2], "install_failed", reason="crash", android_status=1)
        self.post("/v1/apk/rollback", {"build_id": self.app[2], "force_downgrade": True})
        assert self.poll(self.third[0], APP, 3)["force_downgrade"]

    def canary(self):
        """The fourth build for a tenth, with the forced return beside it."""
        self.app.append(self.upload("app-4"))
        self.promote(self.app[3], 10, keep_previous=True, wifi_only=True, salt="tenth")
        self.post(f"/v1/apk/{self.app[3]}/rollout", {"rollout_percent": 35})
        self.fourth = [name for name in names(12, 23) if self.is_offered(name, self.app[3])]
        assert len(self.fourth) >= 2, self.fourth
        self.update(self.fourth[0], APP, 1)
        self.report(self.fourth[1], self.app[3], "install_failed", **CONFLICT)
        assert not self.poll("phone-01", APP, 1) and not self.poll("phone-03", APP, 1)

    def is_offered(self, name, build):
        offer = self.poll(name, APP, 1)
        return bool(offer) and offer["build_id"] == build

    def tills(self):
        till = [self.upload("till-1")]
        audience = {"regions": ["north", "south"], "models": ["Buoy 4"]}
        self.promote(till[0], 100, audience=audience)
        for name in names(1, 11):
            self.update(name, TILL, 0)
        till.append(self.upload("till-2"))
        self.promote(till[1], 100)
        for name in names(1, 5):
            self.update(name, TILL, 1)
        self.post("/v1/apk/rollback", {"package_name": TILL, "force_downgrade": False})
        till.append(self.upload("till-3"))
        self.promote(till[2], 50, audience={"regions": ["north", "south"], "models": []})
        offered = [name for name in names(11, 20) if self.poll(name, TILL, 1)]
        self.report(offered[0], till[2], "install_failed", **CONFLICT)
        for _ in range(3):
            self.report(offered[1], till[2], "verify_failed", reason="signature_refused")
        kiosk = self.upload("kiosk-1")
        self.promote(kiosk, 100)
        self.update("phone-22", KIOSK, 0)
        self.post(f"/v1/apk/{kiosk}/pause")
        self.others = [*till, kiosk]

    def revocations(self):
        self.post("/v1/devices/phone-20/revoke")
        self.post("/v1/devices/phone-21/revoke")
        again = self.post("/v1/enrollment-tokens", {"uses": 1, "note": "back again"})["enrollment_token"]
        self.enroll(again, DEVICES[20])

    def nudges(self):
        named = {"device_ids": names(5, 9) + ["phone-99"], "package_name": APP, "idempotency_key": "named"}
        campaign = self.post("/v1/apk/nudge-update", named)
        assert campaign["state"] == "completed" and campaign["success_count"] > 0, campaign
        message = self.fcm.messages[0]["data"]
        result = {
            "request_id": message["request_id"], "device_id": message["device_id"], "action": message["action"],
            "outcome": "installed", "finished_at": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
        }
        answer = self.server.ask("POST", "/v1/action-result", self.tokens[message["device_id"]], result)
        assert answer.status_code == 200, answer.text
        self.update("phone-05", APP, 2)
        self.post("/v1/apk/nudge-update", {"audience": "behind", "package_name": APP, "priority": "high"})
        self.fcm.away = True
        for number in range(2):
            body = {"device_ids": names(9, 12), "idempotency_key": f"away-{number}"}
            campaign = self.post("/v1/apk/nudge-update", body)
            verb = ["cancel", "pause"][number]
            self.post(f"/v1/nudges/{campaign['campaign_id']}/{verb}")


def names(first, end):
    return [f"phone-{number:02}" for number in range(first, end)]


def poll_path(device, package, version):
    name, region, model, sdk, _ = device
    query = f"device_id={name}&package_name={package}&current_version_code={version}"
    return f"/v1/agent/update?{query}&sdk={sdk}&model={model.replace(' ', '+')}&region={region}&abi=arm64-v8a"


def look(server, story):
    """Everything that operators can see, and then polls."""
    lists = ["/v1/apk", "/v1/rollouts", "/v1/packages", "/v1/devices", "/v1/audit", "/v1/nudges"]
    for path in lists:
        yield operator(server, f"{path}?page_size=200")
    yield operator(server, "/v1/audit/verify")
    for build in story.app + story.others:
        yield operator(server, f"/v1/apk/{build}")
        yield operator(server, f"/v1/apk/{build}/deployment-stats?hours=24")
    for campaign in range(1, 5):
        yield operator(server, f"/v1/nudges/{campaign}")
        yield operator(server, f"/v1/nudges/{campaign}/failures?page_size=200")
    for device in DEVICES:
        yield operator(server, f"/v1/devices/{device[0]}")
        yield operator(server, f"/v1/devices/{device[0]}/explain?package_name={APP}")
    for name in names(1, 14):
        yield operator(server, f"/v1/devices/{name}/explain?package_name={TILL}&current_version_code=1")
    for device in DEVICES:
        for package, versions in [(APP, range(1, 5)), (TILL, range(3)), (KIOSK, range(1))]:
            for version in versions:
                yield poll(server, story, device, package, version)


def operator(server, path):
    answer = server.ask("GET", path, server.token)
    assert answer.status_code == 200, answer.text
    return {"get": path, "status": answer.status_code, "body": answer.json()}


def poll(server, story, device, package, version):
    answer = server.ask("GET", poll_path(device, package, version), story.tokens[device[0]])
    line = {"poll": poll_path(device, package, version), "as": device[0], "status": answer.status_code}
    if answer.status_code == 304:
        line["reason"] = answer.headers["tidegate-reason"]
    else:
        line["body"] = answer.json()
    if answer.status_code in (200, 304):
        line["poll_after"] = answer.headers["tidegate-poll-after"]
    return line


def write(path, lines):
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def record(engine, program, apks, url, out):
    room = pathlib.Path(tempfile.mkdtemp())
    data = room / "data"
    data.mkdir(mode=0o700)
    fcm = Fcm()
    fcm.account(data / "account.json")
    if (out / KEY_FILE).exists():
        shutil.copy(out / KEY_FILE, data / "master.key")
    server = Server(program, data, url, fcm)
    server.start()
    story = Story(server, fcm, apks)
    story.tell()
    # What polls raise is written within a second.
    time.sleep(2)
    server.stop()
    shutil.copy(data / "master.key", out / KEY_FILE)
    dump(engine, data, url, out)

    server = Server(program, data, url)
    server.start()
    at = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    facts = {"recorded_at": at, "enrollment_token": story.enrollment, "tokens": story.tokens, "password": PASSWORD}
    write(out / f"{engine}.expected.jsonl.gz", [facts, *look(server, story)])
    server.stop()
    shutil.rmtree(out / "artifacts", ignore_errors=True)
    shutil.copytree(data / "artifacts", out / "artifacts")
    shutil.rmtree(room)


def dump(engine, data, url, out):
    if engine == "postgres":
        command = ["pg_dump", "--no-owner", "--no-privileges", "--dbname", url]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines(keepends=True)
        # Older psql does not know these, and the file is trusted.
        lines = [line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))]
        (out / "postgres.sql").write_text("".join(lines))
        return
    file = data / "tidegate.db"
    with contextlib.closing(sqlite3.connect(file)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (out / "sqlite.db.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))


if __name__ == "__main__":
    program, apks, url, out = sys.argv[1:]
    out = pathlib.Path(out)
    out.mkdir(exist_ok=True)
    (out / KEY_FILE).unlink(missing_ok=True)
    for engine, place in [("sqlite", None), ("postgres", url)]:
        record(engine, program, pathlib.Path(apks), place, out)
