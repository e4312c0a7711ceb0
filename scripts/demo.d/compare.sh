# Compares both sites by means that share nothing with Antipode: pg_dump, git, sha256sum.
# shellcheck shell=bash

outcomes=()
failures=0

# outcome WHAT GOOD|BAD DETAIL
outcome() {
    local verdict=ok
    if [ "$2" != good ]; then
        verdict=FAILED
        failures=$((failures + 1))
    fi
    outcomes+=("$(printf '%-52s %-7s %s' "$1" "$verdict" "$3")")
    printf '  %-52s %-7s %s\n' "$1" "$verdict" "$3"
}

print_outcomes() {
    say
    say "OUTCOME"
    printf '  %s\n' "${outcomes[@]}"
}

# All rows of all of the users' tables as INSERT statements, in an order that does not depend on
# where they lie.
dump_rows() {
    "$pg_bin/pg_dump" -h 127.0.0.1 -p "${pg_port[$1]}" -U antipode --data-only --inserts \
        --exclude-schema=antipode app |
        grep -Ev '^(--|SET |SELECT pg_catalog\.|\\(un)?restrict|$)' | LC_ALL=C sort
}

# The users' schema. Publications, how rows are identified, and the event triggers that tell of DDL
# belong to the primary's replication.
dump_schema() {
    "$pg_bin/pg_dump" -h 127.0.0.1 -p "${pg_port[$1]}" -U antipode --schema-only \
        --exclude-schema=antipode --no-publications --no-subscriptions app |
        sed '/^CREATE EVENT TRIGGER antipode_/,/;$/d' |
        grep -Ev '^(--|SET |SELECT pg_catalog\.|\\(un)?restrict|$)|REPLICA IDENTITY|EVENT TRIGGER'
}

list_repositories() {
    (cd "$demo/$1/git" && find . -name '.antipode*' -prune -o -type f -name HEAD -printf '%h\n' |
        LC_ALL=C sort)
}

# Every ref, HEAD, and whether all objects are there and sound.
dump_repositories() {
    local repository
    list_repositories "$1" | while read -r repository; do
        printf 'repository %s\n' "$repository"
        printf 'HEAD %s\n' "$(cat "$demo/$1/git/$repository/HEAD")"
        git -C "$demo/$1/git/$repository" for-each-ref \
            --format='%(objectname) %(refname) %(symref)'
        git -C "$demo/$1/git/$repository" fsck --full --no-dangling --no-progress 2>&1 ||
            printf 'fsck failed\n'
    done
}

# Permissions, hash and path of every file.
dump_files() {
    (
        cd "$demo/$1/files" || exit
        find . -name '.antipode*' -prune -o -type f -printf '%m %p\0' | LC_ALL=C sort -z |
            tr '\n\0' '?\n'
        find . -name '.antipode*' -prune -o -type f -print0 | LC_ALL=C sort -z |
            xargs -0 sha256sum --
    )
}

# compare NAME DUMP-FUNCTION COUNT-PATTERN UNIT
compare() {
    local name=$1 dump=$2 pattern=$3 unit=$4 site
    for site in "${sites[@]}"; do
        "$dump" "$site" >"$demo/work/$dump-$site.txt" || true
    done
    local london=$demo/work/$dump-london.txt sydney=$demo/work/$dump-sydney.txt
    local count
    count=$(grep -cE "$pattern" "$london" || true)
    if [ "$count" -eq 0 ]; then
        outcome "$name" bad "nothing on london"
    elif grep -q '^fsck failed' "$london" "$sydney"; then
        outcome "$name" bad "git fsck fails: see $sydney"
    elif cmp -s "$london" "$sydney"; then
        outcome "$name" good "$count $unit on both sites"
    else
        outcome "$name" bad "differ: diff $london $sydney"
        diff "$london" "$sydney" | head -20 || true
    fi
}

same_repositories() { [ "$(list_repositories london)" = "$(list_repositories sydney)" ]; }

compare_everything() {
    compare "rows (pg_dump --data-only, sorted)" dump_rows '^INSERT' rows
    compare "schema (pg_dump --schema-only)" dump_schema '^CREATE TABLE' tables
    # That a whole repository was removed is noticed by the reconcile, every 20 s here.
    wait_until 45 same_repositories || true
    compare "repositories (for-each-ref, HEAD, fsck --full)" dump_repositories '^repository' \
        repositories
    compare "files (mode, sha256sum)" dump_files '^[0-7]{3,4} ' files
}
