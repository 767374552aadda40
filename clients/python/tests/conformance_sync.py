"""The suite without asyncio. Made by `make_sync.py`."""

from __future__ import annotations

import logging
import os
import time
import unittest
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from sipost import Sipost, GapError, ProblemError, WebhookError, verify_webhook

if TYPE_CHECKING:
    from collections.abc import Iterable

# Nothing but the names of the cases is printed.
logging.getLogger("asyncio").setLevel(logging.ERROR)

GATEWAY = os.environ["SIPOST_URL"]
PROXY = os.environ["SIPOST_PROXY"]


def unique() -> str:
    """A name that no other run has used."""
    return f"py-{uuid.uuid4()}"


def through(fault: str, name: str) -> Sipost:
    return Sipost(f"{PROXY}/{fault}/{name}")


def seen(name: str) -> Any:
    """The requests of that name which the proxy has seen."""
    return httpx.get(f"{PROXY}/log/{name}").json()


def collect(items: Iterable[Any]) -> list[Any]:
    return [item for item in items]


def types(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


class Conformance(unittest.TestCase):
    """The same cases in each language (../../conformance)."""

    def setUp(self) -> None:
        self.sipost = Sipost()

    def tearDown(self) -> None:
        self.sipost.close()

    def test_send_returns_the_accepted_message(self) -> None:
        message = self.sipost.send(
            {"target": "ok", "body": "Hello!", "metadata": {"order": "42"}}
        )
        self.assertRegex(message["id"], r"^[0-9a-f-]{36}$")
        self.assertEqual(message["body"], "Hello!")
        self.assertEqual(message["metadata"], {"order": "42"})

    def test_send_waits_for_the_end(self) -> None:
        message = self.sipost.send({"target": "busy", "body": ""}, wait=30)
        self.assertEqual(message["status"], "failed")
        result = message["result"]
        assert result is not None and result["type"] == "failed"
        self.assertEqual(result["cause"], "Busy")
        assert result["response"] is not None
        self.assertEqual(result["response"]["statusCode"], 486)

    def test_follow_yields_every_event_to_the_end(self) -> None:
        message = self.sipost.send({"target": "overload", "body": ""})
        events = collect(self.sipost.follow(message))
        self.assertEqual(types(events), ["sending", "deferred", "sending", "succeeded"])

    def test_follow_resumes_after_a_lost_connection(self) -> None:
        name = unique()
        message = self.sipost.send({"target": "overload", "body": ""})
        with through("cut", name) as client:
            events = collect(client.follow(message))
        self.assertEqual(types(events), ["sending", "deferred", "sending", "succeeded"])
        second = seen(name)[1]
        self.assertEqual(second["headers"]["last-event-id"], events[0]["id"])

    def test_follow_goes_on_to_a_receipt(self) -> None:
        message = self.sipost.send(
            {"target": "reader", "body": "", "receipts": ["displayed"]}
        )
        events = collect(self.sipost.follow(message["id"], until="displayed"))
        self.assertEqual(events[-1]["type"], "displayed")

    def test_a_refused_message_tells_every_mistake(self) -> None:
        with self.assertRaises(ProblemError) as caught:
            self.sipost.send({"target": "", "body": "", "ttl": 0})
        error = caught.exception
        self.assertEqual((error.status, error.kind), (422, "invalid-message"))
        pointers = sorted(violation["pointer"] for violation in error.violations)
        self.assertEqual(pointers, ["/target", "/ttl"])
        self.assertTrue(error.request_id)

    def test_a_full_gateway_is_asked_again_after_retry_after(self) -> None:
        name, begun = unique(), time.monotonic()
        with through("refuse", name) as client:
            message = client.send({"target": "ok", "body": ""})
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.assertEqual(message["target"], "ok")
        first, second = [one["headers"]["idempotency-key"] for one in seen(name)]
        self.assertEqual(first, second)

    def test_a_lost_answer_does_not_send_twice(self) -> None:
        name = unique()
        with through("lose", name) as client:
            message = client.send({"target": name, "body": ""})
        self.assertEqual(len(seen(name)), 2)
        sent = collect(self.sipost.list(target=name))
        self.assertEqual([one["id"] for one in sent], [message["id"]])

    def test_cancel_ends_a_message_and_then_says_why_not(self) -> None:
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        message = self.sipost.send({"target": "ok", "body": "", "sendAt": later})
        canceled = self.sipost.cancel(message["id"])
        result = canceled["result"]
        assert result is not None and result["type"] == "failed"
        self.assertEqual(result["cause"], "Canceled")
        with self.assertRaises(ProblemError) as caught:
            self.sipost.cancel(message["id"])
        self.assertEqual(caught.exception.kind, "too-late")
        self.assertEqual(str(caught.exception), "the message was canceled already")

    def test_a_batch_is_sent_in_order(self) -> None:
        messages = self.sipost.send_batch(
            [{"target": "ok", "body": "1"}, {"target": "ok", "body": "2"}]
        )
        self.assertEqual([message["body"] for message in messages], ["1", "2"])
        first = collect(self.sipost.follow(messages[0]))
        second = collect(self.sipost.follow(messages[1]))
        self.assertLess(first[-1]["id"], second[0]["id"])

    def test_list_goes_through_every_page(self) -> None:
        target, bodies = unique(), ["1", "2", "3", "4", "5"]
        self.sipost.send_batch([{"target": target, "body": body} for body in bodies])
        listed = collect(self.sipost.list(target=target, limit=2))
        self.assertEqual([message["body"] for message in reversed(listed)], bodies)

    def test_receive_yields_what_comes_in(self) -> None:
        body = unique()
        self.sipost.send({"target": "echo", "body": body})
        for received in self.sipost.receive(last_event_id="earliest"):
            if received["body"] == body:
                break
        self.assertRegex(received["from"]["uri"], "^sip:echo@")
        message_id = received["messageId"]
        self.assertEqual((self.sipost.get_received(message_id))["body"], body)
        self.sipost.erase_received(message_id)
        with self.assertRaises(ProblemError) as caught:
            self.sipost.get_received(message_id)
        self.assertEqual(caught.exception.status, 404)

    def test_events_begin_after_an_id(self) -> None:
        message = self.sipost.send({"target": "ok", "body": ""}, wait=30)
        sending, *_ = collect(self.sipost.follow(message))
        for event in self.sipost.events(
            message_id=message["id"],
            last_event_id=sending["id"],
            types=["sending", "succeeded"],
        ):
            break
        self.assertEqual(event["type"], "succeeded")

    def test_a_gap_is_told(self) -> None:
        last = "7-0000000000000001"
        with self.assertRaises(GapError) as caught:
            collect(self.sipost.events(last_event_id=last))
        self.assertEqual(caught.exception.gap["requested"], last)

    def posted(self) -> tuple[str, dict[str, Any]]:
        """A webhook's secret, and the first post to it."""
        name = unique()
        webhook = self.sipost.create_webhook(
            {"url": f"{PROXY}/hook/{name}", "types": ["succeeded"]}
        )
        self.sipost.send({"target": "ok", "body": ""}, wait=30)
        posts = httpx.get(f"{PROXY}/hooks/{name}", timeout=60).json()
        self.sipost.delete_webhook(webhook["id"])
        return webhook["secret"], posts[0]

    def test_a_webhook_is_verified(self) -> None:
        secret, post = self.posted()
        event = verify_webhook(post["body"], post["headers"], ["whsec_b3RoZXI=", secret])
        self.assertEqual(event["type"], "succeeded")
        self.assertEqual(event["id"], post["headers"]["webhook-id"])

    def test_a_forged_webhook_is_refused(self) -> None:
        secret, post = self.posted()
        body, headers = post["body"], post["headers"]
        forged = body.replace("succeeded", "failed")
        unsigned = {name: value for name, value in headers.items() if name != "webhook-signature"}
        for attempt in [
            (forged, headers, secret),
            (body, headers, "whsec_b3RoZXI="),
            (body, unsigned, secret),
        ]:
            with self.assertRaises(WebhookError):
                verify_webhook(*attempt)

    def test_an_old_webhook_is_refused(self) -> None:
        secret, post = self.posted()
        with self.assertRaises(WebhookError):
            verify_webhook(post["body"], post["headers"], secret, now=time.time() + 360)

    def test_a_missing_token_is_an_error(self) -> None:
        with Sipost(GATEWAY, token="wrong") as stranger:
            with self.assertRaises(ProblemError) as caught:
                stranger.send({"target": "ok", "body": ""})
        self.assertEqual((caught.exception.status, caught.exception.kind), (401, "unauthorized"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
