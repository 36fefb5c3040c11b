#!/bin/bash
# asvs - the tests that SECURITY.md says hold something are there. Catches one that was renamed or taken away.
set -eu
failed=0
references=$(sed -n '/^## The panel against OWASP ASVS/,/^## What it is/p' SECURITY.md |
    grep -oE '`(test_[a-z_]+\.py::test_[a-z_0-9]+|(unit|fuzz)/[a-z_-]+\.(c|sh))`' | tr -d '`' | sort -u)
[ "$(wc -l <<<"$references")" -gt 25 ] || { echo "not ok - SECURITY.md names hardly a test"; exit 1; }
for reference in $references; do
    case $reference in
    *::*) grep -q "^def ${reference#*::}(" "t/real/${reference%%::*}" 2>/dev/null ;;
    *) [ -f "t/$reference" ] ;;
    esac && echo "ok - $reference" || { echo "not ok - SECURITY.md names $reference, which is not there"; failed=1; }
done
exit $failed
