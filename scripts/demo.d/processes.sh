# Processes of the demo: each has a file run/NAME.pid with its process id and the time it was
# started at, so that nothing else is ever ended, not even when the id is used again.
# shellcheck shell=bash

# The start time of a process in clock ticks since boot (proc(5), field 22 of stat).
start_ticks() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    local -a fields
    read -ra fields <<<"${stat##*) }"
    printf '%s\n' "${fields[19]}"
}

# start_process NAME COMMAND...: in the background, in a session of its own (Ctrl-C ends only the
# demo, which then ends everything in order), output to log/NAME.log.
start_process() {
    local name=$1
    shift
    # The lock on the directory is the demo's alone.
    setsid "$@" >>"$demo/log/$name.log" 2>&1 </dev/null 9>&- &
    local pid=$!
    disown
    printf '%s %s\n' "$pid" "$(start_ticks "$pid" || echo 0)" >"$demo/run/$name.pid"
}

pid_of() {
    local pid ticks
    read -r pid ticks 2>/dev/null <"$demo/run/$1.pid" || return 1
    [ "$(start_ticks "$pid" 2>/dev/null)" = "$ticks" ] || return 1
    printf '%s\n' "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# wait_until SECONDS COMMAND...: polls ten times a second.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

is_gone() { ! is_running "$1"; }

# stop_process NAME [SIGNAL]: asks, waits, then insists.
stop_process() {
    local pid
    if pid=$(pid_of "$1"); then
        kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
        if ! wait_until 20 is_gone "$1"; then
            kill -s KILL "$pid" 2>/dev/null || true
            wait_until 5 is_gone "$1" || true
        fi
    fi
    rm -f "$demo/run/$1.pid"
}

kill_process() {
    local pid
    pid=$(pid_of "$1") || fail "$1 does not run; see $demo/log/$1.log"
    kill -s KILL "$pid"
    wait_until 10 is_gone "$1" || fail "$1 survived kill -9"
}

# In the order in which nobody waits for anybody: clients before their servers.
stop_everything() {
    local site
    stop_process load
    for site in "${sites[@]}"; do stop_process "antipoded-$site"; done
    for site in "${sites[@]}"; do stop_process "postgres-$site" INT; done
    for site in "${sites[@]}"; do stop_process "nats-$site"; done
}
