"""What both clients share: when a request is repeated, and how a stream is read. No I/O."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

FIRST_WAIT = 0.25
MAX_WAIT = 10.0
# A Retry-After beyond this is an error at once.
MAX_RETRY_AFTER = 120.0
# The gateway sends a comment every 15 seconds.
STREAM_TIMEOUT = 60.0
DEFAULT_TIMEOUT = 60.0


def default_url() -> str:
    return os.environ.get("SIPOST_URL", "http://127.0.0.1:8080")


def default_token() -> str | None:
    return os.environ.get("SIPOST_TOKEN")


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Refusal(NamedTuple):
    """An answer of 400 or more."""

    error: ProblemError
    is_worth_it: bool
    wait: float | None


def refusal(response: httpx.Response, is_repeatable: bool) -> Refusal:
    retry_after = response.headers.get("retry-after", "")
    wait = float(retry_after) if retry_after.isdecimal() else None
    status = response.status_code
    error = ProblemError(status, _problem(response), response.headers.get("x-request-id"))
    # With Retry-After nothing was taken in.
    is_fault = status in {408, 500, 502, 503, 504} and is_repeatable
    return Refusal(error, wait is not None or is_fault, wait)


def _problem(response: httpx.Response) -> Any:
    """The problem that a body tells of; a proxy between may have answered something else."""
    try:
        problem = response.json()
        if isinstance(problem["type"], str) and isinstance(problem["title"], str):
            return problem
    except (ValueError, TypeError, KeyError):
        pass
    status = response.status_code
    return {"type": "about:blank", "title": f"the answer was {status}", "status": status}


def backoff(attempt: int) -> float:
    # Jitter for clients that failed together, no secret.
    return min(FIRST_WAIT * 2.0 ** min(attempt, 16), MAX_WAIT) * random.uniform(0.5, 1)


class ServerSentEvent(NamedTuple):
    event: str
    data: Any


class SseParser:
    """Turns the lines of a stream into its events, as the HTML standard reads them."""

    def __init__(self) -> None:
        #: The `id` of the last event, or of a comment that said where the stream is.
        self.last_event_id: str | None = None
        #: How long to wait before the next connection, in seconds.
        self.retry: float | None = None
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []

    def line(self, line: str) -> Iterator[ServerSentEvent]:
        if line == "":
            yield from self._dispatch()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isdecimal():
            self.retry = int(value) / 1000

    def _dispatch(self) -> Iterator[ServerSentEvent]:
        self.last_event_id = self._id or self.last_event_id
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        if data:
            yield ServerSentEvent(event, json.loads("\n".join(data)))
