"""seeds - writes the seed corpus of a fuzzer from the tables of t/data: seeds.py NAME DIRECTORY

A fuzzer without tables of its own starts from nothing.
"""
import pathlib
import re
import sys

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


def unescape(field):
    """The bytes that a field stands for, as t/unit/table.h reads it."""
    text = re.sub(rb"\{(\d+):([^}]*)\}", lambda m: m[2] * min(int(m[1]), 2000), field)
    plain = {b"t": b"\t", b"n": b"\n"}
    return re.sub(rb"\\(?:x([0-9a-fA-F]{2})|(.))",
                  lambda m: bytes([int(m[1], 16)]) if m[1] else plain.get(m[2], m[2]), text)


def first_fields(*tables):
    for table in tables:
        for line in (DATA / table).read_bytes().splitlines():
            if line and not line.startswith(b"#"):
                yield unescape(line.split(b"\t")[0])


def addr():
    for text in first_fields("addr/valid.txt", "addr/invalid.txt", "addr/asked.txt", "addr/tags.txt"):
        yield b"\0" + text
        yield b"\1" + text


def password():
    for text in first_fields("password.txt"):
        yield text + b"\0alice.smith@clinic.example"


def request():
    texts = re.split(rb"^#.*\n", (DATA / "policy/requests.txt").read_bytes(), flags=re.M)
    real = [text for text in texts if text.strip()]
    for text in [*real, real[0] + real[1], *first_fields("policy/parse.txt")]:
        yield len(text).to_bytes(4, "big")[1:3] + text


def lists():
    texts = [path.read_bytes()[:4000] for path in sorted((DATA / "import").iterdir()) if path.suffix != ".want"]
    for form in range(5):  # any, csv, plain, ldif, paste
        for text in [*texts, *(first_fields("list/paste.txt") if form == 4 else ())]:
            yield bytes([form, 7 * form]) + text


def mime():
    for line in (DATA / "mime/messages.txt").read_bytes().splitlines():
        if line and not line.startswith(b"#"):
            yield unescape(line.split(b"\t")[1])


def lmtp():
    for session in (DATA / "lmtp/sessions.txt").read_bytes().split(b"\n= ")[1:]:
        sent = b""
        for line in session.splitlines():
            if line.startswith(b">>"):
                sent += unescape(line[3:])
            elif line.startswith(b">"):
                sent += unescape(line[2:]) + b"\r\n"
        yield b"\0" + sent
        yield b"\6" + sent


def ldap_entry():
    presets = [b"ad", b"samba", b"openldap", b"custom"]
    for line in (DATA / "ldap/entries").read_bytes().splitlines():
        if line and not line.startswith(b"#"):
            preset, attributes = line.split(b"\t")[:2]
            yield (bytes([presets.index(preset.split(b" ")[0]) if preset.split(b" ")[0] in presets else 3])
                   + b"objectGUID=0123456789abcdef\nentryUUID=0123456789abcdef\n"
                   + unescape(attributes).replace(b";", b"\n"))


MAKERS = {"password": password, "ldap_entry": ldap_entry, "lmtp": lmtp, "mime": mime, "addr": addr, "request": request, "list": lists}


def main(name, directory):
    maker = MAKERS.get(name)
    for number, seed in enumerate(maker() if maker else ()):
        (pathlib.Path(directory) / f"seed-{number:03}").write_bytes(seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
