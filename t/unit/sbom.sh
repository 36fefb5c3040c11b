#!/bin/bash
# sbom - the bill of materials names every library that the programs link, with its licence, and SECURITY.md's list is that
# of the programs. Catches a library that came or went unnoticed, and a licence that nobody looked up.
#
#     t/unit/sbom.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# as the packages link them: sanitizers and what comes with them are the tests' own
mkdir "$work/bin"
cp "$build"/bin/rollcall* "$work/bin"
grep -v '^#' debian/libraries | cut -d' ' -f1 | sort -u >"$work/known"
objdump -p "$work"/bin/* | awk '$1 == "NEEDED" { print $2 }' | grep -vE '^lib([alt]san|ubsan|gcc_s|stdc\+\+)\.so' | sort -u >"$work/linked"
if unknown=$(comm -13 "$work/known" "$work/linked") && [ -z "$unknown" ]; then
    echo "ok - the licences of all $(wc -l <"$work/linked") libraries are known"
else
    echo "not ok - not in debian/libraries: $unknown"
    failed=1
fi

# SECURITY.md: its table names each of them, and nothing else
sed -n '/^## What it is built of/,/^All from/p' SECURITY.md | grep '^| ' | grep -v '^| library ' | cut -d'|' -f2 | tr ',' '\n' | sed 's/^ *//; s/ *$//' |
    grep . | sort -u >"$work/told"
while read -r soname _ name; do
    grep -qx "$soname" "$work/linked" && echo "$name"
done < <(grep -v '^#' debian/libraries) | sort -u >"$work/names"
if cmp -s "$work/told" "$work/names"; then
    echo "ok - SECURITY.md names these $(wc -l <"$work/names") and no others"
else
    diff "$work/names" "$work/told" || true
    echo "not ok - SECURITY.md lists other libraries than the programs link"
    failed=1
fi

# the document itself
mkdir "$work/one"
gcc -o "$work/one/x" -x c - -lz <<<'extern const char *zlibVersion(void); int main(void) { return zlibVersion()[0] == 0; }'
debian/sbom one 1.0 "$work/one" >"$work/a.json"
debian/sbom one 1.0 "$work/one" >"$work/b.json"
if cmp "$work/a.json" "$work/b.json" && python3 - "$work/a.json" <<'PYTHON'; then
import json
import sys

bill = json.load(open(sys.argv[1]))
packages = {p["SPDXID"]: p for p in bill["packages"]}
linked = {r["relatedSpdxElement"] for r in bill["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"}
assert linked == {"SPDXRef-libz.so.1", "SPDXRef-libc.so.6"}, linked
zlib = packages["SPDXRef-libz.so.1"]
assert zlib["licenseDeclared"] == "Zlib" and zlib["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/zlib1g@"), zlib
assert bill["spdxVersion"] == "SPDX-2.3" and len(packages) == 3
PYTHON
    echo "ok - the document is JSON, names both libraries, and is the same twice"
else
    echo "not ok - the bill of materials"
    failed=1
fi

gcc -shared -o "$work/libnobody.so.1" -Wl,-soname,libnobody.so.1 -x c - <<<'int nobody;'
gcc -o "$work/one/y" -x c - -x none -Wl,--no-as-needed "$work/libnobody.so.1" <<<'int main(void) { return 0; }'
if ! debian/sbom one 1.0 "$work/one" >/dev/null 2>"$work/error" && grep -q "no licence for libnobody.so.1" "$work/error"; then
    echo "ok - a library that nobody knows is refused"
else
    cat "$work/error"
    echo "not ok - a library that nobody knows passes"
    failed=1
fi
exit "$failed"
