"""GGUF files as bytes to be bent: written by hand, or taken apart and put together again with something wrong in them.

Independent of the reader in model/gguf. Source: the GGUF specification.
"""

import struct

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def string(value):
    return struct.pack("<I", STRING) + text(value)


def number(value):
    return struct.pack("<II", U32, value)


def real(value):
    return struct.pack("<If", F32, value)


def strings(values):
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


class Gguf:
    """metadata: {key: encoded type and value}; tensors: [name, dims (fastest first), type, offset]; data: bytes."""

    def __init__(self, metadata=None, tensors=None, data=b""):
        self.metadata, self.tensors, self.data = dict(metadata or {}), list(tensors or []), bytearray(data)
        self.num_tensors = None  # what the header claims, where that is a lie

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            raw = file.read()
        at = 24

        def take(form):
            nonlocal at
            values = struct.unpack_from("<" + form, raw, at)
            at += struct.calcsize("<" + form)
            return values if len(values) > 1 else values[0]

        def take_text():
            nonlocal at
            length = take("Q")
            at += length
            return raw[at - length : at]

        def skip(kind):
            nonlocal at
            if kind == STRING:
                take_text()
            elif kind == ARRAY:
                inner, count = take("IQ")
                for _ in range(count):
                    skip(inner)
            else:
                at += SIZES[kind]

        num_tensors, num_entries = struct.unpack_from("<QQ", raw, 8)
        gguf = cls()
        for _ in range(num_entries):
            key, begin = take_text().decode(), at
            skip(take("I"))
            gguf.metadata[key] = raw[begin:at]
        for _ in range(num_tensors):
            name = take_text().decode()
            dims = [take("Q") for _ in range(take("I"))]
            kind, offset = take("IQ")
            gguf.tensors.append([name, dims, kind, offset])
        gguf.header_bytes = at
        gguf.data = bytearray(raw[-(-at // ALIGNMENT) * ALIGNMENT :])
        return gguf

    def tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor[0] == name)

    def bytes(self):
        count = len(self.tensors) if self.num_tensors is None else self.num_tensors
        raw = b"GGUF" + struct.pack("<IQQ", 3, count, len(self.metadata))
        for key, value in self.metadata.items():
            raw += text(key) + value
        for name, dims, kind, offset in self.tensors:
            raw += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", dim) for dim in dims)
            raw += struct.pack("<IQ", kind, offset)
        return raw + b"\0" * (-len(raw) % ALIGNMENT) + bytes(self.data)
