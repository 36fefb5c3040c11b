"""results - RESULTS.md as a file that programs and people write (pure; t/unit/results.sh tries it)

What a benchmark printed stands between its two marks; everything outside them is people's, and stays as it is:

    <!-- begin policy -->
    ...
    <!-- end policy -->
"""
import pathlib
import re

LAST = "## What was tried, and what it gave"  # sections of new benchmarks come before it


class Broken(ValueError):
    """A mark without the other one, or one that is there twice."""


def marks(name):
    return f"<!-- begin {name} -->", f"<!-- end {name} -->"


def benchmarks(directory):
    """The programs that measure: scripts that can be run, but for "all"."""
    found = [path for path in pathlib.Path(directory).iterdir() if path.is_file() and "." not in path.name
             and path.name != "all" and path.stat().st_mode & 0o111 and path.read_bytes().startswith(b"#!")]
    return sorted(path.name for path in found)


def section(told, line):
    """What stands between the marks: a line of when and where, then what was printed, tables as tables."""
    told = re.sub(r"[ \t]+$", "", told, flags=re.M)
    told = re.sub(r"^(#+) ", lambda found: "#" * max(3, len(found[1])) + " ", told.strip(), flags=re.M)
    if not re.search(r"^\|[ -]*-", told, re.M):
        told = f"```\n{told}\n```"
    return f"{line}\n\n{told}"


def put(text, name, body):
    """The file with that benchmark's section written anew, or added."""
    begin, end = marks(name)
    if text.count(begin) != text.count(end) or text.count(begin) > 1:
        raise Broken(f"RESULTS.md: \"{begin}\" and \"{end}\" must be there once each, or not at all")
    block = f"{begin}\n{body}\n{end}"
    if begin not in text:
        block = f"## t/bench/{name}\n\n{block}\n\n"
        return text.replace(LAST, block + LAST, 1) if LAST in text else f"{text.rstrip()}\n\n{block}"
    before, rest = text.split(begin, 1)
    if end not in rest:
        raise Broken(f"RESULTS.md: \"{end}\" stands before \"{begin}\"")
    return before + block + rest.split(end, 1)[1]
