#include "secondary/pulls.hpp"

#include <map>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/digest.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

/// Contents by the place that a reference names.
class Places final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, uint64_t offset, const Headers&, const Sink& sink,
               const std::stop_token&) override {
        const auto found = contents.find(request.query.at("ref"));
        if (found == contents.end()) {
            return {};
        }
        sink(std::string_view(found->second).substr(offset));
        return {true, found->second.size(), {}};
    }
    std::map<std::string, std::string> contents;
};

struct PullsTest : testing::Test {
    const test::TemporaryDirectory root;
    files::PosixTree tree{root.path()};
    const StoreId store{StoreKind::Blobs, "uploads"};
    ContentStore contents{store, tree, "incoming"};
    Places primary;
    int arrivals = 0;
    Pulls pulls{{{store, &contents}}, [this](const StoreId&) { ++arrivals; }};
    const std::string bytes = "a large content";

    v1::Content at(const std::string& place) const {
        v1::Content content;
        content.set_sha256(std::string(view(sha256(bytes))));
        content.set_size(bytes.size());
        content.set_pull(place);
        return content;
    }
    void put(const std::string& place) { primary.contents[to_hex(place)] = bytes; }
    void step() { pulls.step(primary, std::chrono::milliseconds(0), {}); }
    template <typename State>
    bool is(const v1::Content& content) const {
        return std::holds_alternative<State>(pulls.state(store, content));
    }
};

TEST_F(PullsTest, BringAContentOnceForAllThatWantIt) {
    put("a");
    pulls.want(store, {1, 1, 5}, at("a"));
    pulls.want(store, {1, 1, 6}, at("a"));
    EXPECT_EQ(pulls.oldest_missing(), (Position{1, 1, 5}));
    step();
    step();
    EXPECT_EQ(arrivals, 1);
    EXPECT_TRUE(is<ContentStore::Here>(at("a")));
    EXPECT_FALSE(pulls.oldest_missing());
    pulls.release(store, {1, 1, 5}, at("a"));
    EXPECT_TRUE(std::filesystem::exists(contents.path_of(sha256(bytes)))) << "6 still wants it";
    pulls.release(store, {1, 1, 6}, at("a"));
    EXPECT_FALSE(std::filesystem::exists(contents.path_of(sha256(bytes))));
}

TEST_F(PullsTest, FindAContentWhereItStillIsWhenItsOtherPlaceIsEmpty) {
    // A file that was written under another name and moved into place before it was pulled.
    put("final");
    pulls.want(store, {1, 1, 5}, at("temporary"));
    pulls.want(store, {1, 1, 6}, at("final"));
    step();
    step();
    EXPECT_TRUE(is<ContentStore::Gone>(at("temporary")));
    EXPECT_TRUE(is<ContentStore::Here>(at("final")));
    pulls.release(store, {1, 1, 5}, at("temporary"));
    EXPECT_TRUE(std::filesystem::exists(contents.path_of(sha256(bytes))))
        << "the other event still wants the same file";
    pulls.release(store, {1, 1, 6}, at("final"));
    EXPECT_FALSE(std::filesystem::exists(contents.path_of(sha256(bytes))));
}

}  // namespace
}  // namespace antipode::secondary
