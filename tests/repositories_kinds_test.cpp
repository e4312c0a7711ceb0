// Every kind of repository and of ref that there is, from one root to another, compared by git's
// own means.
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RepositoryKinds : public RepositoriesLane {
  protected:
    std::string on(const std::string& name, const std::vector<std::string>& arguments,
                   const std::string& input = {}) {
        std::vector<std::string> command{"-C", on_primary(name).string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return git(command, input);
    }
    std::string mirrored(const std::string& name, const std::vector<std::string>& arguments) {
        std::vector<std::string> command{"-C", on_secondary(name).string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return git(command);
    }
    void create_with_commit(const std::string& name, const std::vector<std::string>& options = {}) {
        create(name, options);
        std::vector<std::string> command{"init", "--quiet"};
        command.insert(command.end(), options.begin(), options.end());
        const std::string tree = (directory_ / ("work/" + name)).string();
        command.push_back(tree);
        git(command);
        git({"-C", tree, "remote", "add", "origin", on_primary(name).string()});
        commit(name, "main", "1");
        push(name, {"main"});
    }
    /// Every object that refs lead to is the same on both sides, byte for byte.
    void expect_equal_objects(const std::string& name) {
        const auto objects = [](const std::filesystem::path& repository) {
            return run({"sh", "-c",
                        "git -C '" + repository.string() +
                            "' rev-list --objects --all --no-object-names | sort | git -C '" +
                            repository.string() + "' cat-file --batch | sha256sum"},
                       {}, git_environment())
                .output;
        };
        EXPECT_EQ(objects(on_primary(name)), objects(on_secondary(name))) << name;
    }
    /// As gc leaves many refs; git itself takes minutes to write them one by one.
    void write_packed(const std::string& name, const std::string& lines) {
        write_file(on_primary(name) / "packed-refs",
                   "# pack-refs with: peeled fully-peeled sorted \n" + lines);
    }
    std::string raw_object(const std::string& name, const std::string& type,
                           const std::string& bytes) {
        return on(name, {"hash-object", "-w", "-t", type, "--literally", "--stdin"}, bytes);
    }
};

TEST_F(RepositoryKinds, RefsOfEveryKind) {
    for (const std::string format : {"sha1", "sha256"}) {
        const std::string name = "of/" + format + ".git";
        create_with_commit(name, {"--object-format=" + format});
        replicate(name);
        const std::string main = on(name, {"rev-parse", "main"});
        const std::string tree = on(name, {"rev-parse", "main^{tree}"});
        const std::string blob = on(name, {"hash-object", "-w", "--stdin"}, "a blob alone");
        const auto tag = [&](const std::string& of, const std::string& type,
                             const std::string& text) {
            return on(
                name, {"hash-object", "-w", "-t", "tag", "--stdin"},
                "object " + of + "\ntype " + type + "\ntag t\ntagger a <a@b> 1 +0000\n\n" + text);
        };
        const std::string annotated = tag(main, "commit", "of a commit\n");
        const std::string is_signed =
            tag(main, "commit",
                "signed\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n");
        std::string input;
        const auto add = [&](const std::string& ref, const std::string& oid) {
            input += "create " + ref + " " + oid + "\n";
        };
        add("refs/tags/annotated", annotated);
        add("refs/tags/signed", is_signed);
        add("refs/tags/nested", tag(tag(annotated, "tag", "of a tag\n"), "tag", "of that\n"));
        add("refs/tags/of-tree", tag(tree, "tree", "of a tree\n"));
        add("refs/tags/of-blob", tag(blob, "blob", "of a blob\n"));
        add("refs/tags/tree", tree);
        add("refs/tags/blob", blob);
        for (const char* ref :
             {"refs/heads/Case", "refs/heads/case", "refs/heads/\xc3\xbc\xe2\x82\xac",
              "refs/heads/u\xcc\x88", "refs/changes/01/1/meta", "refs/pull/7/head",
              "refs/merge-requests/3/head", "refs/keep-around/x", "refs/environments/a/b",
              "refs/notes/commits", "refs/stash", "refs/replace/x", "refs/remotes/origin/main",
              "refs/bisect/bad", "refs/worktree/w", "refs/meta/config", "refs/a", "refs/cache/1",
              "refs/heads/a/b/c/d/e/f/g/h"}) {
            add(ref, main);
        }
        on(name, {"update-ref", "--stdin"}, input);
        on(name, {"symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"});
        replicate(name);
        expect_equal_refs(name);
        expect_equal_objects(name);

        // Names that stand in each other's way, freed and taken between two looks.
        on(name, {"update-ref", "--stdin"},
           "delete refs/heads/a/b/c/d/e/f/g/h\ndelete refs/a\ndelete refs/heads/case\n");
        on(name, {"update-ref", "--stdin"},
           "create refs/heads/a " + main + "\ncreate refs/a/b " + main + "\n");
        on(name, {"symbolic-ref", "HEAD", "refs/heads/Case"});
        replicate(name);
        expect_equal_refs(name);
        on(name, {"branch", "-m", "Case", "renamed"});  // moves HEAD, too
        replicate(name);
        expect_equal_refs(name);
        EXPECT_EQ(mirrored(name, {"symbolic-ref", "HEAD"}), "refs/heads/renamed");
        // Nothing that a repository does for itself is a change.
        on(name, {"pack-refs", "--all", "--prune"});
        on(name, {"gc", "--quiet", "--prune=now"});
        on(name, {"repack", "-a", "-d", "-f", "-q"});
        EXPECT_FALSE(capture(name).has_value());
        EXPECT_THAT(replicate_reconciled(), IsEmpty());
    }
}

TEST_F(RepositoryKinds, ObjectsThatGitWouldNotWriteToday) {
    create_with_commit("old.git");
    const std::string name = "old.git";
    const std::string blob = on(name, {"hash-object", "-w", "--stdin"}, "x");
    std::string oid;
    for (size_t i = 0; i < blob.size(); i += 2) {
        oid += static_cast<char>(std::stoi(blob.substr(i, 2), nullptr, 16));
    }
    const auto entry = [&](const std::string& mode_and_name) {
        return mode_and_name + std::string(1, '\0') + oid;
    };
    const std::string identity = "author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n";
    int number = 0;
    for (const std::string& tree :
         {entry("0100644 zero-padded"), entry("100664 group-writable"), entry("100644 .git"),
          entry("100644 ..") + entry("100644 a"), entry("100644 b") + entry("100644 a"),
          entry("100644 twice") + entry("100644 twice"), entry("160000 a-gitlink"),
          entry("120000 link"), entry("100644 .gitmodules")}) {
        const std::string written = raw_object(name, "tree", tree);
        const std::string made = raw_object(name, "commit", "tree " + written + "\n" + identity);
        on(name, {"update-ref", "refs/odd/trees/" + std::to_string(number++), made});
    }
    const std::string empty = on(name, {"mktree"}, "");
    for (const std::string& lines :
         {std::string("author nobody <> 0 +0000\ncommitter  <x 99999999999999 +9999\n\nx\n"),
          std::string("author a 1 +0000\ncommitter a <a@b>\n\nno date\n"),
          "author a <a@b> 01 -9999999\ncommitter a <a@b> 1 +0000\nencoding none\n\n\xff\xfe\n"
          "parent " +
              std::string(40, '0') + "\n",
          std::string("author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n\0nul\n", 55)}) {
        const std::string made = raw_object(name, "commit", "tree " + empty + "\n" + lines);
        on(name, {"update-ref", "refs/odd/commits/" + std::to_string(number++), made});
    }
    const std::string tag = raw_object(
        name, "tag", "object " + empty + "\ntype tree\ntag no tagger, with space\n\nx\n");
    on(name, {"update-ref", "refs/tags/odd", tag});
    replicate(name);
    expect_equal_refs(name);
    expect_equal_objects(name);
}

TEST_F(RepositoryKinds, AGitlinkIsNoObject) {
    create_with_commit("r.git");
    const std::string tree = work_tree("r.git").string();
    git({"-C", tree, "update-index", "--add", "--cacheinfo",
         "160000," + std::string(40, 'a') + ",submodule"});
    git({"-C", tree, "commit", "--quiet", "--message", "a submodule"});
    push("r.git", {"main"});
    replicate("r.git");
    expect_equal("r.git");
    expect_equal_objects("r.git");
}

TEST_F(RepositoryKinds, HeadOfEveryKind) {
    create("empty.git");
    create("elsewhere.git", {"--initial-branch=no/such/branch"});
    create_with_commit("r.git");
    EXPECT_THAT(replicate_reconciled(), ElementsAre("elsewhere.git", "empty.git", "r.git"));
    for (const char* name : {"empty.git", "elsewhere.git", "r.git"}) {
        expect_equal(name);
    }
    const std::vector<std::vector<std::string>> changes = {
        {"symbolic-ref", "HEAD", "refs/heads/unborn"},
        {"update-ref", "--no-deref", "HEAD", "refs/heads/main"},  // detached
        {"symbolic-ref", "HEAD", "refs/remotes/elsewhere"},
        {"symbolic-ref", "HEAD", "refs/heads/main"},
        {"branch", "-m", "main", "trunk"},
        {"update-ref", "-d", "refs/heads/trunk"}};
    for (const auto& change : changes) {
        on("r.git", change);
        EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git")) << change[0];
        expect_equal_refs("r.git");
    }
}

TEST_F(RepositoryKinds, ShallowOnesEndWhereTheyDoOnThePrimary) {
    create_with_commit("deep.git");
    for (int i = 2; i <= 6; ++i) {
        commit("deep.git", "main", std::to_string(i), "file" + std::to_string(i));
    }
    push("deep.git", {"main"});
    git({"clone", "--quiet", "--bare", "--depth=2", "file://" + on_primary("deep.git").string(),
         on_primary("shallow.git").string()});
    const auto expect_same_history = [&](const std::string& commits) {
        expect_equal_refs("shallow.git");
        expect_equal_objects("shallow.git");
        EXPECT_EQ(mirrored("shallow.git", {"rev-list", "--count", "--all"}), commits);
        EXPECT_EQ(run({"git", "-C", on_secondary("shallow.git").string(), "fsck", "--full"}, {},
                      git_environment())
                      .status,
                  0);
    };
    replicate("shallow.git");
    expect_same_history("2");
    // A push on top of it, one commit more of its past, all of it.
    const std::string tip = on("shallow.git", {"rev-parse", "main"});
    const std::string next = on("shallow.git", {"commit-tree", "-m", "next", "-p", tip,
                                                on("shallow.git", {"rev-parse", "main^{tree}"})});
    on("shallow.git", {"update-ref", "refs/heads/main", next});
    replicate("shallow.git");
    expect_same_history("3");
    on("shallow.git", {"fetch", "--quiet", "--depth=4", "origin", "main"});
    EXPECT_THAT(replicate_reconciled(), testing::Contains("shallow.git"));
    expect_same_history("5");
    on("shallow.git", {"fetch", "--quiet", "--unshallow", "origin", "main"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("shallow.git"));
    expect_same_history("7");
    EXPECT_FALSE(std::filesystem::exists(on_secondary("shallow.git") / "shallow"));
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
}

TEST_F(RepositoryKinds, DescriptionsFollowAndNothingElseOfADirectory) {
    create_with_commit("r.git");
    replicate("r.git");
    EXPECT_FALSE(std::filesystem::exists(on_secondary("r.git") / "description"));
    write_file(on_primary("r.git") / "description", "K\xc3\xb6nig, 100 %\tof it\nand a line\n\n");
    on("r.git", {"config", "core.pager", "a program"});
    write_file(on_primary("r.git") / "hooks/post-receive", "#!/bin/sh\n");
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    expect_equal("r.git");
    EXPECT_EQ(read_file(on_secondary("r.git") / "description"),
              "K\xc3\xb6nig, 100 %\tof it\nand a line\n");
    EXPECT_EQ(read_file(on_secondary("r.git") / "config").find("program"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(on_secondary("r.git") / "hooks/post-receive"));
    write_file(on_primary("r.git") / "description", std::string(10'000, 'x'));
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    EXPECT_EQ(read_file(on_secondary("r.git") / "description"), std::string(4096, 'x') + "\n");
    std::filesystem::remove(on_primary("r.git") / "description");
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    EXPECT_FALSE(std::filesystem::exists(on_secondary("r.git") / "description"));
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
}

TEST_F(RepositoryKinds, AHundredThousandRefs) {
    constexpr int count = 100'000;
    create_with_commit("r.git");
    const std::string oid = on("r.git", {"rev-parse", "main"});
    const auto pulls = [&](int step) {
        std::string lines;
        for (int i = 0; i < count; i += step) {
            const std::string number = std::to_string(i);
            lines += oid + " refs/pull/" + std::string(6 - number.size(), '0') + number + "/head\n";
        }
        return lines;
    };
    write_packed("r.git", pulls(1));
    const auto timed = [&](const std::string& what) {
        const auto begin = std::chrono::steady_clock::now();
        replicate("r.git");
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        RecordProperty(what, std::to_string(seconds.count()));
        expect_equal_refs("r.git");
    };
    timed("all, s");
    commit("r.git", "main", "2");
    push("r.git", {"main"});
    on("r.git", {"update-ref", "refs/pull/000001/head", "main"});
    timed("one push, s");
    on("r.git", {"pack-refs", "--all", "--prune"});
    EXPECT_FALSE(capture("r.git").has_value());
    write_packed("r.git", on("r.git", {"rev-parse", "main"}) + " refs/heads/main\n" + pulls(2));
    timed("half of them deleted, s");
    expect_equal("r.git");
}

/// What readers of the mirror see, and what a crash leaves, is all of an atomic push or nothing.
TEST_F(RepositoryKinds, ManyRefsMoveAllOrNoneWhateverDies) {
    constexpr int count = 2000;
    create_with_commit("r.git");
    replicate("r.git");
    std::string oid = on("r.git", {"rev-parse", "main"});
    const auto push_all = [&](const std::string& next) {
        std::string lines;
        for (int i = 0; i < count; ++i) {
            lines += next + " refs/heads/many/" + std::to_string(1000 + i) + "\n";
        }
        write_packed("r.git", lines);
    };
    push_all(oid);
    replicate("r.git");
    const auto values = [&] {
        return run({"sh", "-c",
                    "git -C '" + on_secondary("r.git").string() +
                        "' for-each-ref --format='%(objectname)' refs/heads/many | sort | uniq -c"},
                   {}, git_environment())
            .output;
    };
    const auto expect_one_value = [&] {
        const std::string seen = values();
        EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 1) << seen;
        EXPECT_THAT(seen, testing::HasSubstr(" " + std::to_string(count) + " ")) << seen;
    };
    int killed = 0;
    int delay = 2000;
    for (int round = 0; round < 10; ++round) {
        oid = on("r.git", {"commit-tree", "-m", std::to_string(round), "-p", oid, "main^{tree}"});
        push_all(oid);
        const auto event = capture("r.git");
        ASSERT_TRUE(event.has_value());
        const pid_t pid = fork();
        if (pid == 0) {
            apply(*event);
            _exit(0);
        }
        std::jthread reader([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                expect_one_value();
            }
        });
        const int status = kill_after(pid, std::chrono::microseconds(delay));
        reader.request_stop();
        reader.join();
        killed += WIFEXITED(status) ? 0 : 1;
        delay = WIFEXITED(status) ? delay / 2 : delay + 6000;
        expect_one_value();
        apply_until_done(*event);
        expect_one_value();
        expect_equal_refs("r.git");
    }
    EXPECT_GT(killed, 3);
}

}  // namespace
}  // namespace antipode::test
