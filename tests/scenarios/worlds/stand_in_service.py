"""A service with nothing in it: registers, says that it is ready, keeps a list of faults. Only the standard library.

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
SERVICE, REPLICA = arguments.service[0], arguments.replica[0]
REGISTRY: dict[str, dict[str, str]] = {}
FAULTS: list[dict[str, object]] = []


class Handler(BaseHTTPRequestHandler):
    """Registry, readiness, faults."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/registry":
            rows = {
                service: [{"replica": r, "address": a} for r, a in found.items()] for service, found in REGISTRY.items()
            }
            self.answer(200, {"version": 1, "services": rows})
        elif self.path == "/health/ready":
            self.answer(503 if os.environ.get("NEVER_READY") == SERVICE else 200, {})
        else:
            self.answer(200, {"faults": [{**fault, "hits": 0} for fault in FAULTS]})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/faults":
            if self.headers["Paylab-Fault-Token"] != os.environ.get("PAYLAB_FAULT_TOKEN"):
                self.answer(403, {})
                return
            FAULTS[:] = body["faults"]
        else:
            _, _, service, replica = self.path.split("/")
            REGISTRY.setdefault(service, {})[replica] = body["address"]
        self.answer(200, {})

    def answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Paylab-Replica", REPLICA)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def register(address: str) -> None:
    place = urlsplit(arguments.registry[0])
    while True:
        try:
            connection = HTTPConnection(place.hostname or "", place.port, timeout=1)
            body = json.dumps({"address": address})
            connection.request("PUT", f"/registry/{SERVICE}/{REPLICA}", body, {"Content-Length": str(len(body))})
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


if os.environ.get("FAILS") == SERVICE:
    sys.exit(f"{SERVICE}: cannot open the ledger")
server = ThreadingHTTPServer(("127.0.0.1", int(arguments.port[0])), Handler)
signal.signal(signal.SIGTERM, stop)
threading.Thread(target=register, args=(f"http://127.0.0.1:{server.server_port}",), daemon=True).start()
print(f"{REPLICA} config={os.environ.get('PAYLAB_CONFIG')} extra={os.environ.get('EXTRA')}", flush=True)
server.serve_forever(poll_interval=0.05)
