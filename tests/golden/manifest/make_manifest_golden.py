#!/usr/bin/env python3
"""Blob ids and chunk digests by Python's hashlib, for manifest_test: tests/golden/manifest/blobs.json.

Byte i of each blob is (i * 2654435761 >> 24) & 255, with the product cut to 32 bits. See docs/formats.md, "Manifests".
"""

import hashlib
import json
import os

CHUNK = 4 << 20
SIZES = (1, 31, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 4097)


def blob(size):
    data = bytes((i * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(size))
    chunks = [hashlib.sha256(data[at:at + CHUNK]) for at in range(0, size, CHUNK)]
    listed = b"".join(chunk.digest() for chunk in chunks) + size.to_bytes(8, "little")
    return {"size": size, "chunks": [chunk.hexdigest() for chunk in chunks], "id": hashlib.sha256(listed).hexdigest()}


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "blobs.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump([blob(size) for size in SIZES], file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
