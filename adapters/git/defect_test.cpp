// What git fsck says of repositories that are odd, and of some that are broken.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/git/repositories.hpp"
#include "base/clock.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::git {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Defects : public testing::Test {
  protected:
    Defects() { git({"init", "-q", "--bare", "-b", "main", place().string()}); }

    fs::path place() const { return directory_ / "root" / "r.git"; }
    static std::string git(std::vector<std::string> arguments, const std::string& input = {}) {
        arguments.insert(arguments.begin(), {"git", "-c", "safe.directory=*"});
        std::string output = test::must_run(arguments, input);
        while (output.ends_with('\n')) {
            output.pop_back();
        }
        return output;
    }
    std::string here(std::vector<std::string> arguments, const std::string& input = {}) const {
        arguments.insert(arguments.begin(), {"-C", place().string()});
        return git(std::move(arguments), input);
    }
    /// Of an empty tree; `when`: as it stands in the commit.
    std::string commit(const std::string& when = "1700000000 +0000") const {
        const std::string tree = here({"hash-object", "-t", "tree", "-w", "/dev/null"});
        return here({"hash-object", "-t", "commit", "-w", "--literally", "--stdin"},
                    "tree " + tree + "\nauthor A <a@b.c> " + when + "\ncommitter A <a@b.c> " +
                        when + "\n\nmessage " + std::to_string(++commits_) + "\n");
    }
    fs::path loose_object(const std::string& oid) const {
        return place() / "objects" / oid.substr(0, 2) / oid.substr(2);
    }
    std::string defect() { return repositories_.defect("r.git", {}); }
    void make_odd();

    test::TemporaryDirectory directory_;
    const SystemClock clock_;
    GitRepositories repositories_{
        {.root = (fs::create_directories(directory_ / "root"), directory_ / "root"),
         .packs_directory = {},
         .strict_objects = false},
        clock_};
    mutable int commits_ = 0;
};

void Defects::make_odd() {
    EXPECT_EQ(defect(), "") << "without commits";
    const std::string oid = commit();
    here({"update-ref", "refs/meta/config", oid});
    here({"update-ref", "refs/heads/main", oid});
    EXPECT_EQ(defect(), "");
    here({"symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/nowhere"});
    EXPECT_EQ(defect(), "") << "a symbolic ref that leads nowhere";
    here({"symbolic-ref", "HEAD", "refs/meta/config"});
    EXPECT_EQ(defect(), "") << "HEAD outside of refs/heads";
    const std::string tag =
        here({"mktag"}, "object " + oid + "\ntype commit\ntag t\ntagger A <a@b.c> 1 +0000\n\nt\n");
    fs::create_directories(place() / "refs/heads");
    test::write_file(place() / "refs/heads/tagged", tag + "\n");
    EXPECT_EQ(defect(), "") << "a branch that names a tag";
    const std::string blob = here({"hash-object", "-w", "--stdin"}, "content");
    here({"update-ref", "refs/tags/blob", blob});
    EXPECT_EQ(defect(), "");
    // More remarks than what is usually kept of what git says.
    for (int i = 0; i < 250; ++i) {
        here({"update-ref", "refs/odd/" + std::to_string(i), commit("yesterday")});
    }
}

TEST_F(Defects, AreNoneInWhatIsOnlyOdd) {
    make_odd();
    EXPECT_EQ(defect(), "");
    const std::string lost = commit();
    here({"update-ref", "refs/heads/lost", lost});
    fs::remove(loose_object(lost));
    EXPECT_THAT(defect(), HasSubstr(lost)) << "among all of that";
}

/// Somebody pushes all the time.
class DefectsMeanwhile : public Defects {
  protected:
    /// `push`: how $made, on which nothing was built yet, becomes main.
    void begin(const std::string& push) {
        std::string paths;  // it takes a while to read them
        for (int i = 0; i < 1000; ++i) {
            const fs::path path = directory_ / "blobs" / std::to_string(i);
            test::write_file(path, std::to_string(i));
            paths += path.string() + "\n";
        }
        here({"hash-object", "-w", "--stdin-paths"}, paths);
        fs::remove(count());
        test::Process::Options options = test::git_environment();
        options.directory = place();
        pushes_ = test::Process(
            {"sh", "-c",
             "tree=$(git hash-object -t tree -w /dev/null); "
             "while n=$((n + 1)); made=$(echo $n | git commit-tree -p main $tree); do " +
                 push + " echo $n > $0; done",
             count().string()},
            options);
        ASSERT_TRUE(test::eventually([&] { return fs::exists(count()); }));
        begun_at_ = test::read_file(count());
    }
    /// Whether it was so all the time.
    void expect_meanwhile() const { EXPECT_NE(test::read_file(count()), begun_at_); }
    fs::path count() const { return directory_ / "count"; }

    static constexpr const char* loose = "git update-ref refs/heads/main $made;";
    static constexpr const char* as_pack =
        "echo $made | git pack-objects -q objects/pack/pack; git prune-packed -q; "
        "git update-ref refs/heads/main $made;";
    static constexpr const char* pack_anew =
        "git update-ref refs/heads/main $made; "
        "new=$(echo refs/heads/main | git pack-objects --revs -q objects/pack/pack); "
        "rm -f objects/pack/pack-$old.*; old=$new; git prune-packed -q;";

    test::Process pushes_;
    std::string begun_at_;
};

TEST_F(DefectsMeanwhile, AreNoneInWhatIsPushed) {
    make_odd();
    begin(loose);
    for (int look = 0; look < 30; ++look) {
        EXPECT_EQ(defect(), "");
    }
    expect_meanwhile();
}

TEST_F(DefectsMeanwhile, AreNoneInWhatIsPackedAnew) {
    here({"update-ref", "refs/heads/main", commit()});
    begin(pack_anew);
    for (int look = 0; look < 100; ++look) {
        EXPECT_EQ(defect(), "");
    }
    expect_meanwhile();
}

TEST_F(DefectsMeanwhile, AreNamedWhereItIsPackedAnewAndNotPushed) {
    const std::string lost = commit();
    here({"update-ref", "refs/heads/main", lost});
    begin(loose);
    const std::string next = here({"rev-list", "--reverse", lost + "..main"}).substr(0, 40);
    pushes_.kill();
    fs::remove(loose_object(lost));
    const std::string tip = here({"rev-parse", "main"});
    begin(
        "echo $n > again; blob=$(git hash-object -w again); "
        "new=$(printf '" +
        tip +
        "\\n'$blob | git pack-objects -q objects/pack/pack); "
        "rm -f objects/pack/pack-$old.*; old=$new; git prune-packed -q;");
    for (int look = 0; look < 30; ++look) {
        EXPECT_THAT(defect(), HasSubstr(next));
    }
    expect_meanwhile();
}

TEST_F(DefectsMeanwhile, AreNamedHoweverItIsPushed) {
    for (const char* push : {loose, as_pack}) {
        const std::string lost = commit();
        here({"update-ref", "refs/heads/main", lost});
        begin(push);
        const std::string next = here({"rev-list", "--reverse", lost + "..main"}).substr(0, 40);
        fs::remove(loose_object(lost));
        for (int look = 0; look < 10; ++look) {
            EXPECT_THAT(defect(), HasSubstr(next)) << push;
        }
        expect_meanwhile();
        pushes_.kill();
    }
}

TEST_F(Defects, AreNamedInLooseObjects) {
    std::string content;  // what repeats itself can be written in several ways
    for (uint32_t i = 0, x = 1; i < 3000; ++i) {
        content += static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    }
    const std::string blob = here({"hash-object", "-w", "--stdin"}, content);
    here({"update-ref", "refs/tags/blob", blob});
    EXPECT_EQ(defect(), "");
    fs::permissions(loose_object(blob), fs::perms::owner_all);
    const std::string bytes = test::read_file(loose_object(blob));
    for (size_t at = 3; at < bytes.size(); at += bytes.size() / 25) {
        std::string changed = bytes;
        changed[at] = static_cast<char>(changed[at] ^ 0x10);
        test::write_file(loose_object(blob), changed);
        EXPECT_THAT(defect(), HasSubstr("git fsck: ")) << at;
    }
    test::write_file(loose_object(blob), "");
    EXPECT_THAT(defect(), HasSubstr("git fsck: ")) << "empty";
    test::write_file(loose_object(blob), bytes.substr(0, bytes.size() - 3));
    EXPECT_THAT(defect(), HasSubstr("git fsck: ")) << "cut";
    const std::string other = here({"hash-object", "-w", "--stdin"}, "other");
    fs::copy_file(loose_object(other), loose_object(blob), fs::copy_options::overwrite_existing);
    EXPECT_THAT(defect(), HasSubstr("git fsck: ")) << "another object under its name";
    test::write_file(loose_object(blob), bytes);
    EXPECT_EQ(defect(), "");
}

TEST_F(Defects, AreNamedAnywhereInAPack) {
    std::string before;
    for (int i = 0; i < 20; ++i) {
        const std::string blob = here({"hash-object", "-w", "--stdin"},
                                      std::to_string(i * 7919) + std::string(300, 'x'));
        here({"update-ref", "refs/tags/" + std::to_string(i), blob});
    }
    here({"repack", "-adq"});
    EXPECT_EQ(defect(), "");
    for (const auto& entry : fs::directory_iterator(place() / "objects/pack")) {
        const std::string extension = entry.path().extension();
        if (extension != ".pack" && extension != ".idx") {
            continue;
        }
        fs::permissions(entry.path(), fs::perms::owner_all);
        const std::string bytes = test::read_file(entry.path());
        for (size_t at = 0; at < bytes.size(); at += bytes.size() / 25) {
            std::string changed = bytes;
            changed[at] = static_cast<char>(~changed[at]);
            test::write_file(entry.path(), changed);
            EXPECT_THAT(defect(), HasSubstr("git fsck: ")) << extension << " at " << at;
        }
        test::write_file(entry.path(), bytes);
    }
    EXPECT_EQ(defect(), "");
}

}  // namespace
}  // namespace antipode::git
