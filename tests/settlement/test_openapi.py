"""Every operation of every OpenAPI document: whatever is sent, what comes back is what the document says.

The real services in one process of their own, asked (a) for one of everything, by hand; then operation by operation
(b) with data as documented, by itself and of things that exist, (c) with data that is not as documented, which has to
be refused, and (d) without credentials, with somebody else's, and with a signature meant for another replica. Every
answer must have a documented status, media type and body, and the documented headers; no answer is a 500.

Whoever adds a route declares its answers where the route is: `response_model=`, and `responses=refusals({status:
"code | code"})` for the problems that its service raises (see `settlement/chassis/refusals.py`). Everything else, from
401 to the database's 503, follows from guards, inputs and path. A route that succeeds only for something that exists
gets a call in `journey.py`; one that cannot succeed here is named in UNREACHED, with the reason.

More examples an operation: SCHEMATHESIS_EXAMPLES=200 pytest tests/settlement/test_openapi.py -s
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from settlement.topology import REGISTRY_SERVICE, SERVICES

from .conformance import Conversation, all_services
from .doors import EVERYWHERE
from .journey import one_of_everything

EXAMPLES: Final = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "4"))
# The standard routes are the same code everywhere: tried in full once, and elsewhere just to see that they are there.
IN_FULL: Final = "cart"
# The registry last: data at random changes the settings that all others follow.
ORDER: Final = [service for service in SERVICES if service != REGISTRY_SERVICE] + [REGISTRY_SERVICE]
STUCK: Final = "only a transaction in doubt can be intervened in, and none is here"
UNREACHED: Final = {
    "POST /operator/transactions/{gid}/commit": STUCK,
    "POST /operator/transactions/{gid}/abort": STUCK,
    "POST /operator/transactions/{gid}/resume": STUCK,
    "POST /operator/transactions/{gid}/forget": STUCK,
    "POST /participant/charge": "the article's protocol is not spoken here",
}


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Conversation]]:
    """With every service, after one of everything was made."""
    with all_services(tmp_path_factory.mktemp("openapi")) as running:
        made = {service: Conversation(running, service) for service in SERVICES}
        running.known = one_of_everything(made)
        yield made


def _try(strategy: Any, send: Callable[[Any], object], examples: int) -> list[str]:
    """What went wrong with up to so many examples."""
    chosen = settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )

    def attempt(case: Any) -> None:
        send(case)

    try:
        chosen(given(case=strategy)(attempt))()
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - everything is tried before it fails
        return [f"{type(part).__name__} {part}" for part in getattr(error, "exceptions", [error])]
    return []


def _try_strangers(conversation: Conversation, security: list[dict[str, Any]], case: Any) -> None:
    """Without credentials, with wrong ones, and with a call to somebody else, a good request is refused."""
    running = conversation.running
    tried = [(running.nothing, 401), (running.wrong_credentials, 401)]
    if any("signature" in alternative for alternative in security):
        tried.append((running.misdirected, 421))
    for credentials, status in tried:
        answer = conversation.send(case, credentials)
        assert answer is None or answer.status_code == status, f"{credentials.__name__} is answered {answer}"


def _problems(conversation: Conversation, operation: Any) -> list[str]:
    known = {name: value for name, value in conversation.running.known.items() if f"{{{name}}}" in operation.path}
    examples = EXAMPLES if conversation.service == IN_FULL or operation.label not in EVERYWHERE else 1
    described, problems = operation.definition.raw, []
    if "security" in described:
        strangers = partial(_try_strangers, conversation, described["security"])
        problems += _try(operation.as_strategy(), strangers, 1)
    problems += _try(operation.as_strategy(path_parameters=known), conversation.send, examples)
    if known:
        problems += _try(operation.as_strategy(), conversation.send, examples)
    if "parameters" in described or "requestBody" in described:
        bad = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        problems += _try(bad, conversation.send, examples)
    return [f"{operation.label}: {problem}" for problem in problems]


@pytest.mark.parametrize("service", ORDER)
def test_every_operation_answers_as_documented(conversations: dict[str, Conversation], service: str) -> None:
    conversation = conversations[service]
    problems = []
    for operation in conversation.operations.values():
        problems += _problems(conversation, operation)
        if operation.label == "PUT /faults":
            conversation.ask("DELETE /faults")
    told = ", ".join(f"{status}: {count}" for status, count in sorted(conversation.statuses.items()))
    print(f"{service}: {len(conversation.operations)} operations, answers by status {told}; {len(problems)} problems")
    assert not problems, "\n\n".join(problems)
    unreached = conversation.operations.keys() - conversation.succeeded
    assert unreached == UNREACHED.keys() & conversation.operations.keys(), "never succeeded: journey.py can help"
