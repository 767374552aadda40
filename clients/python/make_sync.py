"""Makes the client without asyncio, and its tests, from the one with it.

    make_sync.py            writes them
    make_sync.py --check    fails when they are not as they would be written
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
PAIRS = {
    "sipost/_async.py": "sipost/_sync.py",
    "tests/conformance_async.py": "tests/conformance_sync.py",
}
RULES = [
    (r"^import asyncio\n", "import time\n"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"AsyncSipost", "Sipost"),
    (r"httpx\.AsyncClient", "httpx.Client"),
    (r"AsyncGenerator\[([\w.]+), None\]", r"Generator[\1, None, None]"),
    (r"AsyncGenerator", "Generator"),
    (r"aclosing", "closing"),
    (r"AsyncIterable", "Iterable"),
    (r"IsolatedAsyncioTestCase", "TestCase"),
    (r"asyncSetUp", "setUp"),
    (r"asyncTearDown", "tearDown"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\ba(close|read|iter_lines)\b", r"\1"),
    (r'"""The client for asyncio\. .*?"""', '"""The client without asyncio. Made by `make_sync.py`."""'),
    (r'"""The suite for asyncio\. .*?"""', '"""The suite without asyncio. Made by `make_sync.py`."""'),
]


def sync(text):
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


for source, target in PAIRS.items():
    made = sync((HERE / source).read_text())
    if "--check" not in sys.argv:
        (HERE / target).write_text(made)
    elif (HERE / target).read_text() != made:
        raise SystemExit(f"{target} is not what make_sync.py makes of {source}")
