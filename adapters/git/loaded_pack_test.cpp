// Packs that git makes, beside what git says of them.
#include "adapters/git/loaded_pack.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "adapters/git/pack_writer.hpp"
#include "base/digest.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/zlib_stream.hpp"

namespace antipode::git {
namespace {

class LoadedPacks : public testing::Test {
  protected:
    LoadedPacks() {
        test::git({"init", "--quiet", "--bare", repository_.string()});
        std::string history;
        for (int i = 0; i < 30; ++i) {
            large_ += "line " + std::to_string(random_()) + "\n";
        }
        for (int i = 0; i < 12; ++i) {
            history += "commit refs/heads/main\ncommitter Ada <ada@example.org> " +
                       std::to_string(1'700'000'000 + i) + " +0000\ndata 1\nx\n" +
                       file("empty", "") + file("changed", large_ + std::to_string(i)) +
                       file("d/new" + std::to_string(i), std::to_string(random_()));
        }
        history +=
            "tag v1\nfrom refs/heads/main\ntagger Ada <ada@example.org> 1 +0000\ndata 1\nx\n";
        on({"fast-import", "--quiet"}, history);
    }

    static std::string file(const std::string& path, const std::string& content) {
        return "M 100644 inline " + path + "\ndata " + std::to_string(content.size()) + "\n" +
               content + "\n";
    }
    std::string on(std::vector<std::string> command, const std::string& input = {}) const {
        command.insert(command.begin(), {"-C", repository_.string()});
        return test::git(command, input);
    }
    /// Of everything; and what git says of it, beside it.
    std::string pack(const std::vector<std::string>& options) {
        std::vector<std::string> command{"pack-objects", "--all", "--revs", "-q",
                                         "--no-reuse-delta"};
        command.insert(command.end(), options.begin(), options.end());
        made_ = directory_ / ("made" + std::to_string(++packs_));
        command.push_back(made_.string());
        made_ += "-" + on(command);
        return test::read_file(made_.string() + ".pack");
    }
    /// With a checksum that fits again.
    static std::string summed(std::string pack) {
        pack.resize(pack.size() - 20);
        return pack + sha1(pack);
    }

    test::TemporaryDirectory directory_;
    const std::filesystem::path repository_ = directory_ / "repository.git";
    std::filesystem::path made_;
    int packs_ = 0;
    std::string large_;
    std::minstd_rand random_{7};
};

TEST_F(LoadedPacks, AreIndexedAsGitDoesIt) {
    const std::vector<std::vector<std::string>> kinds{
        {"--window=0"}, {"--window=50", "--delta-base-offset"}, {"--window=50"}};
    for (const auto& options : kinds) {
        const auto loaded = LoadedPack::load(pack(options));
        ASSERT_TRUE(loaded) << options[0];
        const std::string verified = on({"verify-pack", "-v", made_.string() + ".idx"});
        EXPECT_EQ(verified.find("chain length") != std::string::npos, options[0] != "--window=0");
        EXPECT_EQ(loaded->index(), test::read_file(made_.string() + ".idx"));
        EXPECT_TRUE(made_.string().ends_with(loaded->name().substr(5)));
    }
}

TEST_F(LoadedPacks, HoldWhatLeadsSomewhere) {
    const auto loaded = LoadedPack::load(pack({"--window=50"}));
    ASSERT_TRUE(loaded);
    size_t seen = 0;
    std::istringstream lines(on({"cat-file", "--batch-all-objects", "--batch-check"}));
    for (std::string oid, type, size; lines >> oid >> type >> size; ++seen) {
        const auto* const object = loaded->find(from_hex(oid).value());
        ASSERT_NE(object, nullptr) << oid;
        EXPECT_EQ(std::to_string(object->size), size);
        EXPECT_EQ(object->content, type == "blob" ? "" : on({"cat-file", type, oid})) << oid;
    }
    EXPECT_EQ(seen, loaded->size());
    EXPECT_EQ(loaded->find(std::string(20, '\0')), nullptr);
}

/// Sizes around those at which the head of an entry grows by a byte.
TEST_F(LoadedPacks, AreWrittenAsGitReadsThem) {
    std::vector<PackedObject> objects;
    std::vector<std::string> oids;
    for (const size_t size : {0, 1, 15, 16, 2047, 2048, 300'000}) {
        std::string noise;
        std::string text;
        while (noise.size() < size) {
            noise += static_cast<char>(random_());
            text += "some words\n"[noise.size() % 11];
        }
        for (const std::string& content : {noise, text}) {
            const std::string oid =
                sha1("blob " + std::to_string(content.size()) + std::string(1, '\0') + content);
            if (std::find(oids.begin(), oids.end(), oid) == oids.end()) {
                oids.push_back(oid);
                objects.push_back({ObjectType::Blob, content});
            }
        }
    }
    const std::string tree = on({"cat-file", "tree", "main^{tree}"});
    objects.push_back({ObjectType::Tree, tree});
    objects.push_back({ObjectType::Commit, on({"cat-file", "commit", "main"})});
    objects.push_back({ObjectType::Tag, on({"cat-file", "tag", "v1"})});
    const std::string pack = write_pack(objects);
    const std::string file = (directory_ / "written.pack").string();
    test::write_file(file, pack);
    on({"index-pack", file});
    const auto loaded = LoadedPack::load(pack);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->index(), test::read_file(directory_ / "written.idx"));
    EXPECT_EQ(loaded->size(), objects.size());
    for (const std::string& oid : oids) {
        EXPECT_NE(loaded->find(oid), nullptr) << to_hex(oid);
    }
    const auto* const found = loaded->find(from_hex(on({"rev-parse", "main^{tree}"})).value());
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->content, tree);
    EXPECT_LT(pack.size(), 330'000U) << "what is noise takes no more, and words take less";
}

TEST_F(LoadedPacks, AreNotLoadedBeyondTheirLimits) {
    const std::string bytes = pack({"--window=50", "--delta-base-offset"});
    const size_t count = LoadedPack::load(bytes).value().size();
    EXPECT_TRUE(LoadedPack::load(bytes, {count, 100'000}));
    EXPECT_FALSE(LoadedPack::load(bytes, {count - 1, 100'000}));
    EXPECT_FALSE(LoadedPack::load(bytes, {count, 2000}));
}

TEST_F(LoadedPacks, AreNotLoadedWithoutWhatTheyBuildOn) {
    const std::string thin =
        on({"pack-objects", "--revs", "--thin", "--stdout", "-q"}, "main\n^main~1\n");
    ASSERT_GT(thin.size(), 32U);
    EXPECT_FALSE(LoadedPack::load(thin));
}

/// Whether git takes it decides.
TEST_F(LoadedPacks, AreNotLoadedWithDifferencesThatGitRefuses) {
    const auto entry = [](int type, const std::string& base, const std::string& bytes) {
        return static_cast<char>(type << 4 | static_cast<int>(bytes.size())) + base +
               test::zlib_stream(bytes);
    };
    const std::string nothing("\x01\0", 2);  // to be made of a base of one byte
    const std::string base = sha1(std::string("blob 1\0", 7), "x");
    const std::string pack = std::string("PACK\0\0\0\2\0\0\0\2", 12) + entry(3, "", "x") +
                             entry(7, base, nothing) + std::string(20, '\0');
    const std::string one =
        std::string("PACK\0\0\0\2\0\0\0\1", 12) + entry(3, "", "x") + std::string(20, '\0');
    EXPECT_TRUE(LoadedPack::load(summed(one)));
    EXPECT_FALSE(LoadedPack::load(summed(pack)));
    const auto file = directory_ / "short.pack";
    test::write_file(file, summed(pack));
    const auto outcome = test::run({"git", "index-pack", file.string()});
    EXPECT_NE(outcome.status, 0);
    EXPECT_NE(outcome.error.find("failed to apply delta"), std::string::npos) << outcome.error;
}

TEST_F(LoadedPacks, AreNotLoadedWhenDamaged) {
    const std::string bytes = pack({"--window=50"});
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(LoadedPack::load(bytes.substr(0, size))) << size;
    }
    for (size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
        EXPECT_FALSE(LoadedPack::load(damaged)) << at;
    }
}

/// Whoever makes packs can make its checksum fit: what is loaded then is what git finds in it.
TEST_F(LoadedPacks, AreReadWithinTheirBoundsWhateverTheySay) {
    size_t loaded_all_the_same = 0;
    for (const auto& options : std::vector<std::vector<std::string>>{
             {"--window=50", "--delta-base-offset"}, {"--window=50"}}) {
        const std::string bytes = pack(options);
        for (size_t at = 0; at + 20 < bytes.size(); ++at) {
            for (const int change : {1 << random_() % 8, 0xff}) {
                std::string damaged = bytes;
                damaged[at] = static_cast<char>(damaged[at] ^ change);
                const auto loaded = LoadedPack::load(summed(damaged));
                if (!loaded || at % 7 != 0) {
                    continue;
                }
                ++loaded_all_the_same;
                const auto file = (directory_ / "damaged.pack").string();
                test::write_file(file, summed(damaged));
                test::git({"index-pack", file});
                EXPECT_EQ(loaded->index(), test::read_file(directory_ / "damaged.idx")) << at;
                std::filesystem::remove(directory_ / "damaged.idx");
            }
        }
        EXPECT_FALSE(LoadedPack::load(summed(bytes.substr(0, bytes.size() / 2))));
        EXPECT_FALSE(LoadedPack::load(summed(bytes + bytes)));
    }
    RecordProperty("loaded_all_the_same", static_cast<int>(loaded_all_the_same));
}

}  // namespace
}  // namespace antipode::git
