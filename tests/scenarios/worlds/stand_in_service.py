"""Services with nothing in them: register, say that they are ready, keep a list of faults. Only the standard library.

The environment says how it misbehaves: FAILS=<service> ends it at once, NEVER_READY=<service> keeps it unready,
STOPS_AFTER=<file> keeps it from stopping until the file exists.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

parser = argparse.ArgumentParser()
for name in ("--service", "--replica", "--port", "--registry", "--data"):
    parser.add_argument(name, action="append")
arguments = parser.parse_args()
REGISTRY: dict[str, dict[str, str]] = {}


class Handler(BaseHTTPRequestHandler):
    """Registry, readiness, faults of one replica."""

    service: str
    replica: str
    faults: list[dict[str, object]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/registry":
            rows = {
                service: [{"replica": r, "address": a} for r, a in found.items()] for service, found in REGISTRY.items()
            }
            self.answer(200, {"version": 1, "services": rows})
        elif self.path == "/health/ready":
            self.answer(503 if os.environ.get("NEVER_READY") == self.service else 200, {})
        else:
            self.answer(200, {"faults": [{**fault, "hits": 0} for fault in self.faults]})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/faults":
            if self.headers["Paylab-Fault-Token"] != os.environ.get("PAYLAB_FAULT_TOKEN"):
                self.answer(403, {})
                return
            self.faults[:] = body["faults"]
        else:
            _, _, service, replica = self.path.split("/")
            REGISTRY.setdefault(service, {})[replica] = body["address"]
        self.answer(200, {})

    def answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Paylab-Replica", self.replica)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def register(service: str, replica: str, address: str) -> None:
    place = urlsplit(arguments.registry[0])
    while True:
        try:
            connection = HTTPConnection(place.hostname or "", place.port, timeout=1)
            body = json.dumps({"address": address})
            connection.request("PUT", f"/registry/{service}/{replica}", body, {"Content-Length": str(len(body))})
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.02)


def stop(*_: object) -> None:
    os.write(1, b"stopping\n")  # no print: it may have been interrupted in the middle of one
    while not os.path.exists(os.environ.get("STOPS_AFTER", "/")):
        time.sleep(0.02)
    os.write(1, b"stopped in order\n")
    os._exit(0)


def serve(service: str, replica: str, port: str) -> ThreadingHTTPServer:
    handler = type(replica, (Handler,), {"service": service, "replica": replica, "faults": []})
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=register, args=(service, replica, address), daemon=True).start()
    return server


if os.environ.get("FAILS") in arguments.service:
    sys.exit(f"{os.environ['FAILS']}: cannot open the ledger")
servers = [serve(*given) for given in zip(arguments.service, arguments.replica, arguments.port, strict=True)]
signal.signal(signal.SIGTERM, stop)
told = f"config={os.environ.get('PAYLAB_CONFIG')} extra={os.environ.get('EXTRA')}"
print(f"{' '.join(arguments.replica)} {told}", flush=True)
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
servers[0].serve_forever(poll_interval=0.05)
