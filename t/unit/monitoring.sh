#!/bin/bash
# monitoring - the alert rules and the dashboard speak of metrics that the programs print, and each alert fires when it
# should. Catches a metric that was renamed or never existed: such an alert would be silent for ever.
#
#     t/unit/monitoring.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# what is printed: policyd's families, the gauges of rollcall-ldapsync's table, and report/figures.c
{
    grep -oE '"rollcall_[a-z_]+", "[a-z]+"' policyd/metrics.c | cut -d'"' -f2
    grep -oE 'TYPE rollcall_[a-z_]+ [a-z]+' policyd/metrics.c | cut -d' ' -f2
    sed -n '/^} metrics\[\] = {/,/^};/s/^ *{"\([a-z_]*\)".*/rollcall_ldap_\1/p' sync/ldapmetrics.c
    grep -oE '"rollcall_[a-z_]+"' report/figures.c | tr -d '"'
} | sort -u >"$work/printed"

for file in etc/prometheus/rollcall.rules.yml etc/grafana/rollcall.json; do
    grep -E '"?(expr|query)"?:|^ {10}' "$file" | grep -v 'summary:\|action:' | grep -oE 'rollcall_[a-z_]+' | sort -u >"$work/named"
    missing=$(comm -13 "$work/printed" "$work/named")
    if [ -s "$work/named" ] && [ -z "$missing" ]; then
        echo "ok - $file: $(wc -l <"$work/named") metrics, all of them printed"
    else
        echo "not ok - $file names what nobody prints: ${missing:-nothing at all}"
        failed=1
    fi
done

if python3 -m json.tool etc/grafana/rollcall.json >"$work/json"; then
    echo "ok - the dashboard is JSON"
else
    echo "not ok - the dashboard is no JSON"
    failed=1
fi

alerts=$(grep -c '^ *- alert:' etc/prometheus/rollcall.rules.yml)
tried=$(grep -oE 'alertname="\w+"' etc/prometheus/rollcall.rules.test.yml | sort -u | wc -l)
if [ "$alerts" -ne "$tried" ]; then
    echo "not ok - $alerts alerts, but $tried in rollcall.rules.test.yml"
    failed=1
elif (cd etc/prometheus && promtool check rules rollcall.rules.yml && promtool test rules rollcall.rules.test.yml) >"$work/promtool" 2>&1; then
    echo "ok - $alerts alerts fire when they should"
else
    cat "$work/promtool"
    echo "not ok - promtool complains"
    failed=1
fi
exit "$failed"
