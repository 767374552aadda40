"""Sends a message with the client that openapi-python-client made from the contract, and follows it
to its end.

    follow.py FOLDER URL     FOLDER: where the client was made
"""

import sys
import time

sys.path.insert(0, sys.argv[1])

from sipost_client import Client
from sipost_client.api.messages import list_message_events, send_message
from sipost_client.models import (
    BodyEncoding,
    FailedEvent,
    Message,
    MessageEvents,
    NewMessage,
    OnUnknown,
    Problem,
    SendingEvent,
    SucceededEvent,
)

# Only what hangs takes this long.
LIMIT_SECONDS = 60

client = Client(base_url=sys.argv[2])


def events_of(message):
    """Every event of the message up to the one that ends it."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        page = list_message_events.sync(message.id, client=client)
        assert isinstance(page, MessageEvents), page
        if page.data and isinstance(page.data[-1], SucceededEvent | FailedEvent):
            return page.data
    raise AssertionError(f"the message {message.id} does not end")


sent = send_message.sync(client=client, body=NewMessage(target="ok", body="Hello!"))
assert isinstance(sent, Message), sent
sending, succeeded = events_of(sent)
assert isinstance(sending, SendingEvent), sending
assert sending.request.uri.startswith("sip:ok@"), sending
assert isinstance(succeeded, SucceededEvent), succeeded
assert succeeded.response.status_code == 200, succeeded

busy = send_message.sync(
    client=client,
    body=NewMessage(
        target="busy",
        body="",
        body_encoding=BodyEncoding.UTF_8,
        attempts=1,
        on_unknown=OnUnknown.FAIL,
    ),
    prefer="wait=30",
    idempotency_key="made-by-another-tool",
)
assert isinstance(busy, Message), busy
assert isinstance(busy.result, FailedEvent), busy
assert busy.result.cause == "Busy", busy

wrong = send_message.sync(client=client, body=NewMessage(target="", body=""))
assert isinstance(wrong, Problem), wrong
assert wrong.errors[0].pointer == "/target", wrong

print("openapi-python-client: sent, followed, refused")
