"""What can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Gap, Problem, Violation


class SipostError(Exception):
    """Every error of this package."""


class ProblemError(SipostError):
    """The gateway refused a request, and said why (RFC 9457)."""

    def __init__(self, status: int, problem: Problem, request_id: str | None) -> None:
        super().__init__(problem.get("detail") or problem["title"])
        self.status = status
        self.problem = problem
        #: The name of the request in the gateway's log.
        self.request_id = request_id

    @property
    def kind(self) -> str:
        """The kind of the problem, for instance `invalid-message`."""
        return self.problem["type"].removeprefix("/problems/")

    @property
    def violations(self) -> list[Violation]:
        """Every mistake of the request."""
        return self.problem.get("errors", [])


class ConnectionLost(SipostError):
    """The gateway was not reached, or the connection was lost, as often as was tried."""


class GapError(SipostError):
    """Events were removed before they were read. The log goes on after `gap["resumedFrom"]`."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(gap["reason"])
        self.gap = gap


class WebhookError(SipostError):
    """A post is not from the gateway that has the secret, or is too old."""
