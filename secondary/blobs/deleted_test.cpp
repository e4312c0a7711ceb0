#include "secondary/blobs/deleted.hpp"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "secondary/blobs/apply.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class DeletedFilesTest : public testing::Test {
  protected:
    void put(const std::string& path, const std::string& bytes) const {
        fs::create_directories((root / path).parent_path());
        test::write_file(root / path, bytes);
    }
    Result remove(const std::string& path) {
        protocol::Event event;
        event.payload.mutable_blob_removed()->set_path(path);
        const ItemTask task{&event, {}};
        return apply.apply({&task, 1}, {}).front();
    }
    /// "<minute>/<path>=<content>"
    std::vector<std::string> kept() const {
        std::vector<std::string> found;
        const fs::path place = root / ".antipode/deleted";
        if (!fs::exists(place)) {
            return found;
        }
        for (const auto& entry : fs::recursive_directory_iterator(place)) {
            if (entry.is_regular_file()) {
                std::ifstream file(entry.path());
                std::string content;
                std::getline(file, content);
                found.push_back(entry.path().lexically_relative(place).string() + "=" + content);
            }
        }
        std::sort(found.begin(), found.end());
        return found;
    }

    test::TemporaryDirectory directory;
    const fs::path root = directory.path();
    files::PosixTree tree{root};
    ManualClock clock;
    DeletedFiles deleted{tree, clock, std::chrono::hours(2)};
    BlobApply apply{{StoreKind::Blobs, "uploads"}, tree, &deleted};
};

TEST_F(DeletedFilesTest, AreKeptUnderTheirNames) {
    put("a/b/c", "one");
    put("top", "two");
    EXPECT_EQ(remove("a/b/c").kind, Result::Kind::Applied);
    EXPECT_EQ(remove("top").kind, Result::Kind::Applied);
    EXPECT_FALSE(fs::exists(root / "a"));
    const std::string minute = to_iso8601(clock.now()).substr(0, 16) + "Z";
    EXPECT_THAT(kept(), ElementsAre(minute + "/a/b/c=one", minute + "/top=two"));
}

TEST_F(DeletedFilesTest, DeletedTwiceTheyAreKeptTwice) {
    put("a", "one");
    remove("a");
    put("a", "two");
    remove("a");
    EXPECT_EQ(remove("a").kind, Result::Kind::Unneeded);
    const std::string minute = to_iso8601(clock.now()).substr(0, 16) + "Z";
    EXPECT_THAT(kept(), ElementsAre(minute + "/a.1=two", minute + "/a=one"));
}

TEST_F(DeletedFilesTest, ADirectoryTakesTheNameOfAFile) {
    put("a", "one");
    remove("a");
    put("a/b", "two");
    EXPECT_EQ(remove("a/b").kind, Result::Kind::Applied);
    const std::string minute = to_iso8601(clock.now()).substr(0, 16) + "Z";
    EXPECT_THAT(kept(), ElementsAre(minute + "/a.1=one", minute + "/a/b=two"));
    EXPECT_FALSE(fs::exists(root / "a"));
}

TEST_F(DeletedFilesTest, AFileThatMakesRoomForADirectoryIsKept) {
    put("a", "one");
    protocol::Event event;
    v1::BlobPut& change = *event.payload.mutable_blob_put();
    change.set_path("a/b");
    change.set_mode(0644);
    change.mutable_content()->set_inline_("two");
    change.mutable_content()->set_size(3);
    change.mutable_content()->set_sha256(std::string(view(sha256("two"))));
    const ItemTask task{&event, {}};
    EXPECT_EQ(apply.apply({&task, 1}, {}).front().kind, Result::Kind::Applied);
    EXPECT_EQ(remove("a").kind, Result::Kind::Unneeded);
    const std::string minute = to_iso8601(clock.now()).substr(0, 16) + "Z";
    EXPECT_THAT(kept(), ElementsAre(minute + "/a=one"));
}

TEST_F(DeletedFilesTest, AreForgottenWhenTheirTimeIsOver) {
    put("a", "one");
    remove("a");
    clock.advance(std::chrono::minutes(90));
    put("b", "two");
    remove("b");
    fs::create_directories(root / ".antipode/deleted/of the operator");
    deleted.forget_old({});
    EXPECT_EQ(kept().size(), 2u);
    clock.advance(std::chrono::minutes(32));
    deleted.forget_old({});
    EXPECT_THAT(kept(), ElementsAre(testing::EndsWith("/b=two")));
    clock.advance(std::chrono::minutes(90));
    deleted.forget_old({});
    EXPECT_THAT(kept(), IsEmpty());
    EXPECT_TRUE(fs::exists(root / ".antipode/deleted/of the operator"));
}

TEST_F(DeletedFilesTest, TheyAreNoItems) {
    put("a", "one");
    remove("a");
    put("b", "two");
    std::vector<std::string> names;
    apply.for_each(
        [&](const std::string& name) {
            names.push_back(name);
            return true;
        },
        {});
    EXPECT_THAT(names, ElementsAre("b"));
}

}  // namespace
}  // namespace antipode::secondary
