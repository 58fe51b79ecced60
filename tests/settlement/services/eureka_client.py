"""A service that knows nothing of paylab but Eureka: runs `py_eureka_client` as its documentation shows.

    python eureka_client.py EUREKA_URL APP PORT

Registers, prints one JSON line when it is registered and has found the config center; then reads commands from
standard input, one a line: `call APP PATH` prints what the service found under that name answers, `end` deregisters.
In a process of its own, because the package's heartbeat thread cannot be ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from py_eureka_client.eureka_client import EurekaClient


def _say(**members: Any) -> None:
    print(json.dumps(members), flush=True)


async def main(url: str, app: str, port: int) -> None:
    errors: list[str] = []
    client = EurekaClient(
        eureka_server=url,
        app_name=app,
        instance_host="127.0.0.1",
        instance_ip="127.0.0.1",
        instance_port=port,
        renewal_interval_in_secs=1,
        duration_in_secs=3,
        metadata={"version": "9.9.9", "weight": "20"},
        on_error=lambda kind, error: errors.append(f"{kind}: {error!r}"),
    )
    await client.start()
    _say(started=True, errors=errors)
    while True:
        command, *words = (await asyncio.to_thread(sys.stdin.readline)).split() or ["end"]
        if command == "end":
            break
        try:
            _say(answer=await client.do_service(words[0], words[1], return_type="json"))
        except OSError as error:
            _say(error=repr(error))
    await client.stop()
    _say(ended=True, errors=errors)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
