"""The client for asyncio. `_sync.py` is made from this file by `make_sync.py`."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import httpx

from . import _protocol
from ._errors import ConnectionLost, GapError

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Callable, Sequence

    from .types import (
        Agent,
        Event,
        EventType,
        Gap,
        Message,
        MessageStatus,
        NewMessage,
        NewWebhook,
        ReceiptKind,
        ReceivedEvent,
        WebhookWithSecret,
    )


class AsyncSipost:
    """A client of one gateway.

    Without `url`, `SIPOST_URL` of the environment, or `http://127.0.0.1:8080`; without `token`,
    `SIPOST_TOKEN`. A request that failed is repeated up to `retries` times while that is safe.
    `http` is what makes the requests, for proxies and certificates of your own.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        retries: int = 4,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._url = (url or _protocol.default_url()).rstrip("/")
        self._token = token or _protocol.default_token()
        self._retries = retries
        self._http = http or httpx.AsyncClient(timeout=_protocol.DEFAULT_TIMEOUT)

    async def __aenter__(self) -> AsyncSipost:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def send(
        self,
        message: NewMessage,
        *,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """Sends a message. It is accepted when it is durable.

        With `wait` the answer is the end of the message, if it comes within so many seconds (30 at
        most). Two calls with the same key send once; a key is made up when it is left out.
        """
        headers = _key(idempotency_key)
        if wait is not None:
            headers["prefer"] = f"wait={wait}"
        return await self._json("POST", "/messages", json=message, headers=headers)

    async def send_batch(
        self, messages: Sequence[NewMessage], *, idempotency_key: str | None = None
    ) -> list[Message]:
        """Sends up to a thousand messages: all are accepted, or none."""
        body = {"messages": list(messages)}
        batch = await self._json(
            "POST", "/messages/batch", json=body, headers=_key(idempotency_key)
        )
        return batch["data"]

    async def get(self, message_id: str) -> Message:
        return await self._json("GET", f"/messages/{quote(message_id, safe='')}")

    async def cancel(self, message_id: str) -> Message:
        """Cancels a message that is not being sent yet."""
        return await self._json("DELETE", f"/messages/{quote(message_id, safe='')}")

    async def list(
        self,
        *,
        status: MessageStatus | None = None,
        target: str | None = None,
        from_: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Messages, newest first. `limit` is how many are asked for at once."""
        query = {"status": status, "target": target, "from": from_, "limit": limit}
        async for message in self._pages("/messages", query):
            yield message

    async def follow(
        self,
        message: str | Message,
        *,
        until: ReceiptKind | None = None,
        last_event_id: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of a message as they come, to the one that ends it, or to a receipt.

        A lost connection is taken up where it was, so each event comes once.
        """
        message_id = message if isinstance(message, str) else message["id"]
        path = f"/messages/{quote(message_id, safe='')}/events"
        # The connection is closed with the iterator, and not when it is collected.
        async with aclosing(self._stream(path, {"until": until}, last_event_id)) as stream:
            async for sent in stream:
                event: Event = sent.data
                yield event
                kind = event["type"]
                if kind in ("failed", until) or (kind == "succeeded" and until is None):
                    return

    async def events(
        self,
        *,
        types: Sequence[EventType] | None = None,
        message_id: str | None = None,
        target: str | None = None,
        from_: str | None = None,
        last_event_id: str | None = None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Every event of the gateway as it comes, for ever.

        It begins after `last_event_id`, or with the oldest event that is kept: `earliest`. `on_gap`
        is called when events were removed before they were read; left out, that is a `GapError`.
        """
        query = {
            "type": ",".join(types) if types else None,
            "messageId": message_id,
            "target": target,
            "from": from_,
        }
        async with aclosing(self._stream("/events", query, last_event_id)) as stream:
            async for sent in stream:
                if sent.event != "gap":
                    yield sent.data
                elif on_gap is None:
                    raise GapError(sent.data)
                else:
                    on_gap(sent.data)

    async def receive(
        self,
        *,
        account: str | None = None,
        last_event_id: str | None = None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> AsyncGenerator[ReceivedEvent, None]:
        """The messages that come in, as they come, for ever. What was erased is left out."""
        all_received = self.events(
            types=["received"], from_=account, last_event_id=last_event_id, on_gap=on_gap
        )
        async with aclosing(all_received) as events:
            async for event in events:
                if event["type"] == "received" and "erased" not in event:
                    yield cast("ReceivedEvent", event)

    async def list_received(
        self,
        *,
        account: str | None = None,
        from_: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[ReceivedEvent, None]:
        """The messages that came in, newest first."""
        query = {"account": account, "from": from_, "limit": limit}
        async for received in self._pages("/received", query):
            yield received

    async def get_received(self, message_id: str) -> ReceivedEvent:
        return await self._json("GET", f"/received/{quote(message_id, safe='')}")

    async def erase_received(self, message_id: str) -> None:
        """Erases what a received message says."""
        await self._call("DELETE", f"/received/{quote(message_id, safe='')}")

    async def agents(self) -> builtins.list[Agent]:
        return (await self._json("GET", "/agents"))["data"]

    async def create_webhook(self, webhook: NewWebhook) -> WebhookWithSecret:
        """Creates a webhook. Its secret is in this answer, and in no other."""
        return await self._json("POST", "/webhooks", json=webhook)

    async def delete_webhook(self, webhook_id: str) -> None:
        await self._call("DELETE", f"/webhooks/{quote(webhook_id, safe='')}")

    async def _pages(self, path: str, query: dict[str, Any]) -> AsyncGenerator[Any, None]:
        cursor = None
        while True:
            page = await self._json("GET", path, query={**query, "cursor": cursor})
            for item in page["data"]:
                yield item
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def _json(self, method: str, path: str, **request: Any) -> Any:
        return (await self._call(method, path, **request)).json()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        built = self._request(method, path, query or {}, headers or {}, json)
        return await self._answer(built, self._retries, is_stream=False)

    def _request(
        self, method: str, path: str, query: dict[str, Any], headers: dict[str, str], json: Any
    ) -> httpx.Request:
        own = {"accept": "application/json", **headers}
        if self._token is not None:
            own["authorization"] = f"Bearer {self._token}"
        params = _protocol.without_none(query)
        return self._http.build_request(
            method, self._url + path, params=params, headers=own, json=json
        )

    async def _answer(
        self, request: httpx.Request, retries: int | None, *, is_stream: bool
    ) -> httpx.Response:
        """The answer, which is below 400. `None` stands for as many retries as it takes."""
        is_repeatable = request.method != "POST" or "idempotency-key" in request.headers
        attempt = 0
        while True:
            wait = None
            try:
                response = await self._http.send(request, stream=is_stream)
                if response.is_success:
                    return response
                if is_stream:
                    await response.aread()
                    await response.aclose()
                error, is_worth_it, wait = _protocol.refusal(response, is_repeatable)
                failure: Exception = error
            except httpx.TransportError as cause:
                failure = ConnectionLost(f"{request.method} {request.url.path}: {cause!r}")
                failure.__cause__ = cause
                is_worth_it = is_repeatable
            if wait is None:
                wait = _protocol.backoff(attempt)
            is_last = retries is not None and attempt >= retries
            if is_last or not is_worth_it or wait > _protocol.MAX_RETRY_AFTER:
                raise failure
            attempt += 1
            await asyncio.sleep(wait)

    async def _stream(
        self, path: str, query: dict[str, Any], last_event_id: str | None
    ) -> AsyncGenerator[_protocol.ServerSentEvent, None]:
        """The events of a stream, over as many connections as it takes.

        It ends when the gateway says that nothing follows (204). The first connection is tried like
        any request; later ones until they succeed or the caller has enough.
        """
        retries: int | None = self._retries
        last, resume = last_event_id, _protocol.FIRST_WAIT
        while True:
            headers = {"accept": "text/event-stream"}
            if last is not None:
                headers["last-event-id"] = last
            request = self._request("GET", path, query, headers, None)
            timeout = httpx.Timeout(_protocol.STREAM_TIMEOUT)
            request.extensions["timeout"] = timeout.as_dict()
            response = await self._answer(request, retries, is_stream=True)
            retries = None
            parser = _protocol.SseParser()
            try:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                async for line in response.aiter_lines():
                    for event in parser.line(line):
                        yield event
            except httpx.TransportError:
                # The connection was lost: the next one goes on after the last event.
                pass
            finally:
                await response.aclose()
            resume = parser.retry or resume
            # A stream that was cut before its first event is not taken up in a tight loop.
            wait = resume if parser.last_event_id is None else _protocol.FIRST_WAIT
            last = parser.last_event_id or last
            await asyncio.sleep(wait)


def _key(given: str | None) -> dict[str, str]:
    """With a key a request can be repeated without sending twice."""
    return {"idempotency-key": given or str(uuid.uuid4())}
