#!/bin/bash
# docs - the handbook speaks of what exists: each command and option, setting, unit, reason code and page named in docs/
# and debian/*.README.Debian. Catches what was renamed or never built.
#
#     t/unit/docs.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
build=$1
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pages=(README.md SECURITY.md docs/*.md debian/*.README.Debian)

complain() {
    echo "not ok - $*"
    failed=1
}

# commands: "rollcall verb noun --option", on lines of their own or between backticks; a line may go on after "\"
cat "${pages[@]}" | sed -e ':a;/\\$/{N;s/\\\n//;ba}' >"$work/text"
sed -E 's,runuser -u postgres -- rollcall -c /dev/null,rollcall,' "$work/text" | grep -oE '(^ {4,}|`)rollcall [a-z][^`#|]*' |
    sed -E 's/^.*`|^ +//' |
    sort -u >"$work/commands"
[ "$(wc -l <"$work/commands")" -gt 30 ] || complain "only $(wc -l <"$work/commands") commands were found in the handbook"
"$build/bin/rollcall" --help --json | grep -oE '"command":"[a-z ]+"' | cut -d'"' -f4 >"$work/known"
while read -r _ first second rest; do
    command=$first
    grep -qx "$first $second" "$work/known" && command="$first $second"
    grep -qE "^$command( |\$)" "$work/known" || { complain "no such command: rollcall $first $second"; continue; }
    if ! grep -qx "$command" "$work/known"; then # a family: "rollcall change"
        [[ ! $second =~ ^[a-z]+$ ]] || complain "no such command: rollcall $first $second"
        continue
    fi
    "$build/bin/rollcall" $command --help >"$work/help" 2>&1 || complain "rollcall $command --help fails"
    for option in $(grep -oE '(^| )--[a-z][a-z-]*' <<<"$second $rest" || true); do
        grep -qE -- "^  +(-., )?$option\b" "$work/help" || complain "rollcall $command has no $option"
    done
done <"$work/commands"

# settings: "name = value" on a line is Rollcall's or Postfix's; `name` with an underscore is not looked at
"$build/bin/rollcall" -c /dev/null config -d | sed 's/ *=.*//' >"$work/settings"
mkdir "$work/postfix"
touch "$work/postfix/main.cf"
postconf -c "$work/postfix" -d 2>/dev/null | sed 's/ *=.*//' >>"$work/settings"
while read -r setting; do
    grep -qx "$setting" "$work/settings" || complain "no such setting: $setting"
done < <(grep -hoE '^ {4,}[a-z_]+ =( |$)|`[a-z_]+ = ' "${pages[@]}" | grep -oE '[a-z_]+' | sort -u)

while read -r unit; do
    [ -e "etc/systemd/$unit" ] || complain "no such unit: $unit"
done < <(grep -hoE 'rollcall-[a-z-]+@?\.(service|socket|timer)' "${pages[@]}" | sort -u)

while read -r code; do
    grep -q "{\"$code\"" lib/verdict.c || grep -qE "^ *\"$code\"|= *\"$code\"|\{ *\"$code\"" lib/verdict.c ||
        complain "no such reason code: $code"
done < <(grep -hoE '(550|450)[^|]*\(([a-z-]+)\)' docs/troubleshooting.md | grep -oE '\([a-z-]+\)$' | tr -d '()' | sort -u)

while read -r page; do
    [ -e "docs/$page" ] || [ -e "$page" ] || complain "no such page: $page"
done < <(grep -hoE '\]\([a-zA-Z./-]+\.md\)' "${pages[@]}" | sed 's/^](//; s/)$//' | sort -u)

[ $failed -ne 0 ] || echo "ok - $(wc -l <"$work/commands") commands in ${#pages[@]} pages, and what they name, exist"
exit "$failed"
