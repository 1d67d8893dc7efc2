"""Makes and verifies ML-DSA-44 cosignatures of checkpoints (c2sp.org/tlog-cosignature) with pyca/cryptography.

    cosignature.py verify KEY    the note on standard input; prints the time of the cosignature
    cosignature.py make NAME     the checkpoint's text on standard input; prints a verifier key and a signature line
"""

import struct
import sys
from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

TIME = 1767225600


def message(name, time, text):
    origin, size, root = text.split("\n")[:3]
    opaque = lambda value: bytes([len(value.encode())]) + value.encode()
    head = b"subtree/v1\n\0" + opaque(name) + struct.pack(">Q", time) + opaque(origin)
    return head + struct.pack(">QQ", 0, int(size)) + b64decode(root)


def key_id(name, public):
    return sha256(name.encode() + b"\n\x06" + public).digest()[:4]


def verify(key, note):
    name, identity, encoded = key.split("+", 2)
    public = b64decode(encoded)[1:]
    text, _, lines = note.rpartition("\n\n")
    for line in lines.splitlines():
        _, who, encoded = line.split(" ")
        signature = b64decode(encoded)
        if (who, signature[:4]) == (name, key_id(name, public)) and signature[:4].hex() == identity:
            (time,) = struct.unpack(">Q", signature[4:12])
            MLDSA44PublicKey.from_public_bytes(public).verify(signature[12:], message(name, time, text))
            return time
    sys.exit("no such signature")


def make(name, text):
    key = MLDSA44PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    identity = key_id(name, public)
    signature = identity + struct.pack(">Q", TIME) + key.sign(message(name, TIME, text))
    encoded = b64encode(b"\x06" + public).decode()
    print(f"{name}+{identity.hex()}+{encoded}")
    print(f"\u2014 {name} {b64encode(signature).decode()}")


if __name__ == "__main__":
    given = sys.stdin.buffer.read().decode()
    sys.stdout.reconfigure(encoding="utf-8")
    print(verify(sys.argv[2], given)) if sys.argv[1] == "verify" else make(sys.argv[2], given)
