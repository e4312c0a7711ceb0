// What is done within this process, beside what git says of the same repositories.
#include "adapters/git/small_push.hpp"

#include <cstring>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

#include "adapters/git/loaded_pack.hpp"
#include "adapters/git/program.hpp"
#include "adapters/git/quarantine.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/zlib_stream.hpp"

namespace antipode::git {
namespace {

class SmallPushes : public testing::Test {
  protected:
    SmallPushes() {
        test::git({"init", "--quiet", "--bare", from_.string()});
        test::git({"init", "--quiet", "--bare", to_.string()});
        const std::string tree = make_tree({{"a", "kept"}, {"b", "old"}});
        first_ = make_commit(tree, {});
        set(from_, "refs/heads/main", first_);
        test::git({"-C", from_.string(), "push", "--quiet", to_.string(), "main"});
        second_ = make_commit(make_tree({{"a", "kept"}, {"b", "new"}}), {first_});
    }

    std::string on(const std::filesystem::path& repository, std::vector<std::string> command,
                   const std::string& input = {}) const {
        command.insert(command.begin(), {"-C", repository.string()});
        std::string output = test::git(command, input);
        output.erase(output.find_last_not_of('\n') + 1);
        return output;
    }
    std::string make_tree(const std::map<std::string, std::string>& files) const {
        std::string lines;
        for (const auto& [name, content] : files) {
            const std::string blob = on(from_, {"hash-object", "-w", "--stdin"}, content);
            lines += "100644 blob " + blob + "\t" + name + "\n";
        }
        const std::string below = on(from_, {"mktree"}, lines);
        return on(from_, {"mktree"}, lines + "040000 tree " + below + "\td\n");
    }
    std::string make_commit(const std::string& tree,
                            const std::vector<std::string>& parents) const {
        std::vector<std::string> command{"commit-tree", "-m", "x", tree};
        for (const std::string& parent : parents) {
            command.insert(command.end(), {"-p", parent});
        }
        return on(from_, command);
    }
    void set(const std::filesystem::path& place, const std::string& ref,
             const std::string& oid) const {
        on(place, {"update-ref", ref, oid});
    }
    static std::string raw(const std::string& hex) { return from_hex(hex).value(); }
    static RefValue value(const std::string& hex) { return RefValue::direct(raw(hex)); }
    std::filesystem::path object(const std::filesystem::path& place, const std::string& oid) const {
        return place / "objects" / oid.substr(0, 2) / oid.substr(2);
    }
    std::string pack_of(const std::string& want, const std::vector<std::string>& haves) const {
        return SmallPush::open(from_)->make_pack({raw(want)}, haves).value().bytes;
    }
    /// A commit upon `parent` with many new files, which make more than is packed here.
    std::string make_large(std::map<std::string, std::string> files, const std::string& parent) {
        for (int i = 0; i < 150; ++i) {
            files["new" + std::to_string(i)] = noise(1000);
        }
        return make_commit(make_tree(files), {parent});
    }
    std::string noise(size_t size) {
        std::string bytes;
        while (bytes.size() < size) {
            bytes += static_cast<char>(random_());
        }
        return bytes;
    }

    test::TemporaryDirectory directory_;
    const std::filesystem::path from_ = directory_ / "from.git";
    const std::filesystem::path to_ = directory_ / "to.git";
    const std::filesystem::path quarantine_ = directory_ / "quarantine";
    std::string first_;
    std::string second_;
    std::minstd_rand random_{7};
};

TEST_F(SmallPushes, PackWhatGitWouldAndNothingElse) {
    const std::string pack = pack_of(second_, {raw(first_)});
    const auto push = SmallPush::open(to_);
    ASSERT_TRUE(push->index(pack, quarantine_));
    const std::string listed = test::must_run(
        {"sh", "-c",
         "cat " + quarantine_.string() + "/pack/*.idx | git show-index | cut -d' ' -f2 | sort"});
    const std::string wanted =
        test::must_run({"sh", "-c",
                        "git -C " + from_.string() + " rev-list --objects " + second_ + " --not " +
                            first_ + " | cut -d' ' -f1 | sort"});
    EXPECT_EQ(listed, wanted);
    EXPECT_TRUE(push->prove({raw(second_)}, {raw(first_)}));
    EXPECT_EQ(pack_of(first_, {raw(first_)}), "");
}

TEST_F(SmallPushes, SendAPushOfManyObjectsAsItCame) {
    const auto pushed = directory_ / "pushed.git";
    test::git({"init", "--quiet", "--bare", pushed.string()});
    const auto push_there = [&](const std::string& commit) {
        test::git({"-C", from_.string(), "push", "--quiet", pushed.string(),
                   commit + ":refs/heads/main"});
    };
    const std::string changes = noise(200'000);
    const std::string before = make_commit(make_tree({{"large", changes}}), {first_});
    push_there(first_);
    push_there(before);
    const std::string many = make_large({{"large", changes}}, before);
    push_there(many);
    const auto made = SmallPush::open(pushed)->make_pack({raw(many)}, {raw(before)});
    ASSERT_TRUE(made);
    EXPECT_EQ(made->file.parent_path(), pushed / "objects/pack");
    // Whoever has what is before it can use it alone.
    test::git({"-C", from_.string(), "push", "--quiet", to_.string(), before + ":refs/heads/main"});
    const auto push = SmallPush::open(to_);
    const auto loaded = LoadedPack::load(test::read_file(made->file));
    ASSERT_TRUE(loaded);
    EXPECT_FALSE(push->prove({raw(many)}, {raw(before)}));
    EXPECT_TRUE(push->add(*loaded));
    EXPECT_TRUE(push->prove({raw(many)}, {raw(before)}));
    // Not with what one file of it builds on, and not with what is beside it.
    const std::string changed = make_large({{"large", changes + "."}}, many);
    push_there(changed);
    EXPECT_FALSE(SmallPush::open(pushed)->make_pack({raw(changed)}, {raw(many)}));
    EXPECT_FALSE(SmallPush::open(pushed)->make_pack({raw(changed)}, {raw(before)}));
}

TEST_F(SmallPushes, SendNothingAsItCameThatUnpacksToMuch) {
    const auto pushed = directory_ / "pushed.git";
    test::git({"init", "--quiet", "--bare", pushed.string()});
    const std::string many = make_large({{"zeros", std::string(17 << 20, '\0')}}, first_);
    for (const std::string& commit : {first_, many}) {
        test::git({"-C", from_.string(), "push", "--quiet", pushed.string(),
                   commit + ":refs/heads/main"});
    }
    EXPECT_FALSE(SmallPush::open(pushed)->make_pack({raw(many)}, {raw(first_)}));
}

TEST_F(SmallPushes, ProveNothingThatIsNotThere) {
    const auto push = SmallPush::open(to_);
    EXPECT_FALSE(push->prove({raw(second_)}, {raw(first_)}));
    ASSERT_TRUE(push->index(pack_of(second_, {raw(first_)}), quarantine_));
    EXPECT_TRUE(push->prove({raw(second_)}, {raw(first_)}));
    // Each object of it, left out in turn.
    const std::string all =
        on(from_, {"rev-list", "--objects", "--no-object-names", second_, "^" + first_}) + "\n";
    for (size_t at = 0; at < all.size(); at += 41) {
        const std::string lost = all.substr(at, 40);
        std::string others = all;
        others.erase(at, 41);
        const std::filesystem::path place = directory_ / lost;
        const std::filesystem::path file = directory_ / (lost + ".pack");
        test::must_run(
            {"sh", "-c",
             "git -C " + from_.string() + " pack-objects --stdout -q > " + file.string()},
            others);
        const auto lacking = SmallPush::open(to_);
        ASSERT_TRUE(lacking->index(test::read_file(file), place));
        EXPECT_FALSE(lacking->prove({raw(second_)}, {raw(first_)})) << lost;
    }
}

TEST_F(SmallPushes, ProveNothingByWhatIsSaidToBeWholeAndIsGone) {
    const auto push = SmallPush::open(from_);
    EXPECT_TRUE(push->prove({raw(second_)}, {raw(second_)}));
    std::filesystem::remove(from_ / "objects" / second_.substr(0, 2) / second_.substr(2));
    EXPECT_FALSE(SmallPush::open(from_)->prove({raw(second_)}, {raw(second_)}));
}

/// libgit2 would write what is too much behind what it has made room for. Also of an object that
/// another repository lends.
TEST_F(SmallPushes, SurviveAnObjectThatIsLongerThanItSays) {
    const auto borrower = directory_ / "borrower.git";
    test::git({"init", "--quiet", "--bare", borrower.string()});
    test::write_file(borrower / "objects/info/alternates", (from_ / "objects").string() + "\n");
    const auto packs = [&](const std::filesystem::path& place) {
        return SmallPush::open(place)->make_pack({raw(second_)}, {raw(first_)}).has_value();
    };
    for (const std::string& part : {second_, second_ + "^{tree}", second_ + ":b"}) {
        const std::string oid = on(from_, {"rev-parse", part});
        const std::string type = on(from_, {"cat-file", "-t", oid});
        const auto file = object(from_, oid);
        const std::string right = test::read_file(file);
        std::filesystem::remove(file);
        test::write_file(file,
                         test::zlib_stream(type + " 1" + std::string(1, '\0') + noise(60'000)));
        EXPECT_FALSE(packs(from_)) << type;
        EXPECT_FALSE(packs(borrower)) << type;
        std::filesystem::remove(file);
        test::write_file(file, test::zlib_stream(type + " 9" + std::string(1, '\0') + "x"));
        EXPECT_FALSE(packs(from_)) << type;
        test::write_file(file, right);
        EXPECT_TRUE(packs(from_)) << type;
        EXPECT_TRUE(packs(borrower)) << type;
    }
}

TEST_F(SmallPushes, RefuseADamagedPack) {
    std::string pack = pack_of(second_, {raw(first_)});
    EXPECT_FALSE(SmallPush::open(to_)->index(pack.substr(0, pack.size() - 5), quarantine_));
    pack[pack.size() / 2] = static_cast<char>(pack[pack.size() / 2] ^ 1);
    EXPECT_FALSE(SmallPush::open(to_)->index(pack, quarantine_));
}

size_t quarantines_left(const std::filesystem::path& repository) {
    size_t left = 0;
    for (const auto& entry : std::filesystem::directory_iterator(repository / "objects")) {
        left += entry.path().filename().string().starts_with("tmp_objdir-") ? 1 : 0;
    }
    return left;
}

TEST_F(SmallPushes, LeaveNothingButTheirPackAndItsIndex) {
    const Program program;
    const std::string pack = pack_of(second_, {raw(first_)});
    {
        Quarantine quarantine(program, to_);
        ASSERT_TRUE(quarantine.take_plain({pack, {}, {}}, {{raw(second_)}, {}, {}}, {}));
        EXPECT_NE(test::run({"git", "-C", to_.string(), "cat-file", "-e", second_}).status, 0);
        EXPECT_EQ(quarantines_left(to_), 0U) << "in memory";
        quarantine.release();
    }
    on(to_, {"cat-file", "-e", second_});
    on(to_, {"fsck", "--full", "--strict"});
    std::multiset<std::string> kinds;
    for (const auto& entry : std::filesystem::directory_iterator(to_ / "objects/pack")) {
        kinds.insert(entry.path().extension());
        EXPECT_EQ(entry.status().permissions(), std::filesystem::perms(0444)) << entry.path();
    }
    EXPECT_EQ(kinds, (std::multiset<std::string>{".idx", ".pack"}));
    EXPECT_EQ(quarantines_left(to_), 0U);
}

TEST_F(SmallPushes, GoByWayOfTheDiskWhenTheyBuildOnSomethingElse) {
    std::string large(17 * 1024 * 1024, '\0');
    std::mt19937_64 random(7);  // not compressible
    for (size_t at = 0; at < large.size(); at += 8) {
        const uint64_t number = random();
        std::memcpy(large.data() + at, &number, 8);
    }
    const std::string before = make_commit(make_tree({{"large", large}}), {first_});
    set(from_, "refs/heads/main", before);
    on(from_, {"push", "--quiet", to_.string(), "main"});
    const std::string after = make_commit(make_tree({{"large", large + "!"}}), {before});
    const std::filesystem::path file = directory_ / "thin";
    test::must_run(
        {"sh", "-c",
         "git -C " + from_.string() + " pack-objects --revs --thin --stdout -q > " + file.string()},
        after + "\n^" + before + "\n");
    const std::string thin = test::read_file(file);
    ASSERT_LT(thin.size(), 64U * 1024) << "a difference";
    const Program program;
    Quarantine quarantine(program, to_);
    EXPECT_TRUE(quarantine.take_plain({thin, {}, {}}, {{raw(after)}, {}, {}}, {}));
    EXPECT_EQ(quarantines_left(to_), 1U) << "17 MiB";
    quarantine.release();
    on(to_, {"fsck", "--full"});
    on(to_, {"cat-file", "-e", after});
}

TEST_F(SmallPushes, GoByWayOfTheDiskWhenTheyUnpackToMuch) {
    const std::string zeros(17 * 1024 * 1024, '\0');
    const std::string blob = on(from_, {"hash-object", "-w", "--stdin"}, zeros);
    const std::string tree = on(from_, {"mktree"}, "100644 blob " + blob + "\tl\n");
    const std::string large = make_commit(tree, {first_});
    const std::filesystem::path file = directory_ / "whole";
    test::must_run(
        {"sh", "-c",
         "git -C " + from_.string() + " pack-objects --revs --stdout -q > " + file.string()},
        large + "\n^" + first_ + "\n");
    const Program program;
    Quarantine quarantine(program, to_);
    const std::string whole = test::read_file(file);
    EXPECT_TRUE(quarantine.take_plain({whole, {}, {}}, {{raw(large)}, {}, {}}, {}));
    EXPECT_EQ(quarantines_left(to_), 1U);
    quarantine.release();
    on(to_, {"cat-file", "-e", large});
}

TEST_F(SmallPushes, TakeWhatWasPulledOverWhatACrashLeft) {
    const auto pulled = directory_ / "pulled";
    test::write_file(pulled, pack_of(second_, {raw(first_)}));
    const std::string name = LoadedPack::load(test::read_file(pulled)).value().name();
    const auto pack = to_ / "objects/pack" / (name + ".pack");
    std::filesystem::create_directories(pack.parent_path());
    test::write_file(pack, "PACK");
    const Program program;
    Quarantine quarantine(program, to_);
    ASSERT_TRUE(quarantine.take_plain({{}, pulled, {}}, {{raw(second_)}, {}, {}}, {}));
    quarantine.release();
    EXPECT_EQ(test::read_file(pack), test::read_file(pulled));
    EXPECT_EQ(std::filesystem::hard_link_count(pulled), 1U);
    on(to_, {"fsck", "--full", "--strict"});
    on(to_, {"cat-file", "-e", second_});
}

TEST_F(SmallPushes, MoveAllRefsOrNone) {
    const std::string other = make_commit(on(from_, {"rev-parse", first_ + "^{tree}"}), {second_});
    const RefChange main{"refs/heads/main", value(first_), value(second_)};
    const auto move = [&](const std::vector<RefChange>& changes) {
        return SmallPush::open(from_)->move(changes);
    };
    const auto refs = [&] { return on(from_, {"for-each-ref"}); };
    const std::string before = refs();
    EXPECT_FALSE(move({main, {"refs/heads/x", value(first_), value(second_)}}));
    EXPECT_FALSE(move({{"refs/heads/main", value(other), value(second_)}}));
    EXPECT_FALSE(move({main, {"refs/heads/main/below", {}, value(second_)}}));
    on(from_, {"update-ref", "refs/heads/p/q", first_});
    on(from_, {"pack-refs", "--all", "--prune"});
    EXPECT_FALSE(move({main, {"refs/heads/p", {}, value(second_)}}));
    EXPECT_FALSE(move({main, {"refs/heads/p/q/r", {}, value(second_)}}));
    on(from_, {"update-ref", "-d", "refs/heads/p/q"});
    test::write_file(from_ / "refs/heads/new.lock", "");
    EXPECT_FALSE(move({main, {"refs/heads/new", {}, value(second_)}}));
    EXPECT_EQ(refs(), before);
    EXPECT_FALSE(std::filesystem::exists(from_ / "refs/heads/main.lock"));
    std::filesystem::remove(from_ / "refs/heads/new.lock");
    EXPECT_TRUE(move({main, {"refs/heads/new", {}, value(other)}}));
    EXPECT_EQ(on(from_, {"rev-parse", "main", "new"}), second_ + "\n" + other);
    EXPECT_FALSE(std::filesystem::exists(from_ / "logs"));
}

}  // namespace
}  // namespace antipode::git
