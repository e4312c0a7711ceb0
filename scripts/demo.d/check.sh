# scripts/demo --check: kills every server once during the load, then holds both sites against each
# other and against what status claims.
# shellcheck shell=bash

now_us() { printf '%s\n' $(($(date +%s%N) / 1000)); }

recovery_point() { status_of sydney '.recovery_point_us // empty'; }
recovery_point_is_known() { recovery_point >/dev/null; }
# passed MICROSECONDS
recovery_point_passed() {
    local point
    point=$(recovery_point) && [ "$point" -gt "$1" ]
}

check() {
    say "Waiting for the initial copy"
    local begun=$SECONDS
    if ! wait_until 180 recovery_point_is_known; then
        outcome "initial copy" bad "no recovery point after 180 s"
        finish_check
    fi
    outcome "initial copy" good "recovery point known after $((SECONDS - begun)) s"
    start_load
    sleep 3
    kill_everything_once
    check_causality
    sleep 3
    stop_load
    wait_for_the_end
    compare_everything
    check_content
    check_idle
    check_recovery_point
    finish_check
}

# kill_once NAME START-FUNCTION SITE
kill_once() {
    say "kill -9 $1 (round $(rounds) of the load)"
    kill_process "$1"
    sleep 2
    "$2" "$3"
    sleep 3
}

kill_everything_once() {
    local before
    before=$(rounds)
    kill_once antipoded-london start_daemon london
    kill_once antipoded-sydney start_daemon sydney
    check_causality
    kill_once nats-london start_nats london
    kill_once nats-sydney start_nats sydney
    check_causality
    kill_once postgres-london start_postgres london
    kill_once postgres-sydney start_postgres sydney
    local after
    after=$(rounds)
    if [ "$after" -gt "$before" ]; then
        outcome "each server killed with -9 once, during the load" good \
            "rounds $before to $after"
    else
        outcome "each server killed with -9 once, during the load" bad "the load stood still"
    fi
}

# No row on sydney names a commit or a file that is not there. What is missing at first may have
# been deleted while we looked: then the row must be gone, too.
check_causality() {
    local oid path missing=0 count=0
    while IFS='|' read -r oid path; do
        count=$((count + 1))
        if ! has_what_it_names "$oid" "$path" && still_there "$path"; then
            missing=$((missing + 1))
            say "  $path or commit $oid is not on sydney, but a row there names it"
        fi
    done < <(sql sydney -c "SELECT commit_oid, path FROM attachments WHERE path LIKE 'load/%'
                            ORDER BY id DESC LIMIT 200" 2>/dev/null)
    [ "$missing" -eq 0 ] ||
        outcome "no row before what it names" bad "$missing of $count rows on sydney"
    causal_rows=$((${causal_rows:-0} + count))
    causal_looks=$((${causal_looks:-0} + 1))
}

has_what_it_names() {
    [ -e "$demo/sydney/files/$2" ] &&
        git -C "$demo/sydney/git/load.git" cat-file -e "$1^{commit}" 2>/dev/null
}

still_there() {
    [ "$(sql sydney -c "SELECT count(*) FROM attachments WHERE path = '$1'")" != 0 ]
}

wait_for_the_end() {
    local end begun=$SECONDS
    end=$(now_us)
    say "Load stopped after $(rounds) rounds; waiting for sydney"
    if wait_until 120 recovery_point_passed "$end"; then
        outcome "sydney catches up" good "$((SECONDS - begun)) s after the end of the load"
    else
        outcome "sydney catches up" bad "recovery point not past the end of the load in 120 s"
        antipode sydney status || true
    fi
    check_causality
    outcome "no row before what it names" good "$causal_rows rows in $causal_looks looks"
}

differed() { status_of sydney '[.stores[].content_check.differed // 0] | add'; }

# Damage on sydney is found, named and mended; until then nothing was called wrong.
check_content() {
    local before file second=0
    before=$(differed)
    file=$(find "$demo/sydney/files/source" -type f -name '*.hpp' -print -quit)
    printf x >>"$file"
    # By this, or by the check that runs every 30 s here, if that was faster.
    antipode sydney verify --timeout 120 >"$demo/work/verify.txt" 2>&1 || true
    antipode sydney verify --timeout 120 >>"$demo/work/verify.txt" 2>&1 || second=$?
    if [ "$before:$(differed):$second" = 0:1:0 ]; then
        outcome "damage on sydney is found and mended" good \
            "$(status_of sydney '[.stores[].content_check.looked // 0] | add') reads of items"
    else
        outcome "damage on sydney is found and mended" bad \
            "$before, then $(differed) differed, then exit $second: $demo/work/verify.txt"
    fi
}

# Lag stays under two seconds when nothing happens.
check_idle() {
    local i lag worst=0 unknown=0
    for ((i = 0; i < 10; i++)); do
        sleep 1
        if lag=$(status_of sydney '.sites[] | select(.site == "sydney") | .lag_seconds // empty')
        then
            worst=$(printf '%s\n%s\n' "$worst" "$lag" | sort -g | tail -1)
        else
            unknown=$((unknown + 1))
        fi
    done
    if [ "$unknown" -eq 0 ] && awk "BEGIN { exit !($worst < 2) }"; then
        outcome "idle lag under 2 s" good "at most $worst s in 10 s"
    else
        outcome "idle lag under 2 s" bad "worst $worst s, unknown $unknown of 10 times"
    fi
    local exceptions
    exceptions=$(status_of sydney '.exceptions | length' || echo '?')
    if [ "$exceptions" = 0 ]; then
        outcome "no exceptions left" good ""
    else
        outcome "no exceptions left" bad "$exceptions items"
        status_of sydney '.exceptions[:5][]' || true
    fi
}

# What was written before an instant is there once the recovery point has passed it.
check_recovery_point() {
    local i late=0 written
    for ((i = 1; i <= 5; i++)); do
        echo "$i" >"$demo/london/files/mark-$i"
        oid=$(push_commit "mark-$i" "mark $i")
        sql london -c "INSERT INTO audit VALUES (now(), 'mark $i')"
        written=$(now_us)
        if ! wait_until 20 recovery_point_passed "$written"; then
            late=$((late + 1))
            say "  the recovery point does not pass mark $i"
        elif ! mark_is_on_sydney "$i" "$oid"; then
            late=$((late + 1))
            say "  the recovery point has passed mark $i, but not all of it is on sydney"
        fi
    done
    if [ "$late" -eq 0 ]; then
        outcome "recovery point is true" good "5 of 5 marks were there when it said so"
    else
        outcome "recovery point is true" bad "$late of 5 marks"
    fi
}

mark_is_on_sydney() {
    [ "$(cat "$demo/sydney/files/mark-$1" 2>/dev/null)" = "$1" ] &&
        [ "$(git -C "$demo/sydney/git/load.git" rev-parse "refs/heads/mark-$1" 2>/dev/null)" = \
            "$2" ] &&
        [ "$(sql sydney -c "SELECT count(*) FROM audit WHERE what = 'mark $1'")" = 1 ]
}

show_logs() {
    local log
    for log in "$demo"/log/*.log; do
        [ -s "$log" ] || continue
        say
        say "==> the end of $log <=="
        tail -n 25 "$log"
    done
}

finish_check() {
    finished=yes
    if [ "$failures" -ne 0 ]; then
        show_logs
        print_outcomes
        say "$failures of ${#outcomes[@]} checks failed"
        exit 1
    fi
    print_outcomes
    say "all ${#outcomes[@]} checks passed"
    exit 0
}
