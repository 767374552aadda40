"""A client of sipost: messages by HTTP that go out as SIP MESSAGE requests, and what becomes of them.

>>> from sipost import Sipost
>>> with Sipost() as sipost:
...     message = sipost.send({"target": "ok", "body": "Hello!"})
...     for event in sipost.follow(message):
...         print(event["type"])
"""

from ._async import AsyncSipost
from ._errors import (
    ConnectionLost,
    GapError,
    ProblemError,
    SipostError,
    WebhookError,
)
from ._sync import Sipost
from ._webhook import verify_webhook

__all__ = [
    "AsyncSipost",
    "ConnectionLost",
    "GapError",
    "ProblemError",
    "Sipost",
    "SipostError",
    "WebhookError",
    "verify_webhook",
]
__version__ = "0.1.0"
