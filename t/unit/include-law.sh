#!/bin/bash
# include-law - fails when an include points where it must not: up or across between rooms, or to a foreign library
# outside its one place (CONTRIBUTING.md, "The include law")
#
#     t/unit/include-law.sh [BUILD-DIRECTORY [TREE]]     (TREE: another tree to look at, for its own test)
set -eu
cd "${2:-.}"
failed=0

rooms=(lib policyd sync report cli panel)

# A foreign library: which headers are its own, and the one file that may include them (two, where it does two jobs).
libraries() {
    cat <<'TABLE'
libpq-fe\.h|libpq/.*|postgres_ext\.h    lib/db_private.h
db\.h                                   lib/kv_private.h
idn2\.h|uni[a-z]+\.h                    lib/addr.c
sodium\.h|sodium/.*                     lib/secret.c
crypt\.h                                lib/password.c
nettle/.*                               lib/totp.c
systemd/.*                              lib/daemon.c sync/journal.c
zlib\.h                                 lib/list_bytes.c sync/logfile_read.c
csv\.h                                  lib/list_csv.c
gmime/.*|glib.*                         lib/mime.c
curl/.*                                 lib/submit_wire.c
ldap\.h|lber\.h                         lib/directory_private.h
gnutls/.*                               lib/directory_certificate.c
jansson\.h                              cli/out.c
event2/.*|event\.h                      policyd/metrics.c
microhttpd\.h                           panel/http.c
seccomp\.h                              lib/sandbox.c
TABLE
}

complain() {
    echo "not ok - $*"
    failed=1
}

# "FILE HEADER" for each include of the room; HEADER with its quotes or angle brackets.
includes() {
    grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]+[">]' "$1"/*.[ch] 2>/dev/null |
        sed -E 's/^([^:]+):[^"<]*/\1 /'
}

# lib includes lib by bare names; a program includes "lib/…" and its own room.
check_own() {
    local room=$1 file=$2 header=$3
    case $room:$header in
    lib:*/*) complain "$file: \"$header\": lib includes only lib, as \"x.h\"" ;;
    lib:*) [ -f "lib/$header" ] || complain "$file: \"$header\" is not in lib" ;;
    *:lib/* | *:"$room"/*) [ -f "$header" ] || complain "$file: \"$header\" is not there" ;;
    *:*/*) complain "$file: \"$header\": a program includes lib and itself, never another room" ;;
    *) [ -f "$room/$header" ] || complain "$file: \"$header\" is not in $room" ;;
    esac
}

# The C library's and the kernel's headers may be anywhere.
is_system() {
    grep -qxF -- "$1" <<<"$system_headers"
}

check_foreign() {
    local file=$1 header=$2 pattern place
    is_system "$header" && return
    while read -r pattern place; do
        [[ $header =~ ^($pattern)$ ]] || continue
        [[ " $place " == *" $file "* ]] || complain "$file: <$header> enters only $place"
        return
    done < <(libraries)
    complain "$file: <$header> is a foreign library without a place: name one in t/unit/include-law.sh"
}

compiler=$(gcc -print-file-name=include)
system_headers=$(
    dpkg-query -L libc6-dev linux-libc-dev | sed -nE 's,^/usr/include/(([a-z0-9_]+-linux-gnu)/)?(.+\.h)$,\3,p'
    cd "$compiler" && ls ./*.h | sed 's,^\./,,'
)

count=0
for room in "${rooms[@]}"; do
    while read -r file header; do
        count=$((count + 1))
        case $header in
        '"'*) check_own "$room" "$file" "${header:1:-1}" ;;
        *) check_foreign "$file" "${header:1:-1}" ;;
        esac
    done < <(includes "$room")
done
[ "$count" -gt 100 ] || [ -n "${2:-}" ] || complain "only $count includes were found: is this the tree?"

# A header stands by itself: what includes it needs nothing in front.
for room in "${rooms[@]}"; do
    for header in "$room"/*.h; do
        [ -f "$header" ] && [ -z "${2:-}" ] || continue
        gcc -std=c17 -D_GNU_SOURCE -I. "-I$(pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)" \
            -fsyntax-only -x c "$header" 2>/dev/null || complain "$header: does not stand by itself"
    done
done

[ "$failed" -eq 0 ] && echo "ok - $count includes keep the law"
exit "$failed"
