#!/bin/bash
# results - t/bench/all writes a benchmark's section of RESULTS.md and nothing else, and every benchmark takes the
# options that "all" gives it. Catches notes that a measurement wipes out, and a benchmark that "all" cannot run.
#
#     t/unit/results.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
python3 - <<'PYTHON'
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, "t/bench")
import results

failed = 0


def ok(fine, what):
    global failed
    failed += not fine
    print(("ok - " if fine else "not ok - ") + what)


text = "# Title\n\n## One\n\nnote before\n\n<!-- begin one -->\nold\n<!-- end one -->\n\nnote after\n\n" + results.LAST + "\n\ntried\n"
new = results.put(text, "one", "new \\1 | figures")
ok(new == text.replace("old", "new \\1 | figures"), "a section is written anew, what stands around it stays")
ok(results.put(new, "one", "new \\1 | figures") == new, "twice is once")
added = results.put(text, "two", "second")
ok(added.replace("## t/bench/two\n\n<!-- begin two -->\nsecond\n<!-- end two -->\n\n", "") == text
   and added.index("second") < added.index(results.LAST), "a section that is not there is added before what was tried")
for broken in (text.replace("<!-- end one -->", ""), text + "<!-- begin one -->\n<!-- end one -->",
               text.replace("begin one", "x").replace("end one", "begin one").replace("x -->", "end one -->")):
    try:
        results.put(broken, "one", "new")
        ok(False, f"marks that do not fit are refused: {broken!r}")
    except results.Broken:
        ok(True, "marks that do not fit are refused")
ok(results.section("plain 1.0", "where") == "where\n\n```\nplain 1.0\n```", "what is no table is shown as it was printed")
ok(results.section("# T\n| a |\n|---|\n| 1 |", "where") == "where\n\n### T\n| a |\n|---|\n| 1 |", "tables stay tables")

names, written = results.benchmarks("t/bench"), open("t/bench/RESULTS.md").read()
ok(len(names) > 5, f"benchmarks: {' '.join(names)}")
for name in names:
    begin, _ = results.marks(name)
    ok(results.put(written, name, "x").count(begin) == 1, f"{name}: its marks in RESULTS.md fit, or it has none yet")
    told = subprocess.run([f"t/bench/{name}", "--help"], capture_output=True, text=True).stdout
    ok("--quick" in told and "--build" in told, f"{name} has a short form and a build directory")
sys.exit(failed > 0)
PYTHON
