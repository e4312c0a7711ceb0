# The two sites: directories, ports, configuration, servers.
# shellcheck shell=bash

pg_bin=/usr/lib/postgresql/15/bin
release=$root/build/release
declare -A nats_port pg_port http_port
ports_taken=' '

# A port that nobody listens on, below those that the system hands out by itself.
pick_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        case "$ports_taken" in *" $port "*) continue ;; esac
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            ports_taken+="$port "
            picked=$port
            return
        fi
    done
}

# PostgreSQL refuses to run as root.
as_postgres() {
    "${as_postgres_command[@]}" "$@"
}
as_postgres_command=(env)
[ "$(id -u)" -ne 0 ] ||
    as_postgres_command=(env -C / setpriv --reuid=postgres --regid=postgres --clear-groups)

# Where a site's cluster lives: in the demo, or outside when its user cannot get there.
make_pg_directory() {
    local site=$1 place=$demo/$1/pg
    if [ "$(id -u)" -ne 0 ]; then
        mkdir "$place"
    elif as_postgres test -x "$demo/$site"; then
        install -d -o postgres -g postgres -m 700 "$place"
    else
        local outside
        outside=$(mktemp -d "/var/tmp/antipode-demo-$site.XXXXXX")
        chown postgres:postgres "$outside"
        ln -s "$outside" "$place"
    fi
}

make_sites() {
    local site
    umask 022
    mkdir "$demo/run" "$demo/log" "$demo/work"
    for site in "${sites[@]}"; do
        pick_port && nats_port[$site]=$picked
        pick_port && pg_port[$site]=$picked
        pick_port && http_port[$site]=$picked
    done
    for site in "${sites[@]}"; do
        mkdir -p "$demo/$site/nats" "$demo/$site/git" "$demo/$site/files" "$demo/$site/state"
        make_pg_directory "$site"
        as_postgres "$pg_bin/initdb" -D "$(realpath "$demo/$site/pg")" -U antipode -A trust \
            -E UTF8 --locale=C.UTF-8 --no-instructions --no-sync >>"$demo/log/initdb-$site.log" 2>&1
        write_configuration "$site"
    done
}

write_configuration() {
    local site=$1 other
    cat >"$demo/$site/nats.conf" <<END
listen: 127.0.0.1:${nats_port[$site]}
server_name: demo_$site
jetstream { store_dir: "$demo/$site/nats", max_file_store: 4GB, max_memory_store: 64MB }
END
    {
        cat <<END
cluster = "demo"
site = "$site"
state_dir = "$demo/$site/state"
END
        for other in "${sites[@]}"; do
            cat <<END

[[sites]]
name = "$other"
nats = "nats://127.0.0.1:${nats_port[$other]}"
http = "http://127.0.0.1:${http_port[$other]}"
END
        done
        cat <<END

[nats]
store_dir = "$demo/$site/nats"
stream_max_bytes = 2147483648

[http]
listen = "127.0.0.1:${http_port[$site]}"

[[database]]
name = "app"
url = "host=127.0.0.1 port=${pg_port[$site]} dbname=app user=antipode"

[[repositories]]
name = "git"
root = "$demo/$site/git"
check_every = "30s"

[[blobs]]
name = "uploads"
root = "$demo/$site/files"
check_every = "30s"

[tuning]
reconcile_interval = "20s"
END
    } >"$demo/$site/antipode.toml"
}

answers_nats() { (exec 3<>"/dev/tcp/127.0.0.1/${nats_port[$1]}") 2>/dev/null; }

start_nats() {
    start_process "nats-$1" /usr/sbin/nats-server --config "$demo/$1/nats.conf"
    wait_until 30 answers_nats "$1" || fail "nats-server of $1: see $demo/log/nats-$1.log"
}

# One try: false when it ended again (a server that was killed may leave children for a moment).
try_postgres() {
    local site=$1
    is_running "postgres-$site" || start_process "postgres-$site" \
        "${as_postgres_command[@]}" "$pg_bin/postgres" -D "$(realpath "$demo/$site/pg")" \
        -c listen_addresses=127.0.0.1 -c port="${pg_port[$site]}" -c unix_socket_directories= \
        -c wal_level=logical -c max_wal_senders=10 -c max_replication_slots=10 \
        -c max_connections=60 -c shared_buffers=32MB -c max_slot_wal_keep_size=2GB
    "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "${pg_port[$site]}" -U antipode -d postgres
}

start_postgres() {
    wait_until 60 try_postgres "$1" || fail "PostgreSQL of $1: see $demo/log/postgres-$1.log"
    [ -e "$demo/$1/created" ] ||
        "$pg_bin/createdb" -h 127.0.0.1 -p "${pg_port[$1]}" -U antipode app
    touch "$demo/$1/created"
}

answers_http() {
    curl -fsS -m 2 -o /dev/null "http://127.0.0.1:${http_port[$1]}/livez" 2>/dev/null
}

start_daemon() {
    start_process "antipoded-$1" env -u GIT_CONFIG_GLOBAL -u GIT_CONFIG_NOSYSTEM \
        "$release/apps/antipoded/antipoded" --config "$demo/$1/antipode.toml"
    wait_until 30 answers_http "$1" || fail "antipoded of $1: see $demo/log/antipoded-$1.log"
}

# antipode SITE ARGUMENTS...
antipode() {
    local site=$1
    shift
    "$release/apps/antipode/antipode" --config "$demo/$site/antipode.toml" "$@"
}

# sql SITE [psql ARGUMENTS...]
sql() {
    local site=$1
    shift
    "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${pg_port[$site]}" \
        -U antipode -d app "$@"
}

# status_of SITE JQ-FILTER: from the site's own daemon; fails when it does not answer.
status_of() {
    curl -fsS -m 3 "http://127.0.0.1:${http_port[$1]}/v1/status" 2>/dev/null | jq -er "$2"
}
