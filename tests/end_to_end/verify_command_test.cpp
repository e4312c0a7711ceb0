// Content that somebody damages on a secondary is found, named and brought again; nothing else is.
#include <fstream>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int equal = 0;
constexpr int findings = 3;

/// Every bit of the byte in the middle, and the times stay.
void flip(const fs::path& file) {
    must_run({"chmod", "u+w", file.string()});
    const auto time = fs::last_write_time(file);
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(fs::file_size(file) / 2);
    stream.seekg(middle);
    const int byte = stream.get();
    stream.seekp(middle);
    stream.put(static_cast<char>(~byte));
    stream.close();
    fs::last_write_time(file, time);
}

std::vector<fs::path> files_below(const fs::path& directory, const std::string& extension) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (entry.is_regular_file() && entry.path().extension() == extension) {
            files.push_back(entry.path());
        }
    }
    return files;
}

class Verify : public testing::Test {
  protected:
    void make_file(const std::string& name) const {
        write_file(sites_.london.files_root / name, "content of " + name + std::string(5000, '.'));
    }
    /// With a branch, a tag, and a large file.
    void make_repository(const std::string& name) const {
        const fs::path clone = sites_.temporary.path() / ("clone of " + name);
        const std::string there = (sites_.london.git_root / name).string();
        must_run({"git", "init", "-q", "--bare", "-b", "main", there});
        must_run({"git", "init", "-q", "-b", "main", clone.string()});
        Process::Options options;
        options.directory = clone;
        const auto git = [&](std::vector<std::string> arguments) {
            arguments.insert(arguments.begin(),
                             {"git", "-c", "user.name=Test", "-c", "user.email=test@example.org"});
            must_run(arguments, {}, options);
        };
        for (int i = 0; i < 3; ++i) {
            write_file(clone / ("file " + std::to_string(i)), name + std::to_string(i * 7919));
            git({"add", "."});
            git({"commit", "-q", "-m", "commit " + std::to_string(i)});
        }
        git({"tag", "v1", "HEAD~1"});
        git({"push", "-q", there, "HEAD:refs/heads/main", "HEAD~1:refs/heads/old", "v1"});
    }
    fs::path file(const std::string& name) const { return sites_.sydney.files_root / name; }
    fs::path repository(const std::string& name) const { return sites_.sydney.git_root / name; }
    /// As a program that runs no hooks, past the one that refuses what is not the daemon's.
    void git(const std::string& name, std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(),
                         {"git", "-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-C",
                          repository(name).string()});
        must_run(arguments);
    }
    CommandResult verify(std::vector<std::string> options = {}) const {
        options.insert(options.begin(), "verify");
        return sites_.sydney.antipode(options);
    }
    /// What the daemon named, once each.
    std::string named() const { return read_file(sites_.sydney.directory / "antipoded.log"); }

    TwoSites sites_;
};

TEST_F(Verify, WhateverIsDamagedIsFoundNamedAndBroughtAgain) {
    struct Damage {
        std::string item;
        std::function<void()> make;
        std::string named;  ///< what is said of it
    };
    const std::vector<Damage> of_files = {
        {"flipped", [&] { flip(file("flipped")); }, "its content here is blob-1:"},
        {"cut", [&] { fs::resize_file(file("cut"), 100); }, "its content here is blob-1:"},
        {"grown", [&] { std::ofstream(file("grown"), std::ios::app) << "x"; }, "its content here"},
        {"of the same size", [&] { write_file(file("of the same size"), std::string(5027, 'x')); },
         "its content here"},
        {"empty", [&] { fs::resize_file(file("empty"), 0); }, "its content here"},
        {"missing", [&] { fs::remove(file("missing")); }, "it is missing here"},
        {"linked",
         [&] {
             fs::remove(file("linked"));
             fs::create_symlink("flipped", file("linked"));
         },
         "something that is no plain file"},
        {"dir/below", [&] { fs::remove_all(file("dir")); }, "it is missing here"},
        {"of another mode",
         [&] {
             must_run({"chmod", "0600", file("of another mode").string()});
         },
         "it has mode 0600, "},
        {"touched",
         [&] {
             must_run({"touch", "-d", "2001-02-03", file("touched").string()});
         },
         "time 2001-02-0"},
    };
    const auto pack = [&](const std::string& name) {
        return files_below(repository(name) / "objects/pack", ".pack").at(0);
    };
    const std::vector<Damage> of_repositories = {
        {"flipped.git", [&] { flip(pack("flipped.git")); }, "git fsck: "},
        {"cut.git",
         [&] {
             must_run({"chmod", "u+w", pack("cut.git").string()});
             fs::resize_file(pack("cut.git"), 40);
         },
         "git fsck: "},
        {"no-pack.git", [&] { fs::remove(pack("no-pack.git")); }, "git fsck: "},
        {"index.git", [&] { flip(fs::path(pack("index.git")).replace_extension(".idx")); },
         "git fsck: "},
        {"no-objects.git", [&] { fs::remove_all(repository("no-objects.git") / "objects"); },
         "no git repository"},
        {"extra-ref.git",
         [&] {
             git("extra-ref.git", {"branch", "extra", "main"});
         },
         "its content here is refs-1:"},
        {"moved.git",
         [&] {
             git("moved.git", {"branch", "-f", "old", "main"});
         },
         "its content here is refs-1:"},
        {"lost-ref.git",
         [&] {
             git("lost-ref.git", {"tag", "-d", "v1"});
         },
         "its content here is refs-1:"},
        {"head.git",
         [&] {
             git("head.git", {"symbolic-ref", "HEAD", "refs/heads/old"});
         },
         "its content here is refs-1:"},
        {"no-head.git", [&] { fs::remove(repository("no-head.git") / "HEAD"); },
         "no git repository"},
        {"garbage-ref.git",
         [&] { write_file(repository("garbage-ref.git") / "refs/heads/main", "garbage\n"); },
         "refs/heads/main"},
        {"missing.git", [&] { fs::remove_all(repository("missing.git")); }, "it is missing here"},
    };
    fs::create_directories(sites_.london.files_root / "dir");
    make_file("untouched");
    make_repository("untouched.git");
    for (const Damage& damage : of_files) {
        make_file(damage.item);
    }
    for (const Damage& damage : of_repositories) {
        make_repository(damage.item);
    }
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    CommandResult result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 11 items read again; all are as they were "
                                         "applied\n"));

    git("flipped.git", {"config", "antipode.local", "kept"});
    for (const auto* store : {&of_files, &of_repositories}) {
        for (const Damage& damage : *store) {
            damage.make();
        }
    }
    result = verify({"--timeout", "120"});
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output,
                HasSubstr("repositories/git: 13 items read again; 12 were not: brought again, and "
                          "right now\n"));
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 11 items read again; 10 were not: "));
    const std::string log = named();
    for (const auto* store : {&of_files, &of_repositories}) {
        for (const Damage& damage : *store) {
            EXPECT_THAT(log, testing::ContainsRegex(": " + damage.item +
                                                    ": found by a check of its content: [^\n]*" +
                                                    damage.named));
        }
    }
    EXPECT_THAT(log, testing::Not(HasSubstr("untouched")));
    sites_.expect_equal();
    git("flipped.git", {"config", "antipode.local"});
    result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_EQ(sites_.sydney.status(".exceptions | length"), "0");
    EXPECT_EQ(sites_.sydney.antipode({"failures"}).output, "sydney: nothing failed\n");
}

TEST_F(Verify, UnderLoadNothingIsFoundThatIsRight) {
    Application application(sites_.london);
    application.write();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    auto load = std::async(std::launch::async, [&] {
        for (int i = 0; i < 60; ++i) {
            application.write();
            for (const char* name : {"a", "b"}) {  // the same ones again and again
                write_file(sites_.london.files_root / name, std::to_string(i));
            }
            if (i % 3 == 2) {
                application.remove_oldest();
            }
        }
    });
    int checks = 0;
    while (load.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        const CommandResult result = verify();
        EXPECT_EQ(result.status, equal) << result.output << result.error;
        ++checks;
    }
    load.get();
    EXPECT_GE(checks, 2);
    EXPECT_EQ(sites_.sydney.status("[.stores[].content_check.differed // 0] | add"), "0");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
}

TEST_F(Verify, WhatSomebodyPutHereIsNamedAndRemovedWhenAskedFor) {
    make_file("one");
    make_repository("one.git");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    write_file(file("stray"), "put here by hand");
    fs::copy(repository("one.git"), repository("stray.git"), fs::copy_options::recursive);
    CommandResult result = verify();
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 1 item is here that was never applied, "
                                         "stray first\nTry: antipode resync --store "
                                         "blobs/uploads NAME, which removes"));
    EXPECT_THAT(result.output, HasSubstr("repositories/git: 1 item is here that was never applied, "
                                         "stray.git first\n"));
    EXPECT_TRUE(fs::exists(file("stray")));
    sites_.sydney.antipode({"resync", "--store", "uploads", "stray"});
    sites_.sydney.antipode({"resync", "--store", "git", "stray.git"});
    EXPECT_TRUE(eventually([&] {
        return !fs::exists(file("stray")) && !fs::exists(repository("stray.git"));
    })) << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    sites_.expect_equal();
}

TEST_F(Verify, AStateDatabaseThatIsWrongIsMendedAndWhatIsRightStays) {
    make_file("one");
    make_repository("one.git");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.sydney.kill();
    sqlite::Database(sites_.sydney.directory / "state/registry.db", sqlite::Database::Sync::Full)
        .execute("UPDATE item SET digest = x'00'");
    sites_.sydney.start();
    const CommandResult result = verify({"--timeout", "120"});
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("repositories/git: 1 item read again; 1 was not: brought "
                                         "again, and right now\n"));
    EXPECT_EQ(verify().status, equal);
    sites_.expect_equal();
}

TEST_F(Verify, WhatAnOperatorAsksForIsDoneFromAnyMachine) {
    make_file("one");
    make_file("two");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    fs::remove(file("one"));
    EXPECT_EQ(
        sites_.london.antipode({"resync", "--site", "sydney", "--store", "uploads", "one"}).output,
        "blobs/uploads: 1 item is asked for again; antipode failures\n");
    EXPECT_TRUE(eventually([&] { return fs::exists(file("one")); })) << sites_.describe();

    // Of a disk that is lost nothing is known but that it is empty.
    fs::remove(file("one"));
    fs::remove(file("two"));
    EXPECT_EQ(sites_.sydney.antipode({"resync", "--store", "blobs/uploads", "--all"}).status, 0);
    EXPECT_TRUE(eventually([&] { return fs::exists(file("one")) && fs::exists(file("two")); }))
        << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();

    CommandResult result = sites_.london.antipode({"verify"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.error,
                HasSubstr("london is \"primary\": content is checked on secondaries"));
    result = verify({"blobs/uploads", "one", "-o", "json"});
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    EXPECT_EQ(result.output,
              "{\"schema\":\"antipode.verify/1\",\"site\":\"sydney\",\"state\":\"done\",\"stores\":"
              "[{\"store\":\"blobs/uploads\",\"items\":1,\"differed\":0,\"failing\":0,\"extras\":"
              "0,\"first_extra\":\"\",\"verdict\":\"equal\"}]}\n");
    EXPECT_EQ(verify({"nothing"}).status, 2);
    EXPECT_EQ(sites_.sydney.antipode({"resync", "one"}).status, 2) << "of which store?";
    EXPECT_EQ(sites_.sydney.antipode({"resync"}).status, 2);
    result = verify({"database/app"});
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    EXPECT_THAT(result.output, HasSubstr("database/app: equal"));

    sites_.sydney.kill();
    result = verify({"--site", "sydney"});
    EXPECT_EQ(result.status, 5) << result.output << result.error;
}

}  // namespace
}  // namespace antipode::test
