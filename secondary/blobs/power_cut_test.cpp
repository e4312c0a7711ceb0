// The power goes at every single change and sync that the lane makes; what was there before, or
// what the event brings, must be there afterwards, whole, and what was called applied must last.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "secondary/blobs/apply.hpp"
#include "secondary/content.hpp"
#include "tests/support/memory_files.hpp"

namespace antipode::secondary {
namespace {

using Files = std::map<std::string, std::string>;

const StoreId uploads{StoreKind::Blobs, "uploads"};

struct PowerCut {};

/// Throws PowerCut at the `at`-th operation; whatever is tried after that fails.
class Fuse {
  public:
    Fuse(test::MemoryTree& tree, int at) : tree_(tree) {
        tree_.set_fault([this, at](const std::string&, const std::string&) {
            ++operations_;
            if (operations_ == at) {
                throw PowerCut{};
            }
            if (operations_ > at) {
                throw Error(Reaction::Retry, "there is no power");
            }
        });
    }
    ~Fuse() { tree_.set_fault({}); }
    Fuse(const Fuse&) = delete;
    Fuse& operator=(const Fuse&) = delete;

  private:
    test::MemoryTree& tree_;
    int operations_ = 0;
};

protocol::Event put(const std::string& path, const std::string& bytes, bool pulled = false) {
    protocol::Event event;
    v1::BlobPut& blob = *event.payload.mutable_blob_put();
    blob.set_path(path);
    blob.set_mode(0644);
    blob.set_mtime_ns(5);
    blob.mutable_content()->set_sha256(std::string(view(sha256(bytes))));
    blob.mutable_content()->set_size(bytes.size());
    if (pulled) {
        blob.mutable_content()->set_pull("reference");
    } else {
        blob.mutable_content()->set_inline_(bytes);
    }
    return event;
}

protocol::Event removed(const std::string& path) {
    protocol::Event event;
    event.payload.mutable_blob_removed()->set_path(path);
    return event;
}

Files items_of(const test::MemoryTree& tree) {
    Files files = tree.contents();
    std::erase_if(files, [](const auto& file) { return file.first.starts_with(".antipode/"); });
    return files;
}

class FakePrimary final : public BulkSource {
  public:
    Answer get(const BulkRequest&, Range range, const Headers&, const Sink& sink,
               const std::stop_token&) override {
        const std::string_view wanted = std::string_view(bytes).substr(range.offset, range.length);
        for (size_t at = 0; at < wanted.size(); at += 3) {
            sink(wanted.substr(at, 3));
        }
        return {true, bytes.size(), {}};
    }
    std::string bytes;
};

/// `fillers` makes the batch large enough for barriers.
void cut_at_every_step(int fillers) {
    const Files before = {{"kept", "k"}, {"replaced", "old"}, {"gone/alone", "g"}, {"file", "f"}};
    Files after = {
        {"kept", "k"}, {"replaced", "new"}, {"new/deep/1", "1"}, {"file/now a dir", "2"}};
    std::vector<protocol::Event> events = {put("replaced", "new"), put("new/deep/1", "1"),
                                           removed("gone/alone"), put("file/now a dir", "2")};
    for (int i = 0; i < fillers; ++i) {
        const std::string name = "fill/" + std::to_string(i);
        events.push_back(put(name, name));
        after[name] = name;
    }
    std::vector<ItemTask> tasks;
    for (const protocol::Event& event : events) {
        tasks.push_back({&event, {}});
    }
    bool ended = false;
    for (int at = 1; !ended; ++at) {
        ManualClock clock;
        test::MemoryTree tree(clock);
        for (const auto& [path, bytes] : before) {
            tree.put(path, bytes);
        }
        tree.barrier()->sync();
        try {
            const Fuse fuse(tree, at);
            BlobApply(uploads, tree).apply(tasks, {});
            ended = true;
        } catch (const PowerCut&) {
        }
        tree.power_cut();
        const Files left = items_of(tree);
        for (const auto& [path, bytes] : left) {
            const bool was = before.contains(path) && before.at(path) == bytes;
            const bool is = after.contains(path) && after.at(path) == bytes;
            EXPECT_TRUE(was || is) << path << " after step " << at << ": " << bytes;
        }
        EXPECT_EQ(left.count("kept"), 1u);
        EXPECT_EQ(left.count("replaced"), 1u);
        if (ended) {
            EXPECT_EQ(left, after);
        }
        for (const Result& result : BlobApply(uploads, tree).apply(tasks, {})) {
            EXPECT_NE(result.kind, Result::Kind::Failed) << result.reason;
        }
        tree.power_cut();
        EXPECT_EQ(items_of(tree), after) << "step " << at;
    }
}

TEST(PowerCut, LosesNothingOfASmallBatch) {
    cut_at_every_step(0);
}

TEST(PowerCut, LosesNothingOfALargeBatch) {
    cut_at_every_step(20);
}

TEST(PowerCut, LosesNothingOfPulledContent) {
    FakePrimary primary;
    primary.bytes = "pulled content";
    const protocol::Event event = put("a/large", primary.bytes, true);
    const auto run = [&](test::MemoryTree& tree) {
        ContentStore contents(uploads, tree, BlobApply::incoming_name(), {}, 5);
        BlobApply lane(uploads, tree);
        const auto here = contents.fetch(event.payload.blob_put().content(), primary, {});
        const std::vector<ItemTask> tasks = {{&event, std::get<ContentStore::Here>(here).path}};
        return lane.apply(tasks, {}).at(0);
    };
    bool ended = false;
    for (int at = 1; !ended; ++at) {
        ManualClock clock;
        test::MemoryTree tree(clock);
        try {
            const Fuse fuse(tree, at);
            ended = run(tree).kind == Result::Kind::Applied;
        } catch (const PowerCut&) {
        }
        tree.power_cut();
        const Files left = items_of(tree);
        EXPECT_TRUE(left.empty() || left == Files({{"a/large", primary.bytes}})) << "step " << at;
        EXPECT_EQ(left.empty(), !ended) << "step " << at;
        EXPECT_NE(run(tree).kind, Result::Kind::Failed);
        tree.power_cut();
        EXPECT_EQ(items_of(tree), Files({{"a/large", primary.bytes}})) << "step " << at;
    }
}

TEST(PowerCut, ContentIsOnlyHereWhenItLasts) {
    FakePrimary primary;
    primary.bytes = "pulled content";
    const protocol::Event event = put("a", primary.bytes, true);
    ManualClock clock;
    test::MemoryTree tree(clock);
    ContentStore contents(uploads, tree, "in");
    const auto here = contents.fetch(event.payload.blob_put().content(), primary, {});
    ASSERT_TRUE(std::holds_alternative<ContentStore::Here>(here));
    tree.power_cut();
    EXPECT_EQ(tree.contents(), Files({{"in/" + to_hex(sha256(primary.bytes)), primary.bytes}}));
}

TEST(Sync, ThatFailsIsNeverASuccess) {
    FakePrimary primary;
    primary.bytes = "pulled content";
    const protocol::Event event = put("a", primary.bytes, true);
    ManualClock clock;
    test::MemoryTree tree(clock);
    tree.set_fault([](const std::string& operation, const std::string&) {
        if (operation.starts_with("sync") || operation == "barrier") {
            throw Error(Reaction::Retry, "I/O error", "check the disk");
        }
    });
    ContentStore contents(uploads, tree, "in");
    EXPECT_THROW(contents.fetch(event.payload.blob_put().content(), primary, {}), Error);
    tree.set_fault([](const std::string& operation, const std::string& path) {
        if (operation.starts_with("sync") && !path.ends_with("incoming") && !path.empty() &&
            path != ".antipode") {
            throw Error(Reaction::Retry, "I/O error", "check the disk");
        }
    });
    BlobApply lane(uploads, tree);
    const protocol::Event small = put("d/small", "1");
    const std::vector<ItemTask> tasks = {{&small, {}}};
    const Result result = lane.apply(tasks, {}).at(0);
    EXPECT_EQ(result.kind, Result::Kind::Failed);
    EXPECT_EQ(result.failure, FailureClass::Transient);
    EXPECT_EQ(result.next_step, "check the disk");
    EXPECT_TRUE(items_of(tree).empty());
}

}  // namespace
}  // namespace antipode::secondary
