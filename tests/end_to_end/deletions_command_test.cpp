// A mass deletion on the primary is held until an operator has decided about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int ok = 0;
constexpr int usage = 2;
constexpr int findings = 3;
constexpr int files = 300;

class DeletionsCommand : public testing::Test {
  protected:
    void SetUp() override {
        for (int i = 0; i < files; ++i) {
            const fs::path file = london().files_root / "tree" / (std::to_string(i) + ".bin");
            fs::create_directories(file.parent_path());
            write_file(file, "content " + std::to_string(i));
        }
        write_file(london().files_root / "other", "it stays");
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
        before_ = sydney().files();
    }
    Site& london() { return sites_.london; }
    Site& sydney() { return sites_.sydney; }
    std::string held() {
        return london()
            .status(".stores[] | select(.store == \"blobs/uploads\") | .deletions.held")
            .value_or("none");
    }
    /// All deletions were noticed: they are held, or have reached the secondary.
    bool all_are_noticed() {
        return eventually([&] {
            const fs::path tree = sydney().files_root / "tree";
            return held() == std::to_string(std::distance(fs::directory_iterator(tree),
                                                          fs::directory_iterator()));
        });
    }
    /// Nothing else than what was held reaches the secondary meanwhile, and that does.
    void expect_others_go_on() {
        london().sql("INSERT INTO journal VALUES ('it goes on')");
        write_file(london().files_root / "new", std::to_string(++written_));
        EXPECT_TRUE(eventually([&] {
            return sydney().rows() == london().rows() && fs::exists(sydney().files_root / "new") &&
                   read_file(sydney().files_root / "new") == std::to_string(written_);
        })) << sites_.describe();
        EXPECT_TRUE(fs::exists(sydney().files_root / "tree/7.bin"));
    }

    TwoSites sites_;
    std::string before_;
    int written_ = 0;
};

TEST_F(DeletionsCommand, IsReleasedWhenItWasMeant) {
    CommandResult result = london().antipode({"deletions"});
    EXPECT_EQ(result.status, ok) << result.error;
    EXPECT_THAT(result.output, HasSubstr("no deletion is held"));

    fs::remove_all(london().files_root / "tree");
    ASSERT_TRUE(all_are_noticed()) << sites_.describe();
    expect_others_go_on();
    // From any machine of the cluster.
    result = sydney().antipode({"deletions"});
    EXPECT_EQ(result.status, findings) << result.error;
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads"));
    EXPECT_THAT(result.output, HasSubstr("antipode deletions release blobs/uploads"));
    result = london().antipode({"status"});
    EXPECT_THAT(result.output, HasSubstr("deletions are held"));

    // It outlives the daemon.
    const std::string before = held();
    london().kill();
    london().start();
    ASSERT_TRUE(eventually([&] { return held() == before; })) << sites_.describe();
    expect_others_go_on();

    result = sydney().antipode({"deletions", "release", "blobs/uploads"});
    EXPECT_EQ(result.status, usage) << "nobody has confirmed";
    EXPECT_EQ(held(), before);
    result =
        sydney().antipode({"deletions", "release", "blobs/uploads", "--confirm", "blobs/uploads"});
    EXPECT_EQ(result.status, ok) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr(before + " deletions are released"));
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    EXPECT_FALSE(fs::exists(sydney().files_root / "tree"));
    EXPECT_EQ(london().antipode({"deletions"}).status, ok);
}

TEST_F(DeletionsCommand, IsOverWhenTheFilesAreBack) {
    const fs::path root = london().files_root;
    fs::rename(root, root.string() + ".away");
    fs::create_directory(root);  // as an unmounted disk looks
    ASSERT_TRUE(eventually([&] { return held() == std::to_string(files + 1); }))
        << sites_.describe();
    expect_others_go_on();
    fs::remove_all(root);
    fs::rename(root.string() + ".away", root);
    ASSERT_TRUE(eventually([&] { return held() == "none"; })) << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
}

TEST_F(DeletionsCommand, IsDiscardedWhenSecondariesShallKeepThem) {
    fs::remove_all(london().files_root / "tree");
    ASSERT_TRUE(all_are_noticed()) << sites_.describe();
    CommandResult result =
        london().antipode({"deletions", "discard", "blobs/uploads", "--yes", "-o", "json"});
    EXPECT_EQ(result.status, ok) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("\"decision\":\"discarded\""));
    ASSERT_TRUE(sites_.caught_up()) << "they hold back nothing any more" << sites_.describe();
    EXPECT_TRUE(fs::exists(sydney().files_root / "tree/7.bin"));
    EXPECT_EQ(london().antipode({"deletions"}).status, ok);
    result = london().antipode({"deletions", "release", "blobs/uploads", "--yes"});
    EXPECT_EQ(result.status, ok) << result.output << result.error << sites_.describe();
    ASSERT_TRUE(eventually([&] { return !fs::exists(sydney().files_root / "tree"); }))
        << sites_.describe();
    sites_.expect_equal();
}

}  // namespace
}  // namespace antipode::test
