# SPDX-License-Identifier: Apache-2.0
"""Tar archives, byte by byte: also those that no tool would make. An entry is bytes; a layer is entries."""
import base64


def _octal(value, size):
    if 0 <= value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    return base256(value, size)


def base256(value, size):
    raw = bytearray((value & (256**size - 1)).to_bytes(size, "big"))
    raw[0] = 0xFF if value < 0 else 0x80
    return bytes(raw)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=1000, link=b"", magic="ustar",
           prefix=b"", major=0, minor=0, tail=None, signed=False, raw=None):
    """raw: {offset: bytes} written over the finished header, before the checksum."""
    out = bytearray(512)
    out[0:100] = name[:100].ljust(100, b"\0")
    out[100:108] = _octal(mode, 8)
    out[108:116] = _octal(uid, 8)
    out[116:124] = _octal(gid, 8)
    out[124:136] = _octal(size, 12)
    out[136:148] = _octal(mtime, 12)
    out[156:157] = kind
    out[157:257] = link[:100].ljust(100, b"\0")
    if magic == "ustar":
        out[257:265] = b"ustar\00000"
        out[345:500] = prefix.ljust(155, b"\0")
    elif magic == "gnu":
        out[257:265] = b"ustar  \0"
    if magic and kind in b"34":
        out[329:337] = _octal(major, 8)
        out[337:345] = _octal(minor, 8)
    if tail is not None:
        out[345:345 + len(tail)] = tail
    for at, data in (raw or {}).items():
        out[at:at + len(data)] = data
    out[148:156] = b" " * 8
    total = sum(out) - (256 * sum(b > 127 for b in out) if signed else 0)
    out[148:156] = b"%06o\0 " % (total & 0o777777)
    return bytes(out)


def pax_record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax_header(records, kind=b"x"):
    data = records if isinstance(records, bytes) else b"".join(
        pax_record(_b(k), _b(v)) for k, v in (records.items() if isinstance(records, dict) else records))
    return header(b"PaxHeaders/x", kind, len(data)) + padded(data)


def _b(text):
    return text if isinstance(text, bytes) else text.encode()


def entry(name, kind, data=b"", pax=None, **facts):
    name, data = _b(name), _b(data)
    facts["link"] = _b(facts.get("link", b""))
    if len(name) > 100 and "prefix" not in facts and not (pax and "path" in pax):
        pax = dict(pax or {}, path=name)
    if len(facts["link"]) > 100 and not (pax and "linkpath" in pax):
        pax = dict(pax or {}, linkpath=facts["link"])
    size = facts.pop("size", len(data))
    out = pax_header(pax) if pax else b""
    return out + header(name, kind, size, **facts) + padded(data)


def F(name, data="x", **facts):
    return entry(name, b"0", data, **facts)


def D(name, mode=0o755, **facts):
    return entry(name, b"5", mode=mode, **facts)


def S(name, target, **facts):
    return entry(name, b"2", link=target, mode=0o777, **facts)


def H(name, target, **facts):
    return entry(name, b"1", link=target, **facts)


def W(name):
    """Whiteout of NAME."""
    folder, _, leaf = name.rpartition("/")
    return F((folder + "/" if folder else "") + ".wh." + leaf, "")


def O(folder):
    """Opaque mark."""
    return F((folder + "/" if folder else "") + ".wh..wh..opq", "")


def gnu_long(name, kind=b"L"):
    data = _b(name) + b"\0"
    return header(b"././@LongLink", kind, len(data), magic="gnu") + padded(data)


def gnu_sparse(name, pieces, real_size, data):
    """Old GNU format; pieces beyond 4 go to extension blocks."""
    fields = [b"%011o\0%011o\0" % piece for piece in pieces]
    tail = b"\0" * 41 + b"".join(fields[:4]).ljust(96, b"\0")
    rest = fields[4:]
    tail += (b"\1" if rest else b"\0") + b"%011o\0" % real_size
    out = header(_b(name), b"S", len(data), magic="gnu", tail=tail)
    while rest:
        block, rest = rest[:21], rest[21:]
        out += (b"".join(block).ljust(504, b"\0") + (b"\1" if rest else b"\0")).ljust(512, b"\0")
    return out + padded(data)


def libarchive_xattr(name, value):
    return {"LIBARCHIVE.xattr." + name: base64.b64encode(value).rstrip(b"=")}


END = b"\0" * 1024


def tar(entries, end=END):
    return b"".join(entries) + end
