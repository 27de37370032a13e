"""A W&B server on the loopback: as much GraphQL as the real SDK needs to start, stream, and resume a run.

    python wandb_stub.py FOLDER

listens on a free port and writes it to FOLDER/port. FOLDER/calls.jsonl grows a line a request, FOLDER/history.jsonl
a line a row of metrics. Killing the process is the server's death; the two files stay.
"""

import gzip
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

USER = {
    "id": "u",
    "entity": "local",
    "username": "local",
    "name": "local",
    "email": "local@localhost",
    "flags": "{}",
    "admin": False,
    "deletedAt": None,
    "teams": {"edges": []},
    "apiKeys": {"edges": []},
}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.lock = Lock()
        self.runs = {}  # name -> {"config": JSON, "summary": JSON, "history": [JSON, …]}

    def handle_error(self, request, client_address):
        pass  # wandb-core drops its connections when it is done

    def note(self, file, line):
        with self.lock, (self.folder / file).open("a") as out:
            out.write(line + "\n")

    def answer(self, operation, variables):
        match operation:
            case "Viewer" | "GetViewer" | "GetDefaultEntity":
                return {"viewer": USER}
            case "OrganizationCoreWeaveOrganizationID":
                return {"entity": {"organization": None}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "RunResumeStatus":
                project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "local"}}
                return {"model": {**project, "bucket": self.bucket(variables["name"])}}
            case "UpsertBucket":
                known = variables["name"] in self.runs
                run = self.runs.setdefault(variables["name"], {"config": "{}", "summary": "{}", "history": []})
                run["config"] = variables.get("config") or run["config"]
                return {"upsertBucket": {"bucket": self.bucket(variables["name"]), "inserted": not known}}
            case "CreateRunFiles":
                address = f"http://127.0.0.1:{self.server_port}/upload/"
                files = [{"name": name, "uploadUrl": address + name} for name in variables["files"]]
                return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}

    def bucket(self, name):
        if name not in self.runs:
            return None
        run = self.runs[name]
        return {
            "id": "r",
            "name": name,
            "displayName": name,
            "description": None,
            "sweepName": None,
            "project": {"id": "p", "name": "p", "entity": {"id": "e", "name": "local"}},
            "config": run["config"],
            "wandbConfig": '{"t": 1}',  # without "t" the SDK sees no run to resume
            "summaryMetrics": run["summary"],
            "historyLineCount": len(run["history"]),
            "historyTail": json.dumps(run["history"][-1:]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": [],
            "notes": None,
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.body())
        if not self.path.endswith("/graphql"):
            self.server.note("calls.jsonl", json.dumps({"stream": self.path}))
            self.stream(self.path.split("/")[-2], body.get("files", {}))
            return self.reply({"exitcode": None, "limits": {}})
        operation = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])[1]
        self.server.note("calls.jsonl", json.dumps({"operation": operation, "variables": body.get("variables")}))
        return self.reply({"data": self.server.answer(operation, body.get("variables"))})

    def do_PUT(self):
        self.server.note("calls.jsonl", json.dumps({"upload": self.path, "bytes": len(self.body())}))
        self.reply({})

    def stream(self, name, files):
        run, empty = self.server.runs[name], {"content": []}
        rows = files.get("wandb-history.jsonl", empty)["content"]
        run["history"] += rows
        run["summary"] = [run["summary"], *files.get("wandb-summary.json", empty)["content"]][-1]
        for row in rows:
            self.server.note("history.jsonl", row)

    def body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw

    def reply(self, value):
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    server = Server(folder)
    (folder / "port.tmp").write_text(str(server.server_port))
    (folder / "port.tmp").rename(folder / "port")
    server.serve_forever()
