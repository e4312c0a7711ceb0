# A light load on london: each round uploads a file, pushes a commit that names the file, and
# inserts a row that names both; some rounds change, delete, overwrite or rewrite as well.
# shellcheck shell=bash

load_pause=0.15

start_load() {
    git clone --quiet "$demo/london/git/load.git" "$demo/work/load" 2>/dev/null
    mkdir -p "$demo/london/files/load"
    echo 0 >"$demo/work/rounds"
    run_load >>"$demo/log/load.log" 2>&1 </dev/null 9>&- &
    local pid=$!
    disown
    printf '%s %s\n' "$pid" "$(start_ticks "$pid")" >"$demo/run/load.pid"
}

rounds() { cat "$demo/work/rounds"; }

# Ends the load after the round that runs.
stop_load() {
    touch "$demo/work/stop"
    wait_until 60 is_gone load || fail "the load does not end; see $demo/log/load.log"
    rm -f "$demo/work/stop"
}

run_load() {
    trap - EXIT INT
    trap 'exit 0' TERM HUP
    set +e
    local round
    for ((round = 1; ; round++)); do
        [ ! -e "$demo/work/stop" ] || exit 0
        load_round "$round"
        echo "$round" >"$demo/work/rounds.new"
        mv "$demo/work/rounds.new" "$demo/work/rounds"
        sleep "$load_pause"
    done
}

# persist SQL...: until the server takes it, however often it is killed meanwhile. Every statement
# may run twice.
persist() {
    until sql london -c "$1" 2>>"$demo/log/load-retries.log"; do
        [ ! -e "$demo/work/stop" ] || return
        sleep 0.2
    done
}

load_round() {
    local round=$1 path="load/$1.bin" files=$demo/london/files oid size sum
    size=$((1000 + RANDOM * 3))
    [ $((round % 20)) -ne 0 ] || size=2000000
    head -c "$size" /dev/urandom >"$demo/work/upload"
    sum=$(sha256sum <"$demo/work/upload" | cut -d ' ' -f 1)
    upload "$path"
    oid=$(push_commit main "$path $sum") || return
    persist "INSERT INTO commits SELECT id, '$oid', 'Load', now(), 'names $path' FROM projects
                 WHERE name = 'load' ON CONFLICT DO NOTHING;
             INSERT INTO attachments (project_id, commit_oid, path, size, sha256, details)
                 SELECT id, '$oid', '$path', $size, '$sum', '{\"round\": $round}'
                 FROM projects WHERE name = 'load' ON CONFLICT DO NOTHING"
    if [ $((round % 3)) -eq 0 ]; then
        persist "UPDATE attachments SET note = 'seen in round $round' WHERE id % 7 = $round % 7"
    fi
    if [ $((round % 5)) -eq 0 ]; then
        persist "DELETE FROM attachments WHERE path = 'load/$((round - 4)).bin'"
        rm -f "$files/load/$((round - 4)).bin"
        persist "INSERT INTO audit VALUES (now(), 'deleted load/$((round - 4)).bin')"
    fi
    if [ $((round % 7)) -eq 0 ]; then
        head -c 5000 /dev/urandom >"$demo/work/upload"
        upload load/overwritten.bin
    fi
    [ $((round % 11)) -ne 0 ] || rewrite_branch "$round"
    [ $((round % 17)) -ne 0 ] || make_new_repository "$round"
}

# As an application does it: complete under another name, then moved into place.
upload() {
    cp "$demo/work/upload" "$demo/london/files/.upload.tmp" &&
        mv "$demo/london/files/.upload.tmp" "$demo/london/files/$1"
}

# push_commit BRANCH TEXT: prints the new commit.
push_commit() {
    local work=$demo/work/load oid
    echo "$2" >>"$work/uploads.txt"
    git -C "$work" add uploads.txt &&
        git -C "$work" commit --quiet --message="$2" &&
        oid=$(git -C "$work" rev-parse HEAD) &&
        git -C "$work" push --quiet origin "HEAD:refs/heads/$1" &&
        printf '%s\n' "$oid"
}

# A force-push, a branch that goes, a tag that moves.
rewrite_branch() {
    local work=$demo/work/load oid
    oid=$(git -C "$work" commit-tree -m "rewritten in round $1" 'HEAD^{tree}') &&
        git -C "$work" push --quiet --force origin "$oid:refs/heads/rewritten" \
            "$oid:refs/tags/moving" "HEAD:refs/heads/round-$1"
    [ "$1" -le 11 ] || git -C "$work" push --quiet origin ":refs/heads/round-$(($1 - 11))"
}

# A new repository, and an old one that goes.
make_new_repository() {
    local git_root=$demo/london/git
    git init --quiet --bare --template="$demo/work/template" "$git_root/team/new-$1.git" &&
        git -C "$demo/work/load" push --quiet "$git_root/team/new-$1.git" HEAD:refs/heads/main
    [ "$1" -le 34 ] || rm -rf "$git_root/team/new-$(($1 - 34)).git"
}
