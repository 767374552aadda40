"""The suite for asyncio. `conformance_sync.py` is made from this file by `make_sync.py`."""

from __future__ import annotations

import logging
import os
import time
import unittest
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from sipost import AsyncSipost, GapError, ProblemError, WebhookError, verify_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

# Nothing but the names of the cases is printed.
logging.getLogger("asyncio").setLevel(logging.ERROR)

GATEWAY = os.environ["SIPOST_URL"]
PROXY = os.environ["SIPOST_PROXY"]


def unique() -> str:
    """A name that no other run has used."""
    return f"py-{uuid.uuid4()}"


def through(fault: str, name: str) -> AsyncSipost:
    return AsyncSipost(f"{PROXY}/{fault}/{name}")


def seen(name: str) -> Any:
    """The requests of that name which the proxy has seen."""
    return httpx.get(f"{PROXY}/log/{name}").json()


async def collect(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


def types(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


class Conformance(unittest.IsolatedAsyncioTestCase):
    """The same cases in each language (../../conformance)."""

    async def asyncSetUp(self) -> None:
        self.sipost = AsyncSipost()

    async def asyncTearDown(self) -> None:
        await self.sipost.aclose()

    async def test_send_returns_the_accepted_message(self) -> None:
        message = await self.sipost.send(
            {"target": "ok", "body": "Hello!", "metadata": {"order": "42"}}
        )
        self.assertRegex(message["id"], r"^[0-9a-f-]{36}$")
        self.assertEqual(message["body"], "Hello!")
        self.assertEqual(message["metadata"], {"order": "42"})

    async def test_send_waits_for_the_end(self) -> None:
        message = await self.sipost.send({"target": "busy", "body": ""}, wait=30)
        self.assertEqual(message["status"], "failed")
        result = message["result"]
        assert result is not None and result["type"] == "failed"
        self.assertEqual(result["cause"], "Busy")
        assert result["response"] is not None
        self.assertEqual(result["response"]["statusCode"], 486)

    async def test_follow_yields_every_event_to_the_end(self) -> None:
        message = await self.sipost.send({"target": "overload", "body": ""})
        events = await collect(self.sipost.follow(message))
        self.assertEqual(types(events), ["sending", "deferred", "sending", "succeeded"])

    async def test_follow_resumes_after_a_lost_connection(self) -> None:
        name = unique()
        message = await self.sipost.send({"target": "overload", "body": ""})
        async with through("cut", name) as client:
            events = await collect(client.follow(message))
        self.assertEqual(types(events), ["sending", "deferred", "sending", "succeeded"])
        second = seen(name)[1]
        self.assertEqual(second["headers"]["last-event-id"], events[0]["id"])

    async def test_follow_goes_on_to_a_receipt(self) -> None:
        message = await self.sipost.send(
            {"target": "reader", "body": "", "receipts": ["displayed"]}
        )
        events = await collect(self.sipost.follow(message["id"], until="displayed"))
        self.assertEqual(events[-1]["type"], "displayed")

    async def test_a_refused_message_tells_every_mistake(self) -> None:
        with self.assertRaises(ProblemError) as caught:
            await self.sipost.send({"target": "", "body": "", "ttl": 0})
        error = caught.exception
        self.assertEqual((error.status, error.kind), (422, "invalid-message"))
        pointers = sorted(violation["pointer"] for violation in error.violations)
        self.assertEqual(pointers, ["/target", "/ttl"])
        self.assertTrue(error.request_id)

    async def test_a_full_gateway_is_asked_again_after_retry_after(self) -> None:
        name, begun = unique(), time.monotonic()
        async with through("refuse", name) as client:
            message = await client.send({"target": "ok", "body": ""})
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.assertEqual(message["target"], "ok")
        first, second = [one["headers"]["idempotency-key"] for one in seen(name)]
        self.assertEqual(first, second)

    async def test_a_lost_answer_does_not_send_twice(self) -> None:
        name = unique()
        async with through("lose", name) as client:
            message = await client.send({"target": name, "body": ""})
        self.assertEqual(len(seen(name)), 2)
        sent = await collect(self.sipost.list(target=name))
        self.assertEqual([one["id"] for one in sent], [message["id"]])

    async def test_cancel_ends_a_message_and_then_says_why_not(self) -> None:
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        message = await self.sipost.send({"target": "ok", "body": "", "sendAt": later})
        canceled = await self.sipost.cancel(message["id"])
        result = canceled["result"]
        assert result is not None and result["type"] == "failed"
        self.assertEqual(result["cause"], "Canceled")
        with self.assertRaises(ProblemError) as caught:
            await self.sipost.cancel(message["id"])
        self.assertEqual(caught.exception.kind, "too-late")
        self.assertEqual(str(caught.exception), "the message was canceled already")

    async def test_a_batch_is_sent_in_order(self) -> None:
        messages = await self.sipost.send_batch(
            [{"target": "ok", "body": "1"}, {"target": "ok", "body": "2"}]
        )
        self.assertEqual([message["body"] for message in messages], ["1", "2"])
        first = await collect(self.sipost.follow(messages[0]))
        second = await collect(self.sipost.follow(messages[1]))
        self.assertLess(first[-1]["id"], second[0]["id"])

    async def test_list_goes_through_every_page(self) -> None:
        target, bodies = unique(), ["1", "2", "3", "4", "5"]
        await self.sipost.send_batch([{"target": target, "body": body} for body in bodies])
        listed = await collect(self.sipost.list(target=target, limit=2))
        self.assertEqual([message["body"] for message in reversed(listed)], bodies)

    async def test_receive_yields_what_comes_in(self) -> None:
        body = unique()
        await self.sipost.send({"target": "echo", "body": body})
        async for received in self.sipost.receive(last_event_id="earliest"):
            if received["body"] == body:
                break
        self.assertRegex(received["from"]["uri"], "^sip:echo@")
        message_id = received["messageId"]
        self.assertEqual((await self.sipost.get_received(message_id))["body"], body)
        await self.sipost.erase_received(message_id)
        with self.assertRaises(ProblemError) as caught:
            await self.sipost.get_received(message_id)
        self.assertEqual(caught.exception.status, 404)

    async def test_events_begin_after_an_id(self) -> None:
        message = await self.sipost.send({"target": "ok", "body": ""}, wait=30)
        sending, *_ = await collect(self.sipost.follow(message))
        async for event in self.sipost.events(
            message_id=message["id"],
            last_event_id=sending["id"],
            types=["sending", "succeeded"],
        ):
            break
        self.assertEqual(event["type"], "succeeded")

    async def test_a_gap_is_told(self) -> None:
        last = "7-0000000000000001"
        with self.assertRaises(GapError) as caught:
            await collect(self.sipost.events(last_event_id=last))
        self.assertEqual(caught.exception.gap["requested"], last)

    async def posted(self) -> tuple[str, dict[str, Any]]:
        """A webhook's secret, and the first post to it."""
        name = unique()
        webhook = await self.sipost.create_webhook(
            {"url": f"{PROXY}/hook/{name}", "types": ["succeeded"]}
        )
        await self.sipost.send({"target": "ok", "body": ""}, wait=30)
        posts = httpx.get(f"{PROXY}/hooks/{name}", timeout=60).json()
        await self.sipost.delete_webhook(webhook["id"])
        return webhook["secret"], posts[0]

    async def test_a_webhook_is_verified(self) -> None:
        secret, post = await self.posted()
        event = verify_webhook(post["body"], post["headers"], ["whsec_b3RoZXI=", secret])
        self.assertEqual(event["type"], "succeeded")
        self.assertEqual(event["id"], post["headers"]["webhook-id"])

    async def test_a_forged_webhook_is_refused(self) -> None:
        secret, post = await self.posted()
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

    async def test_an_old_webhook_is_refused(self) -> None:
        secret, post = await self.posted()
        with self.assertRaises(WebhookError):
            verify_webhook(post["body"], post["headers"], secret, now=time.time() + 360)

    async def test_a_missing_token_is_an_error(self) -> None:
        async with AsyncSipost(GATEWAY, token="wrong") as stranger:
            with self.assertRaises(ProblemError) as caught:
                await stranger.send({"target": "ok", "body": ""})
        self.assertEqual((caught.exception.status, caught.exception.kind), (401, "unauthorized"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
