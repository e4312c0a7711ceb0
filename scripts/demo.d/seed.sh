# Real input for the demo: this project's own history and files, and rows that refer to them.
# shellcheck shell=bash

seed() {
    say "Seeding repositories, files and rows on london"
    seed_repositories
    seed_files
    seed_rows
}

# The checkout's history; where there is none (or a part only), one made of its folders.
seed_repositories() {
    local git_root=$demo/london/git
    if [ "$(git -C "$root" rev-parse --is-shallow-repository 2>/dev/null)" = false ]; then
        git clone --quiet --bare --no-hardlinks "$root" "$git_root/antipode.git"
        # A worktree's HEAD may name a branch that a clone of it lacks.
        git -C "$git_root/antipode.git" rev-parse -q --verify HEAD >/dev/null ||
            git -C "$git_root/antipode.git" symbolic-ref HEAD \
                "$(git -C "$git_root/antipode.git" for-each-ref --count=1 \
                    --format='%(refname)' refs/heads)"
    else
        make_repository antipode.git base protocol adapters primary secondary failover apps
    fi
    mkdir "$git_root/team"
    make_repository team/scripts.git scripts cmake
    make_repository team/tests.git tests
    git -C "$git_root/team/tests.git" branch --no-track old main~1
    git -C "$git_root/team/tests.git" tag -a -m "a tag with a message" v1 main
    git -C "$git_root/team/scripts.git" symbolic-ref refs/heads/alias refs/heads/main
    git init --quiet --bare "$git_root/load.git"
}

# make_repository NAME FOLDER...: a commit for each folder of the checkout.
make_repository() {
    local name=$1 work=$demo/work/seed folder
    shift
    git init --quiet "$work"
    for folder in "$@"; do
        mkdir -p "$work/$folder"
        cp -r "$root/$folder/." "$work/$folder"
        git -C "$work" add .
        git -C "$work" commit --quiet --message="Add $folder"
        git -C "$work" commit --quiet --allow-empty --message="Look at $folder again"
    done
    git clone --quiet --bare "$work" "$demo/london/git/$name"
    git -C "$demo/london/git/$name" remote remove origin
    rm -rf "$work"
}

seed_files() {
    local files=$demo/london/files folder
    for folder in base protocol adapters primary secondary apps tests scripts docs; do
        mkdir -p "$files/source/$folder"
        cp -r "$root/$folder/." "$files/source/$folder"
    done
    mkdir -p "$files/odd/a folder" "$files/large"
    echo blank >"$files/odd/a folder/with blanks"
    echo unicode >"$files/odd/naïve-文件.txt"
    echo newline >"$files/odd/new"$'\n'"line"
    echo bytes >"$files/odd/"$'byte-\xff'
    echo dash >"$files/odd/-rf"
    : >"$files/odd/empty"
    echo private >"$files/odd/private"
    chmod 600 "$files/odd/private"
    head -c 3000000 /dev/urandom >"$files/large/3 MB"
    head -c 20000000 /dev/urandom >"$files/large/20 MB"
}

seed_rows() {
    sql london <<'END'
CREATE TABLE projects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    repository text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE commits (
    project_id bigint NOT NULL REFERENCES projects,
    oid text NOT NULL,
    author text NOT NULL,
    committed_at timestamptz NOT NULL,
    subject text NOT NULL,
    PRIMARY KEY (project_id, oid));
CREATE TABLE attachments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL,
    commit_oid text NOT NULL,
    path text NOT NULL UNIQUE,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    note text,
    details jsonb,
    FOREIGN KEY (project_id, commit_oid) REFERENCES commits ON DELETE CASCADE);
CREATE TABLE audit (at timestamptz NOT NULL, what text NOT NULL);
END
    local repository name
    for repository in antipode.git team/scripts.git team/tests.git load.git; do
        name=${repository%.git}
        sql london -v name="$name" -v repository="$repository" <<'END'
INSERT INTO projects (name, repository) VALUES (:'name', :'repository');
END
        git -C "$demo/london/git/$repository" log --all --format='%H%x09%an%x09%cI%x09%s' |
            tr -d '\\' | awk -F '\t' -v OFS='\t' 'NF == 4' >"$demo/work/commits.tsv"
        sql london <<END
CREATE TEMPORARY TABLE incoming (oid text, author text, committed_at timestamptz, subject text);
\\copy incoming FROM '$demo/work/commits.tsv'
INSERT INTO commits SELECT (SELECT id FROM projects WHERE name = '$name'), oid, author,
    committed_at, subject FROM incoming ON CONFLICT DO NOTHING;
END
    done
    # Each source file is an attachment of the newest commit.
    (cd "$demo/london/files" &&
        find source -type f -exec sha256sum {} +) |
        awk 'NR <= 400 {print substr($0, 67) "\t" $1}' >"$demo/work/attachments.tsv"
    sql london <<END
CREATE TEMPORARY TABLE incoming (path text, sha256 text);
\\copy incoming FROM '$demo/work/attachments.tsv'
INSERT INTO attachments (project_id, commit_oid, path, size, sha256, note)
    SELECT c.project_id, c.oid, i.path, 0, i.sha256, repeat('a longer note ', 20)
    FROM incoming i, (SELECT * FROM commits ORDER BY committed_at DESC LIMIT 1) c;
INSERT INTO audit VALUES (now(), 'seeded'), (now(), 'seeded');
END
}
