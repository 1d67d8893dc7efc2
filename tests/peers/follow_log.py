"""Follows a log over HTTPS while it grows, as a reader far away does, without any of Ironbridge's code.

    follow_log.py URL CA PAUSE REQUESTS

Each of eight readers fetches the checkpoint, waits PAUSE seconds, fetches what a tree of that size has at its right
edge (c2sp.org/tlog-tiles), and adds it up to the checkpoint's root; until REQUESTS tiles were fetched. Nothing is
asked for that no checkpoint covers, and there is no second try. Prints how much was fetched, and ends with 1 where
anything failed. Signatures are verify_log.py's.
"""

import ssl
import sys
import threading
import time
from base64 import b64decode
from hashlib import sha256
from urllib.request import urlopen

from verify_log import leaf_hash, root

URL, CA, PAUSE, REQUESTS = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
TLS = ssl.create_default_context(cafile=CA)
fetched, sizes, faults, lock = 0, set(), [], threading.Lock()


def get(path):
    with urlopen(f"{URL}/{path}", context=TLS, timeout=60) as reply:
        return reply.read(), reply.headers


def number(index):
    groups = f"{index:03}"
    groups = groups.zfill(-(-len(groups) // 3) * 3)
    parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
    return "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])


def tile(kind, nodes):
    """The partial tile at the right edge of a level with so many nodes."""
    global fetched
    index, width = divmod(nodes, 256)
    path = f"tile/{kind}/{number(index)}.p/{width}"
    body, headers = get(path)
    with lock:
        fetched += 1
    assert "immutable" in headers["cache-control"], path
    return body, width, path


def entries(body):
    while body:
        length = int.from_bytes(body[:2], "big")
        assert len(body) >= 2 + length, "a cut entry"
        yield body[2 : 2 + length]
        body = body[2 + length :]


def follow_once():
    text = get("checkpoint")[0].decode()
    size, expected = text.split("\n")[1:3]
    size, expected = int(size), b64decode(expected)
    time.sleep(PAUSE)
    whole, level = None, 0
    while size >> (8 * level):
        nodes = size >> (8 * level)
        if nodes % 256:
            body, width, path = tile(level, nodes)
            assert len(body) == 32 * width, f"{path} has {len(body)} bytes"
            hashes = [body[at : at + 32] for at in range(0, len(body), 32)]
            if level == 0:
                bundle, width, path = tile("entries", nodes)
                found = [leaf_hash(entry) for entry in entries(bundle)]
                assert found == hashes, f"{path} is not what the tile of leaves says"
            whole = root(hashes if whole is None else hashes + [whole])
        level += 1
    assert (whole or sha256(b"").digest()) == expected, f"the edge of {size} does not add up"
    with lock:
        sizes.add(size)


def follow():
    while fetched < REQUESTS:
        try:
            follow_once()
        except Exception as fault:
            with lock:
                faults.append(f"{fault} {getattr(fault, 'url', '')}")
            if len(faults) > 100:
                return


readers = [threading.Thread(target=follow) for _ in range(8)]
for reader in readers:
    reader.start()
for reader in readers:
    reader.join()
for fault in faults[:10]:
    print(fault, file=sys.stderr)
print(f"{fetched} tiles of {len(sizes)} checkpoints, {len(faults)} faults")
sys.exit(1 if faults else 0)
