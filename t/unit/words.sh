#!/bin/bash
# words - fails when a text of the panel is in no catalogue, when a catalogue has one that nobody uses, or a translation
# with other values in it than the text (t/words.py says how to put it right), when the panel says a refusal of lib as the
# command line does; and when that check is blind
set -eu
python3 t/words.py

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/t"
cp -r panel lib report "$copy"
cp t/words.py "$copy/t"
failed=0

# $1: what is done to the copy, $2: what has to be said then
tried() {
    local said
    (cd "$copy" && eval "$1")
    said=$(python3 "$copy/t/words.py" || true)
    if [[ $said != *"$2"* ]]; then
        echo "not ok - $1: not noticed"
        failed=1
    fi
}
tried "echo '{{_ A text of no catalogue }}' >> panel/templates/top.html" "lacks 'A text of no catalogue'"
tried "echo 'msgid \"Of no page\"' >> lib/locale/fr.po; echo 'msgstr \"x\"' >> lib/locale/fr.po" "'Of no page' is used nowhere"
tried "sed -i 's/ de {chosen}//' lib/locale/es.po" "has other values than"
tried "sed -i 's/^msgstr \"Abmelden\"/msgstr \"\"/' lib/locale/de.po" "'Sign out' is not translated"
tried "sed -i 's/there is nothing to undo/nothing is there to be undone/' lib/roll_undo.c" "say.c does not say what lib/roll_undo.c refuses"
tried "sed -i 's/tied to a domain of/bound to a domain of/' lib/domain_patch.c" "refuses: '%s: bound to a domain of"
[ "$failed" -eq 0 ] && echo "ok - what is wrong is noticed"
exit "$failed"
