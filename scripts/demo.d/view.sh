# The live view: what the command line says of both sites, once a second.
# shellcheck shell=bash

view() {
    local screen
    if [ -t 1 ]; then
        printf '\033[2J'
        while true; do
            screen=$(draw)
            # Home, each line cleared to its end, then everything below.
            printf '\033[H%s\033[K\n\033[J' "${screen//$'\n'/$'\033[K\n'}"
            sleep 1
        done
    fi
    how_to_look
    while true; do
        draw_sites
        sleep 10
    done
}

draw() {
    say "Antipode: london (primary) -> sydney (secondary), $(date +%T)," \
        "round $(rounds) of the load. Ctrl-C ends it and leaves nothing behind."
    say
    draw_sites
    say
    how_to_look
}

draw_sites() {
    antipode sydney status 2>&1 || true
    say
    say "sydney, by store"
    antipode sydney lag 2>&1 | grep -v '^Recovery point' || true
    say
    say "london, by store"
    antipode london lag 2>&1 || true
}

how_to_look() {
    local site
    for site in "${sites[@]}"; do
        say "Look at $site: http://127.0.0.1:${http_port[$site]}/ in a browser, or by hand:"
        say "  psql -h 127.0.0.1 -p ${pg_port[$site]} -U antipode app"
        say "  git --git-dir=$demo/$site/git/load.git log --oneline"
        say "  ls $demo/$site/files"
        say "  curl http://127.0.0.1:${http_port[$site]}/v1/status"
        say "  $release/apps/antipode/antipode --config $demo/$site/antipode.toml events tail"
    done
    local sydney="$release/apps/antipode/antipode --config $demo/sydney/antipode.toml"
    say "Damage something below $demo/sydney/files or $demo/sydney/git: it is found within 30 s,"
    say "named in the log and by"
    say "  $sydney failures"
    say "and brought again; or look at once:"
    say "  $sydney verify"
    say "Logs: $demo/log"
}
