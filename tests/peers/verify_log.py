"""Verifies an audit log, or a receipt, without any of Ironbridge's code.

    verify_log.py LOG KEY...              every record, every tile, the root and its signature; the detail beside it
    verify_log.py --receipt FILE KEY...   one record, from a .tlog-proof file

LOG is the directory `log` of an audit trail or of a copy; KEY is a verifier key, `name+id+base64`. Written from the
specifications alone: signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles and tlog-proof of c2sp.org, RFC 9162
for the tree, and docs/audit-format.md for records and detail. Needs Python 3.9 and the `openssl` command, which
verifies Ed25519. Keys of other kinds, such as ML-DSA-44, are passed over.
"""

import json
import subprocess
import sys
import tempfile
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

ED25519, COSIGNATURE = 1, 4


class Fault(Exception):
    """What does not fit, and where."""


def demand(holds, where, what):
    if not holds:
        raise Fault(f"{where}: {what}")


# The Merkle tree of RFC 9162 §2.1.


def leaf_hash(entry):
    return sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return sha256(b"\1" + left + right).digest()


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(root(hashes[:split]), root(hashes[split:]))


def included(leaf, index, size, path, expected):
    """RFC 9162 §2.1.3.2."""
    place, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            value = node_hash(sibling, value)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        place, last = place >> 1, last >> 1
    return index < size and last == 0 and value == expected


# Signed notes and checkpoints.


def ed25519_signed(key, message, signature):
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory) / name for name in ("key", "message", "signature")]
        subject_public_key_info = bytes.fromhex("302a300506032b6570032100") + key  # RFC 8410 §4
        for file, content in zip(files, (subject_public_key_info, message, signature)):
            file.write_bytes(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"]
        command += ["-inkey", files[0], "-in", files[1], "-sigfile", files[2]]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def open_checkpoint(note, keys, where):
    """Origin, size, root, and the names of the keys that signed or cosigned."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    signed = set()
    for line in lines.rstrip("\n").split("\n"):
        dash, name, encoded = line.split(" ")
        demand(dash == "\u2014", where, "a signature line does not begin with a dash")
        identity, signature = b64decode(encoded, validate=True)[:4], b64decode(encoded)[4:]
        for key_name, key_id, key in (key.split("+", 2) for key in keys):
            if (key_name, bytes.fromhex(key_id)) != (name, identity):
                continue
            kind, public = b64decode(key)[0], b64decode(key)[1:]
            expected = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
            demand(identity == expected, where, f"the key of {name} does not have the id it says")
            message = text.encode()
            if kind == COSIGNATURE:
                time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                message = f"cosignature/v1\ntime {time}\n{text}".encode()
            if kind in (ED25519, COSIGNATURE):
                fits = ed25519_signed(public, message, signature)
                demand(fits, where, f"the signature of {name} does not fit")
                signed.add(name)
    origin, size, expected_root = text.split("\n")[:3]
    demand(origin in signed, where, "no given key of the log signed it")
    return origin, int(size), b64decode(expected_root, validate=True), signed


# The log's files (tlog-tiles).


def tile_path(level, index, width):
    digits = f"{index:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + (f".p/{width}" if width < 256 else "")


class Log:
    def __init__(self, directory, keys):
        self.directory = Path(directory)
        note = self.read("checkpoint").decode()
        self.origin, self.size, self.root, self.signed = open_checkpoint(note, keys, "checkpoint")
        # What retention dropped. Records of the log must say the same.
        kept = self.directory / "kept"
        self.kept = json.loads(kept.read_text()) if kept.exists() else {"records": 0, "detail": 0}
        self.announced = {"records": 0, "detail": 0}
        self.levels = []  # of every level the hashes that are not yet in a full tile

    def read(self, name):
        demand((self.directory / name).is_file(), name, "the file is missing")
        return (self.directory / name).read_bytes()

    def push(self, level, value, count):
        """Adds hash `count` of a level. A tile that is full must be the one that is stored."""
        if len(self.levels) == level:
            self.levels.append([])
        self.levels[level].append(value)
        if len(self.levels[level]) == 256:
            self.compare(level, count // 256)
            full, self.levels[level] = self.levels[level], []
            self.push(level + 1, root(full), count // 256)

    def compare(self, level, index):
        name = tile_path(level, index, len(self.levels[level]))
        demand(self.read(name) == b"".join(self.levels[level]), name, "a hash is not that of what lies below it")

    def bundle(self, index, width):
        name = tile_path("entries", index, width)
        data, entries = self.read(name), []
        while data:
            length = int.from_bytes(data[:2], "big")
            demand(len(data) >= 2 + length, name, "an entry is cut off")
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
        demand(len(entries) == width, name, f"it holds {len(entries)} entries, not {width}")
        return entries

    def verify(self):
        detail = Detail(self.directory.parent / "detail")
        for index in range(-(-self.size // 256)):
            first, width = 256 * index, min(256, self.size - 256 * index)
            if first < self.kept["records"]:
                leaves = self.read(tile_path(0, index, width))
                hashes = [leaves[at : at + 32] for at in range(0, len(leaves), 32)]
            else:
                entries = self.bundle(index, width)
                hashes = [leaf_hash(entry) for entry in entries]
                for place, entry in enumerate(entries, first):
                    record = json.loads(entry)
                    if record.get("action") == "audit.retention":
                        for what in self.announced:
                            below = int(record["facts"][f"{what}_below"])
                            self.announced[what] = max(self.announced[what], below)
                    if place >= self.kept["detail"]:
                        detail.verify(place, record)
            for place, value in enumerate(hashes, first):
                self.push(0, value, place)
        right = []
        for level, hashes in enumerate(self.levels):
            if hashes:
                self.compare(level, self.size // 256 ** (level + 1))
            right = [root(hashes + right)] if hashes + right else []
        computed = right[0] if right else sha256().digest()
        demand(computed == self.root, "checkpoint", "the root that was signed is not that of these entries")
        for what, below in self.kept.items():
            demand(below <= self.announced[what], "kept", f"no record says that {what} below {below} were dropped")
        return f"{self.origin}: {self.size} entries verified, root {b64encode(self.root).decode()}"


# Personal detail beside the log (docs/audit-format.md): here only that it is what the records commit to.


def commitments_fit(record, commitments):
    together = sha256(b"ironbridge details v1\0" + b"".join(commitments)).digest()
    told = (record.get("details", 0), record.get("detail", ""))
    return told == (len(commitments), b64encode(together).decode())


class Detail:
    def __init__(self, directory):
        self.commitments = {}
        segments = sorted(directory.glob("*.wal")) if directory.is_dir() else []
        self.there = bool(segments)
        for segment, following in zip(segments, segments[1:] + [None]):
            end = int(following.stem) if following else 1 << 63
            self.read(segment.name, segment.read_bytes(), end)

    def read(self, name, data, end):
        # From version 3 on the segment's header and every frame have a MAC, whose key does not lie here.
        authenticated = int.from_bytes(data[8:12], "big") > 2
        data = data[88 if authenticated else 24 :]
        header = 56 if authenticated else 24
        while data:
            length, count, index = (int.from_bytes(data[a:b], "big") for a, b in ((0, 4), (4, 8), (8, 16)))
            body = data[header : header + length]
            if len(body) < length:
                return  # a frame that a crash left unfinished
            demand(zlib.crc32(body) == int.from_bytes(data[16:20], "big"), name, "a checksum does not fit")
            for place in range(index, min(index + count, end)):
                size = int.from_bytes(body[2:6], "big")
                self.commitments[place] = list(pieces(body[6 : 6 + size]))
                body = body[6 + size :]
            data = data[header + length :]

    def verify(self, place, record):
        if self.there and record.get("details"):
            fits = commitments_fit(record, self.commitments.get(place, []))
            demand(fits, "detail", f"what lies there of record {place} is not what it commits to")


def pieces(data):
    """The commitments of a record's detail: kind (1 byte), owner (16), commitment (32), length (2), sealed value."""
    while data:
        yield data[17:49]
        data = data[51 + int.from_bytes(data[49:51], "big") :]


# Receipts (tlog-proof).

KINDS = {"address": 1, "subject": 2, "actor": 3}


def verify_receipt(file, keys):
    proof, _, note = Path(file).read_bytes().decode().partition("\n\n")
    first, extra, index, *path = proof.split("\n")
    demand(first == "c2sp.org/tlog-proof@v1", file, "this is not a receipt")
    extra, index = json.loads(b64decode(extra.removeprefix("extra "))), int(index.removeprefix("index "))
    origin, size, expected, signed = open_checkpoint(note, keys, file)
    leaf = leaf_hash(extra["record"].encode())
    fits = included(leaf, index, size, [b64decode(line) for line in path], expected)
    demand(fits, file, f"the record is not entry {index} of the {size} that were signed")
    commitments = [b64decode(one) for one in extra.get("commitments", [])]
    if commitments:
        fits = commitments_fit(json.loads(extra["record"]), commitments)
        demand(fits, file, "the commitments are not those of the record")
    told = [extra["record"]]
    for piece in extra.get("details", []):
        salt = b64decode(piece["salt"])
        opened = bytes([KINDS[piece["kind"]]]) + salt + piece["value"].encode()
        fits = sha256(b"ironbridge detail v1\0" + opened).digest() == commitments[piece["place"]] and len(salt) == 16
        demand(fits, file, f"the {piece['kind']} is not what the record commits to")
        told.append(f"{piece['kind']}: {piece['value']}")
    told.append(f"entry {index} of the {size} of {origin}, signed by {', '.join(sorted(signed))}")
    return "\n".join(told)


def main(arguments):
    if len(arguments) > 2 and arguments[0] == "--receipt":
        return verify_receipt(arguments[1], arguments[2:])
    if len(arguments) > 1 and not arguments[0].startswith("-"):
        return Log(arguments[0], arguments[1:]).verify()
    sys.exit(__doc__)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except Fault as fault:
        sys.exit(f"verify_log: {fault}")
    except (ValueError, KeyError, IndexError, OSError) as malformed:
        sys.exit(f"verify_log: what was read does not have the form it should: {malformed!r}")
