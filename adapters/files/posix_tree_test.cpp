#include "adapters/files/posix_tree.hpp"

#include <array>
#include <barrier>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::files {
namespace {

namespace fs = std::filesystem;

class Tree : public testing::Test {
  protected:
    std::string content(const std::string& path) {
        const auto file = tree.open(path);
        std::string bytes;
        for_each_chunk(*file, 0, [&](std::string_view chunk) {
            bytes += chunk;
            return true;
        });
        return bytes;
    }

    const test::TemporaryDirectory directory;
    const fs::path root = directory.path() / "root";
    PosixTree tree{root};
    void SetUp() override { fs::create_directories(root); }
};

TEST_F(Tree, TellsWhatIsThere) {
    test::write_file(root / "a", "12345");
    ASSERT_EQ(chmod((root / "a").c_str(), 04640), 0);
    const auto stat = tree.stat("a");
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->type, FileType::Regular);
    EXPECT_EQ(stat->size, 5u);
    EXPECT_EQ(stat->mode, 04640u);
    struct stat real {};
    ASSERT_EQ(::stat((root / "a").c_str(), &real), 0);
    EXPECT_EQ(stat->mtime_ns, real.st_mtim.tv_sec * 1'000'000'000 + real.st_mtim.tv_nsec);
    EXPECT_EQ(stat->inode, real.st_ino);
    EXPECT_EQ(tree.stat("")->type, FileType::Directory);
    EXPECT_FALSE(tree.stat("b"));
    EXPECT_FALSE(tree.stat("a/b"));
}

TEST_F(Tree, WritesReadsAndMoves) {
    ASSERT_TRUE(tree.make_directory("d"));
    EXPECT_FALSE(tree.make_directory("d"));
    EXPECT_FALSE(tree.make_directory("x/y"));
    const auto writer = tree.create("d/new");
    writer->write("hello");
    writer->set_metadata(0600, -1);
    writer->sync();
    EXPECT_EQ(tree.rename("d/new", "d/old"), FileTree::Placed::Yes);
    EXPECT_EQ(tree.stat("d/old")->mode, 0600u);
    EXPECT_EQ(tree.stat("d/old")->mtime_ns, -1);
    tree.append("d/old")->write(" world");
    EXPECT_EQ(content("d/old"), "hello world");
    tree.create("d/old")->write("x");
    EXPECT_EQ(content("d/old"), "x");
    tree.sync_directory("d");
    tree.sync_directory("gone");
    tree.barrier()->sync();
    EXPECT_FALSE(tree.remove_directory("d"));
    EXPECT_FALSE(tree.remove("d"));
    EXPECT_TRUE(tree.remove("d/old"));
    EXPECT_FALSE(tree.remove("d/old"));
    EXPECT_TRUE(tree.remove_directory("d"));
    EXPECT_FALSE(tree.remove_directory("d"));
}

/// "12345:12346".
std::string owner_of(const fs::path& path) {
    struct stat found {};
    EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
    return std::to_string(found.st_uid) + ":" + std::to_string(found.st_gid);
}

TEST_F(Tree, WhatIsMadeIsGivenToTheOwnerAtOnce) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root may give files away";
    }
    PosixTree given(root, FileOwner{12345, 12346});
    ASSERT_TRUE(given.make_directory("d"));
    const auto created = given.create("d/a");
    const auto appended = given.append("d/b");
    for (const char* name : {"d", "d/a", "d/b"}) {
        EXPECT_EQ(owner_of(root / name), "12345:12346") << name;
    }
    created->write("a");
    created->set_metadata(0640, 1);
    EXPECT_EQ(given.stat("d/a")->mode, 0640u);
    EXPECT_EQ(given.rename("d/a", "c"), FileTree::Placed::Yes);
    EXPECT_EQ(owner_of(root / "c"), "12345:12346");
    EXPECT_EQ(why_not_given(FileOwner{12345, 12346}), std::nullopt);
}

TEST_F(Tree, WhoMayNotGiveFilesAwayIsTold) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root, to become somebody else";
    }
    const pid_t child = fork();
    if (child == 0) {
        const bool other = setgid(12346) == 0 && setuid(12345) == 0;
        const bool own = other && !why_not_given(FileOwner{12345, 12346});
        const auto why = why_not_given(FileOwner{0, 0});
        _exit(own && why && why->starts_with("cannot be given by user 12345: ") ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(Tree, TellsWhyAFileWasNotPlaced) {
    test::write_file(root / "a", "1");
    fs::create_directories(root / "d");
    EXPECT_EQ(tree.rename("b", "c"), FileTree::Placed::SourceMissing);
    EXPECT_EQ(tree.rename("x/b", "c"), FileTree::Placed::SourceMissing);
    EXPECT_EQ(tree.rename("a", "x/c"), FileTree::Placed::DirectoryMissing);
    EXPECT_EQ(tree.rename("a", "a/c"), FileTree::Placed::DirectoryMissing);
    EXPECT_EQ(tree.rename("a", "d"), FileTree::Placed::DirectoryThere);
}

TEST_F(Tree, LinksFiles) {
    test::write_file(root / "a", "1");
    EXPECT_TRUE(tree.link("a", "b"));
    EXPECT_FALSE(tree.link("a", "b"));
    EXPECT_EQ(tree.stat("a")->inode, tree.stat("b")->inode);
}

TEST_F(Tree, NeverFollowsLinksNorLeavesTheRoot) {
    test::write_file(directory / "secret", "1");
    fs::create_directories(directory / "outside");
    fs::create_symlink("../secret", root / "link");
    fs::create_directory_symlink("../outside", root / "away");
    fs::create_directories(root / "d");
    fs::create_directory_symlink("d", root / "inside");
    EXPECT_EQ(tree.stat("link")->type, FileType::SymbolicLink);
    for (const char* path : {"link", "../secret", "away/x", "/etc/passwd", "inside/x"}) {
        try {
            EXPECT_FALSE(tree.open(path)) << path;
        } catch (const Error&) {
            // Refused just as well.
        }
    }
    EXPECT_THROW(tree.create("link"), Error);
    EXPECT_THROW(tree.create("away/x"), Error);
    EXPECT_THROW(tree.create("../x"), Error);
    EXPECT_FALSE(tree.list("away"));
    EXPECT_FALSE(tree.remove("away/x"));
    test::write_file(root / "a", "1");
    EXPECT_EQ(tree.rename("a", "away/x"), FileTree::Placed::DirectoryMissing);
    EXPECT_TRUE(fs::is_empty(directory / "outside"));
}

TEST_F(Tree, WritesAnywhereInAFile) {
    const auto first = tree.update("a");
    first->write_at(5, "56");
    tree.update("a")->write_at(0, "012345");
    EXPECT_EQ(content("a"), "0123456");
    first->write_zeros_at(1, 2);
    first->write_zeros_at(6, 3);
    EXPECT_EQ(content("a"), std::string("0\0\0"
                                        "345\0\0\0",
                                        9));
    const auto sparse = tree.update("sparse");
    sparse->write_at(0, std::string(1'000'000, 'x'));
    sparse->write_zeros_at(0, 8'000'000);
    struct stat found {};
    ASSERT_EQ(stat((root / "sparse").c_str(), &found), 0);
    EXPECT_EQ(found.st_size, 8'000'000);
    EXPECT_LT(found.st_blocks * 512, 100'000);
    EXPECT_EQ(content("sparse"), std::string(8'000'000, '\0'));
}

TEST_F(Tree, ZerosCutNothingThatAnotherWritesBehindThem) {
    constexpr int rounds = 2000;
    constexpr size_t zeros = 100;
    std::barrier start(2);
    const auto write = [&](const std::function<void(FileWriter&)>& what) {
        for (int i = 0; i < rounds; ++i) {
            start.arrive_and_wait();
            what(*tree.update(std::to_string(i)));
        }
    };
    std::jthread other([&] { write([](FileWriter& file) { file.write_at(zeros, "x"); }); });
    write([](FileWriter& file) { file.write_zeros_at(0, zeros); });
    other.join();
    for (int i = 0; i < rounds; ++i) {
        ASSERT_EQ(content(std::to_string(i)), std::string(zeros, '\0') + "x") << i;
    }
}

TEST_F(Tree, ClonesAFileOrSaysThatItCannot) {
    tree.create("a")->write("content");
    if (tree.clone("a", "b")) {
        EXPECT_EQ(content("b"), "content");
        EXPECT_NE(tree.stat("a")->inode, tree.stat("b")->inode);
        EXPECT_FALSE(tree.clone("a", "b")) << "it is there";
        if (geteuid() == 0) {
            constexpr uid_t other = 65534;
            EXPECT_TRUE(PosixTree(root, FileOwner{other, other}).clone("a", "given"));
            struct stat found {};
            ASSERT_EQ(stat((root / "given").c_str(), &found), 0);
            EXPECT_EQ(found.st_uid, other);
        }
    } else {
        EXPECT_FALSE(tree.stat("b")) << "nothing is left of the try";
    }
    EXPECT_THROW(tree.clone("none", "c"), Error);
    EXPECT_FALSE(tree.stat("c"));
}

TEST_F(Tree, OpensOnlyRegularFiles) {
    ASSERT_EQ(mkfifo((root / "pipe").c_str(), 0600), 0);
    fs::create_directories(root / "d");
    EXPECT_FALSE(tree.open("pipe"));
    EXPECT_FALSE(tree.open("d"));
    EXPECT_EQ(tree.stat("pipe")->type, FileType::Other);
}

TEST_F(Tree, ListsRawNames) {
    std::string name;
    for (int byte = 1; byte < 256; ++byte) {
        if (byte != '/') {
            name += static_cast<char>(byte);
        }
    }
    tree.create(name)->write("x");
    const auto entries = tree.list("");
    ASSERT_EQ(entries->size(), 1u);
    EXPECT_EQ(entries->front().name, name);
    EXPECT_EQ(content(name), "x");
    EXPECT_FALSE(tree.list("none"));
    EXPECT_FALSE(tree.list(name));
}

TEST_F(Tree, MakesDirectoriesAndSaysWhatStandsInTheWay) {
    std::set<std::string> changed;
    EXPECT_FALSE(make_directories(tree, "a/b/c", changed));
    EXPECT_EQ(changed, (std::set<std::string>{"", "a", "a/b"}));
    EXPECT_TRUE(fs::is_directory(root / "a/b/c"));
    changed.clear();
    EXPECT_FALSE(make_directories(tree, "a/b/c", changed));
    EXPECT_TRUE(changed.empty());
    test::write_file(root / "a/file", "");
    EXPECT_EQ(make_directories(tree, "a/file/x/y", changed), "a/file");
    PosixTree missing(directory / "none");
    EXPECT_EQ(make_directories(missing, "a", changed), "");
}

TEST_F(Tree, NamesThePathAndTheRemedy) {
    try {
        tree.create("none/x");
        FAIL() << "a file was made in a directory that is not there";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_NE(std::string(error.what()).find("none/x"), std::string::npos);
    }
    const fs::path small = directory / "small";
    fs::create_directories(small);
    if (geteuid() != 0 ||
        test::run({"mount", "-t", "tmpfs", "-o", "size=64k", "none", small.string()}).status != 0) {
        GTEST_SKIP() << "no small file system can be mounted here";
    }
    try {
        PosixTree(small).create("x")->write(std::string(1 << 20, 'x'));
        ADD_FAILURE() << "a full disk took the file";
    } catch (const Error& error) {
        EXPECT_NE(error.next_step().find("free space"), std::string::npos);
    }
    test::must_run({"umount", small.string()});
}

}  // namespace
}  // namespace antipode::files
