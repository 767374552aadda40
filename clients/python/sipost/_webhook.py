"""The posts of webhooks, signed as Standard Webhooks 1.0 asks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from ._errors import WebhookError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Posts that are older, or newer, are refused.
TOLERANCE_SECONDS = 5 * 60


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    *,
    now: float | None = None,
) -> Any:
    """Verifies the post of a webhook and returns its event.

    `body` is the body as it came, before it is parsed. `secret` is `whsec_…`, or several while one
    replaces another. Raises `WebhookError` for any post that is not signed with the secret, or too
    old.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        identifier = given["webhook-id"]
        timestamp = given["webhook-timestamp"]
        signatures = given["webhook-signature"]
    except KeyError as missing:
        raise WebhookError(f"the post has no {missing.args[0]}") from None
    age = (time.time() if now is None else now) - (
        int(timestamp) if timestamp.isdecimal() else float("inf")
    )
    if abs(age) > TOLERANCE_SECONDS:
        raise WebhookError("the post is too old, or the clocks differ")
    raw = body.encode() if isinstance(body, str) else body
    signed = f"{identifier}.{timestamp}.".encode() + raw
    for one in [secret] if isinstance(secret, str) else secret:
        key = _from_base64(one.removeprefix("whsec_"))
        expected = hmac.new(key, signed, hashlib.sha256).digest()
        for signature in signatures.split(" "):
            version, _, text = signature.partition(",")
            if version == "v1" and hmac.compare_digest(_from_base64(text), expected):
                return json.loads(raw)
    raise WebhookError("the signature is not that of the secret")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WebhookError("a secret or a signature is not Base64") from None
