"""A proxy before the gateway that does to a client what networks do, and a receiver of webhooks.

    proxy.py PORT GATEWAY_PORT

    /pass/NAME/…     handed on as it is
    /refuse/NAME/…   the first request is answered 503 with `Retry-After: 1`, the others are handed on
    /lose/NAME/…     the first request is handed on and its answer lost, the others are handed on
    /cut/NAME/…      the first stream is cut after its first event, the others are handed on
    /log/NAME        the requests of that name: their methods, paths and headers
    /hook/NAME       takes the post of a webhook
    /hooks/NAME      the posts that were taken, once there is one
"""

import asyncio
import json
import sys
from collections import defaultdict

PORT, GATEWAY = int(sys.argv[1]), int(sys.argv[2])
MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024

requests = defaultdict(list)
hooks = defaultdict(list)
hooked = asyncio.Condition()


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = line.split(" ")
    headers = {}
    for field in fields:
        name, value = field.split(":", 1)
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    else:
        length = int(headers.get("content-length", 0))
        assert length <= MAX_BODY
        body = await reader.readexactly(length)
    return method, path, headers, body


def answer(writer, status, value, headers=()):
    body = (json.dumps(value) + "\n").encode()
    kind = "application/json" if status < 400 else "application/problem+json"
    lines = [f"HTTP/1.1 {status} -", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += ["connection: close", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


async def hand_on(method, path, headers, body):
    """The gateway's answer, to be read until it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", GATEWAY, limit=MAX_HEAD)
    own = {"host": f"127.0.0.1:{GATEWAY}", "connection": "close", "content-length": str(len(body))}
    gone = {"transfer-encoding", "keep-alive"}
    kept = {name: value for name, value in headers.items() if name not in gone} | own
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    return reader, writer


async def with_fault(fault, name, request, writer):
    method, path, headers, body = request
    seen = requests[name]
    seen.append({"method": method, "path": path, "headers": headers})
    is_stream = headers.get("accept") == "text/event-stream"
    is_first = len([one for one in seen if one["method"] == method]) == 1
    if fault == "refuse" and is_first:
        problem = {"type": "/problems/overloaded", "title": "Too much is waiting", "status": 503}
        answer(writer, 503, problem, ["retry-after: 1"])
        return
    upstream, connection = await hand_on(*request)
    try:
        sent = b""
        while chunk := await upstream.read(MAX_HEAD):
            if fault == "lose" and is_first:
                continue
            sent += chunk
            if fault == "cut" and is_stream and is_first and b"\nevent: " in sent:
                # What came with the first event in one piece is lost with the connection.
                end = sent.index(b"\n\n", sent.index(b"\nevent: ")) + 2
                writer.write(sent[len(sent) - len(chunk) : end])
                await writer.drain()
                return
            writer.write(chunk)
            await writer.drain()
    finally:
        connection.close()


async def serve(reader, writer):
    try:
        request = await read_request(reader)
        method, path, headers, body = request
        _, kind, name, *rest = path.split("/", 3)
        if kind == "log":
            answer(writer, 200, requests[name])
        elif kind == "hook":
            async with hooked:
                hooks[name].append({"headers": headers, "body": body.decode()})
                hooked.notify_all()
            answer(writer, 200, "ok")
        elif kind == "hooks":
            async with hooked:
                await hooked.wait_for(lambda: hooks[name])
            answer(writer, 200, hooks[name])
        else:
            request = (method, "/" + "".join(rest), headers, body)
            await with_fault(kind, name, request, writer)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, limit=MAX_HEAD)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
