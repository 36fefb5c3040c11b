#!/bin/bash
# systemd - the units are understood by systemd, and the service stays as closed as it is. Catches a misspelt directive
# (systemd ignores those with a warning) and a sandbox that was opened.
#
#     t/unit/systemd.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for unit in etc/systemd/*.service etc/systemd/*.socket etc/systemd/*.timer; do
    sed -E "s,/usr/s?bin/(rollcall),$build/bin/\1,g" "$unit" >"$work/${unit##*/}"
done

if systemd-analyze verify --man=no --recursive-errors=no "$work"/*.s* 2>"$work/errors" && [ ! -s "$work/errors" ]; then
    echo "ok - the units are understood"
else
    cat "$work/errors"
    echo "not ok - systemd complains"
    failed=1
fi

# 11 is 1.1 on a scale to 10; who is in groups of others (the log's, Postfix's) counts as more exposed
for unit in "$work"/*.service; do
    most=11
    if systemd-analyze security --offline=true --threshold=$most --no-pager "$unit" >"$work/exposure" 2>&1; then
        echo "ok - ${unit##*/}: $(sed -n 's/.*Overall exposure level.*: //p' "$work/exposure")"
    else
        grep -v '^✓' "$work/exposure" || true
        echo "not ok - ${unit##*/}: more exposed than $most tenths"
        failed=1
    fi
done
exit "$failed"
