#!/bin/bash
# documented - fails when a setting, command, option or log event is missing in the manuals, the
# settings file or the completion, or stands there although it is gone
#
#     t/unit/documented.sh BUILD-DIRECTORY     (from the top of the tree)
set -eu
build=$1
failed=0

complain() {
    echo "not ok - $*"
    failed=1
}

rollcall() {
    "$build/bin/rollcall" -c /dev/null "$@"
}

# Complains about every line that only one of two lists has: compare WHERE TRUTH WRITTEN
compare() {
    local line
    while read -r line; do
        complain "$1 lacks: $line"
    done < <(comm -23 <(sort -u "$2") <(sort -u "$3"))
    while read -r line; do
        complain "$1 has what is gone: $line"
    done < <(comm -13 <(sort -u "$2") <(sort -u "$3"))
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rollcall config --template >"$work/template"
cmp "$work/template" etc/rollcall.conf ||
    complain "etc/rollcall.conf is not what 'rollcall config --template' prints"

rollcall config -d | sed 's/ *$//' >"$work/settings"
sed -n '/^\.It Cm [a-z_]* No =/{s/^\.It Cm \([a-z_]*\) No = *\(.*\)$/\1 = \2/; s/ Pq R$//; s/"//g; s/ *$//; p}' \
    man/rollcall.conf.5 >"$work/settings.man"
compare man/rollcall.conf.5 "$work/settings" "$work/settings.man"

perl -0777 -ne 's/.*log_events\[LOG_EVENTS\] = \{//s; print "$1 ", lc $2, "\n"
    while /\[LOG_\w+\]\s*=\s*\{\s*"([^"]+)",\s*LEVEL_(\w+)/g' lib/log.c >"$work/events"
sed -n '/^\.Sh LOG EVENTS/,/^\.El/s/^\.It Cm \([a-z-]*\) Pq \([a-z]*\)$/\1 \2/p' man/rollcall-policyd.8 \
    >"$work/events.man"
compare "man/rollcall-policyd.8, LOG EVENTS," "$work/events" "$work/events.man"

grep -oE '"rollcall_[a-z_]+", "[a-z]+"' policyd/metrics.c | tr -d '",' >"$work/metrics"
grep -oE 'TYPE rollcall_[a-z_]+ [a-z]+' policyd/metrics.c | cut -d' ' -f2- >>"$work/metrics"
sed -n '/^\.Sh METRICS/,/^\.El/s/^\.It Cm \([a-z_]*\) Pq \([a-z]*\)$/\1 \2/p' man/rollcall-policyd.8 >"$work/metrics.man"
compare "man/rollcall-policyd.8, METRICS," "$work/metrics" "$work/metrics.man"

grep -oE '"rollcall_panel_[a-z_]+", "[a-z]+"' panel/metrics.c | tr -d '",' >"$work/panel"
grep -oE 'TYPE rollcall_panel_[a-z_]+ [a-z]+' panel/metrics.c | cut -d' ' -f2- >>"$work/panel"
sed -n '/^\.Sh METRICS/,/^\.El/s/^\.It Cm \([a-z_]*\) Pq \([a-z]*\)$/\1 \2/p' man/rollcall-panel.8 >"$work/panel.man"
compare "man/rollcall-panel.8, METRICS," "$work/panel" "$work/panel.man"

if [[ -x $build/bin/rollcall-policyd ]]; then
    "$build/bin/rollcall-policyd" --help | grep -oE '^ +--?[a-z]+' | tr -d ' ' | sed 's/^-//' >"$work/daemon"
    sed -n '/^\.Sh DESCRIPTION/,/^\.Ss/s/^\.It Fl \([a-z-]*\).*/\1/p' man/rollcall-policyd.8 >"$work/daemon.man"
    compare "man/rollcall-policyd.8, DESCRIPTION," "$work/daemon" "$work/daemon.man"
fi

# every option of the others, and none that is gone; some pages speak of another program's option
declare -A elsewhere=([ldapsync]=-notice-contact [panel]=-requests)
for program in observe ldapsync quarantine report panel; do
    "$build/bin/rollcall-$program" --help | grep -oE -- '(^|[ [|(])--?[a-zA-Z][a-z-]*' | tr -d ' [|(' | sed 's/^-//' |
        sort -u >"$work/options"
    [[ $(wc -l <"$work/options") -ge 4 ]] || complain "rollcall-$program --help names hardly an option"
    grep -oE 'Fl -?[a-z-]+' "man/rollcall-$program.8" | cut -c4- | grep -vxF -e "${elsewhere[$program]:-none}" |
        sort -u >"$work/options.man"
    compare "man/rollcall-$program.8" "$work/options" "$work/options.man"
done

# what jobs and the quarantine write for a monitor
{
    grep -ohE 'rollcall_(report|outbox|quarantine|observe|create)_[a-z_]+[a-z]' report/*.c sync/*.c lib/*.c
    sed -nE 's/^ *\{"([a-z_]+)", .*/rollcall_ldap_\1/p' sync/ldapmetrics.c
} | sort -u >"$work/job_metrics"
[[ $(wc -l <"$work/job_metrics") -gt 20 ]] || complain "only $(wc -l <"$work/job_metrics") metrics of jobs were found"
grep -oh 'rollcall_[a-z_]*' man/*.[158] | sort -u >"$work/job_metrics.man"
lacking=$(comm -23 "$work/job_metrics" "$work/job_metrics.man" | xargs)
[[ -z $lacking ]] || complain "no page in man/ has the metrics $lacking"

# "command<TAB>--option" for every command and option; "*<TAB>--option" for those of all commands.
rollcall --help --json | python3 -c '
import json, sys
help = json.load(sys.stdin)
for row in help["commands"]:
    print(row["command"])
for row in help["options"]:
    dashes = "-" if len(row["option"]) == 1 else "--"
    print((row["command"] or "*") + "\t" + dashes + row["option"])
' >"$work/table"
grep -v $'\t' "$work/table" >"$work/commands"
sed -n '/^\.Sh COMMANDS/,/^\.Sh FILES/s/^\.Ss \([a-z -]*[a-z]\).*/\1/p' man/rollcall.1 >"$work/commands.man"
compare "man/rollcall.1, COMMANDS," "$work/commands" "$work/commands.man"

# The part of rollcall.1 about a command; 'domain add' refers to the settings of 'domain set'.
section() {
    if [[ $1 == "*" ]]; then
        sed -n '/^\.Sh DESCRIPTION/,/^\.Sh COMMANDS/p' man/rollcall.1
        return
    fi
    perl -0777 -ne "print /^(\\.Ss $1(?: [A-Z].*?)?\\n.*?)(?=^\\.S[sh] )/ms" man/rollcall.1
    [[ $1 != "domain add" ]] || section "domain set"
}
while IFS=$'\t' read -r command option; do
    section "$command" | grep -qE -- "(Fl |\| )${option#-}( |\$)" ||
        complain "man/rollcall.1 lacks $option of '$command'"
done < <(grep $'\t' "$work/table")

# shellcheck source=/dev/null
source etc/completion/rollcall.bash
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _rollcall
}
while read -r command; do
    # shellcheck disable=SC2086
    set -- $command
    if (($# == 2)); then
        complete_words rollcall "$1" "$2"
    else
        complete_words rollcall "$1"
    fi
    [[ " ${COMPREPLY[*]} " == *" ${*: -1} "* ]] || complain "the completion lacks the command '$command'"
    complete_words rollcall "$@" -
    printf '%s\n' "${COMPREPLY[@]}" >"$work/options.completion"
    grep -e "^$command"$'\t' -e $'^\\*\t' "$work/table" | cut -f2 >"$work/options"
    compare "the completion of '$command'" "$work/options" "$work/options.completion"
done <"$work/commands"

if command -v mandoc >/dev/null; then
    # which other pages are installed here says nothing about ours
    mandoc -T lint man/*.[158] 2>&1 | grep -v -e 'referenced manual not found' -e 'outdated mandoc.db' >"$work/lint" || true
    [[ ! -s $work/lint ]] || complain "mandoc: $(cat "$work/lint")"
fi

((failed == 0)) && echo "ok - everything is documented"
exit $failed
