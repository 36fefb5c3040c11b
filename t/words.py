"""words - the texts of the panel that people read, as its sources have them, and what the catalogues make of them

    python3 t/words.py                  # says what is missing, unused or wrong; exit 1 when something is
    python3 t/words.py --missing de     # the lacking entries of a catalogue, to be filled in and put into lib/locale/de.po

Words of templates: {{_ words }} and {{n count|one|many}}, and the values of {{w name}}. Words of
panel/*.c: the texts in visit_words(), N_(), visit_fail(), refuse(), and of errors that say what is not there. What lib
refuses in SAID has to be a row of panel/say.c. t/unit/words.sh runs it.
"""
import pathlib
import re
import sys

TREE = pathlib.Path(__file__).resolve().parents[1]
LANGUAGES = ("de", "fr", "es")
VALUES = (  # what {{w name}} shows: kinds and states that the database has as words
    "primary", "alias", "group", "active", "disabled", "retired", "add", "replace", "follow", "withdraw", "disable", "enable",
    "undo", "settings", "evidence", "spam", "bulk", "virus", "content")
STRING = r'"(?:[^"\\]|\\.)*"'
STRINGS = rf"{STRING}(?:\s*{STRING})*"
IN_C = re.compile(rf"\b(?:N_\(|SAME\(|visit_words\(\s*visit\s*,|visit_fail\(\s*visit\s*,\s*[^,\"]+,|refuse\(\s*visit\s*,\s*[^,\"]+,"
                  rf"|err_set\(\s*err\s*,\s*ERR_DATA\s*,)\s*({STRINGS})\s*[,)]")
# a choice between two texts: visit_words(visit, that ? "one" : "other")
CHOICE = re.compile(rf"\bvisit_words\(\s*visit\s*,[^\"();]*\?\s*({STRINGS})\s*:\s*({STRINGS})")

# Whatever these refuse reaches readers of the panel: undoing, approving, and changing a domain.
SAID = ("roll_undo.c", "domain_patch.c")
SAMPLES = ("x7", "undone", "approved")  # for each value


def unquote(text):
    joined = "".join(part[1:-1] for part in re.findall(STRING, text))
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), joined)


def template_words(text):
    for found in re.finditer(r"\{\{_\s(.*?)\s*\}\}(?!\})", text, re.S):
        yield found[1].strip(), None
    for found in re.finditer(r"\{\{n\s+[\w.]+\|(.*?)\|(.*?)\}\}(?!\})", text, re.S):
        yield found[1].strip(), found[2].strip()


def c_words(text):
    for found in IN_C.finditer(text):
        if not re.search(r"%[a-z]", found[1]):  # put together of pieces: not for readers
            yield unquote(found[1]), None
    for found in CHOICE.finditer(text):
        yield unquote(found[1]), None
        yield unquote(found[2]), None


def used():
    """{one: (many or None, where)}"""
    words = {value: (None, "t/words.py") for value in VALUES}
    for path in sorted((TREE / "panel").rglob("*")):
        find = {".html": template_words, ".c": c_words}.get(path.suffix)
        if path.name.startswith("template"):
            find = template_words if path.suffix == ".html" else None
        for one, many in find(path.read_text()) if find else ():
            if one and not (one in words and many is None):
                words[one] = (many, path.relative_to(TREE))
    return words


def catalogue(language):
    """{msgid: [msgstr, ...]}"""
    entries, fields, key = {}, {}, None
    for line in [*(TREE / f"lib/locale/{language}.po").read_text().splitlines(), ""]:
        found = re.match(rf"(msgid|msgid_plural|msgstr(?:\[\d\])?)\s+({STRING})$", line)
        if found:
            if found[1] == "msgid" and "msgid" in fields:
                entries[fields["msgid"]] = fields
                fields = {}
            key = found[1]
            fields[key] = unquote(found[2])
        elif line.startswith('"'):
            fields[key] += unquote(line)
    if "msgid" in fields:
        entries[fields["msgid"]] = fields
    return {one: (fields.get("msgid_plural"), [text for name, text in sorted(fields.items()) if name.startswith("msgstr")])
            for one, fields in entries.items() if one}


def placeholders(text):
    return sorted(re.findall(r"\{[a-z_.0-9]+\}|%(?:lld|s|d|u)", text))


def elsewhere():
    """The texts of the other programs: whatever stands between quotes in their sources."""
    found = set()
    for room in ("lib", "report"):
        for path in (TREE / room).glob("*.c"):
            found |= {unquote(text) for text in re.findall(STRINGS, path.read_text())}
    return found


def sayings():
    table = re.search(r"sayings\[\] = \{(.*?)\n\};", (TREE / "panel/say.c").read_text(), re.S)[1]
    for found in re.finditer(rf"(?:SAME\(|^\s*\{{)\s*({STRINGS})", table, re.M):
        pieces = re.split(r"(\{[^}]*\})", unquote(found[1]))
        yield re.compile("".join("(.*?)" if piece.startswith("{") else re.escape(piece) for piece in pieces), re.S)


def refusals(text):
    """What stands in err_set(), and the complaints about domains, which stand behind their names."""
    for found in re.finditer(rf"err_set\(\s*err,\s*ERR_(?:DATA|USAGE),\s*({STRINGS})", text):
        if not re.search(r": (?:%s)+$", unquote(found[1])):  # put together of pieces
            yield unquote(found[1])
    for found in re.finditer(rf"(?:({STRINGS}),\s*err\)|complaint\[\] = ({STRINGS});)", text):
        if "domain_refuse" in text[:found.start()].rsplit(";", 1)[-1] or found[2]:
            yield "%s: " + unquote(found[1] or found[2])


def unsaid():
    rows = list(sayings())
    for name in SAID:
        for refusal in refusals((TREE / "lib" / name).read_text()):
            if not any(row.fullmatch(re.sub(r"%(?:lld|s|d|u)", sample, refusal)) for row in rows for sample in SAMPLES):
                yield f"panel/say.c does not say what lib/{name} refuses: {refusal!r}"


def problems():
    words, others = used(), elsewhere()
    yield from unsaid()
    for language in LANGUAGES:
        known = catalogue(language)
        for one, (many, where) in words.items():
            if one not in known:
                yield f"lib/locale/{language}.po lacks {one!r} ({where})"
            elif many != known[one][0] and many is not None:
                yield f"lib/locale/{language}.po: {one!r} has the plural {known[one][0]!r}, {where} has {many!r}"
        for one, (many, texts) in known.items():
            if one not in words and one not in others:
                yield f"lib/locale/{language}.po: {one!r} is used nowhere"
            for text in texts:
                if not text.strip():
                    yield f"lib/locale/{language}.po: {one!r} is not translated"
                elif placeholders(text) not in (placeholders(one), placeholders(many or one)):
                    yield f"lib/locale/{language}.po: {one!r} has other values than {text!r}"


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def print_missing(language):
    known = catalogue(language)
    for one, (many, where) in used().items():
        if one in known:
            continue
        print(f"#: {where}\nmsgid {quote(one)}")
        if many is None:
            print('msgstr ""\n')
        else:
            print(f'msgid_plural {quote(many)}\nmsgstr[0] ""\nmsgstr[1] ""\n')


def main():
    if sys.argv[1:2] == ["--missing"]:
        print_missing(sys.argv[2])
        return 0
    found = list(problems())
    for text in found:
        print(f"not ok - {text}")
    if not found:
        print(f"ok - {len(used())} texts in {', '.join(LANGUAGES)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
