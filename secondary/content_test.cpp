#include "secondary/content.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

namespace fs = std::filesystem;

/// Serves one content and can be cut short.
class FakePrimary final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, uint64_t offset, const Headers& on_headers,
               const Sink& sink, const std::stop_token& stop) override {
        ++requests;
        last = request;
        last_offset = offset;
        if (!there) {
            return {};
        }
        const Answer answer{true, bytes.size(), {}};
        on_headers(answer);
        while (offset < bytes.size()) {
            if (offset >= cut_at) {
                throw Error(Reaction::Retry, "the connection is cut");
            }
            const std::string chunk = bytes.substr(offset, 10);
            sink(chunk);
            offset += chunk.size();
            while (blocked) {
                std::this_thread::yield();
            }
            if (stop.stop_requested()) {
                throw Stopped{};
            }
        }
        return answer;
    }
    std::string bytes;
    bool there = true;
    uint64_t cut_at = UINT64_MAX;
    std::atomic<bool> blocked = false;
    std::atomic<int> requests = 0;
    BulkRequest last;
    uint64_t last_offset = 0;
};

class Contents : public testing::Test {
  protected:
    Contents() {
        for (int i = 0; i < 1005; ++i) {
            primary.bytes += static_cast<char>(i * i);
        }
        content.set_sha256(std::string(view(hash())));
        content.set_size(primary.bytes.size());
        content.set_pull("\x01where");
    }
    Sha256 hash() const { return sha256(primary.bytes); }
    fs::path whole() const {
        return incoming / to_hex(sha256_from_bytes(content.sha256()).value());
    }
    fs::path part() const { return whole().string() + ".part"; }
    ContentStore::Outcome fetch() { return store.fetch(content, primary, stop.get_token()); }
    bool is_gone() { return std::holds_alternative<ContentStore::Gone>(fetch()); }
    void expect_here() {
        const auto outcome = fetch();
        ASSERT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
        EXPECT_EQ(std::get<ContentStore::Here>(outcome).path, whole());
        EXPECT_EQ(test::read_file(whole()), primary.bytes);
        EXPECT_FALSE(fs::exists(part()));
    }

    const test::TemporaryDirectory root;
    const fs::path incoming = root.path() / ".antipode" / "incoming";
    files::PosixTree tree{root.path()};
    std::vector<std::string> same_content;
    ContentStore store{
        {StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming", [this](const Sha256&, uint64_t) {
            return same_content;
        }};
    FakePrimary primary;
    v1::Content content;
    std::stop_source stop;
};

TEST_F(Contents, ArePulledOnce) {
    expect_here();
    expect_here();
    EXPECT_EQ(primary.requests, 1);
    EXPECT_EQ(primary.last.path, "blobs/uploads/content");
    EXPECT_EQ(primary.last.query.at("ref"), to_hex("\x01where"));
    EXPECT_TRUE(store.progress().empty());
}

TEST_F(Contents, ResumeWhereTheyWereCut) {
    primary.cut_at = 500;
    EXPECT_THROW(fetch(), Error);
    EXPECT_TRUE(fs::exists(part()));
    primary.cut_at = 700;
    EXPECT_THROW(fetch(), Error);
    EXPECT_EQ(primary.last_offset, 500u);
    primary.cut_at = UINT64_MAX;
    ContentStore after_restart({StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming");
    const auto outcome = after_restart.fetch(content, primary, {});
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
    EXPECT_EQ(primary.last_offset, 700u);
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
}

TEST_F(Contents, ThatWereWholeBeforeACrashNeedNoPrimary) {
    fs::create_directories(incoming);
    test::write_file(part(), primary.bytes);
    expect_here();
    EXPECT_EQ(primary.requests, 0);
}

TEST_F(Contents, StartAgainWhenAPowerCutSpoiledThePart) {
    fs::create_directories(incoming);
    for (const std::string& spoiled :
         {std::string(300, '\0'), std::string(1005, '\0'), std::string(2000, 'x')}) {
        fs::remove(whole());
        test::write_file(part(), spoiled);
        expect_here();
        EXPECT_EQ(primary.last_offset, 0u);
    }
}

TEST_F(Contents, AreGoneWhenThePrimaryDoesNotHaveThem) {
    primary.there = false;
    EXPECT_TRUE(is_gone());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, AreGoneWhenThePrimaryHasAnotherVersion) {
    const std::string announced = primary.bytes;
    primary.bytes = std::string(announced.size(), 'x');
    EXPECT_TRUE(is_gone());
    primary.bytes = announced + "more";
    EXPECT_TRUE(is_gone());
    primary.bytes = announced.substr(1);
    EXPECT_TRUE(is_gone());
    primary.bytes.clear();
    EXPECT_TRUE(is_gone());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, AreNotPulledWithoutAReference) {
    content.clear_pull();
    EXPECT_TRUE(is_gone());
    content.set_pull("x");
    content.set_sha256("short");
    EXPECT_EQ(primary.requests, 0);
    EXPECT_TRUE(std::holds_alternative<ContentStore::Gone>(fetch()));
}

TEST_F(Contents, KeepWhatCameWhenStopped) {
    primary.blocked = true;
    std::jthread stopper([&] {
        test::eventually([&] { return !store.progress().empty(); });
        stop.request_stop();
        primary.blocked = false;
    });
    EXPECT_THROW(fetch(), Stopped);
    EXPECT_TRUE(fs::exists(part()));
}

TEST_F(Contents, WantedTwiceAreFetchedOnce) {
    primary.blocked = true;
    std::vector<std::jthread> threads;
    std::atomic<int> here = 0;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            here += std::holds_alternative<ContentStore::Here>(
                store.fetch(content, primary, stop.get_token()));
        });
    }
    EXPECT_TRUE(test::eventually([&] {
        const auto progress = store.progress();
        return progress.size() == 1 && progress[0].bytes == 10 && progress[0].total == 1005 &&
               progress[0].hash == hash();
    }));
    store.discard(hash());
    EXPECT_EQ(store.keep_only({}), 0u);
    primary.blocked = false;
    threads.clear();
    EXPECT_EQ(here, 3);
    EXPECT_EQ(primary.requests, 1);
}

TEST_F(Contents, ThatAnItemHasAreNotPulled) {
    test::write_file(root / "item", primary.bytes);
    same_content = {"gone", "item"};
    expect_here();
    EXPECT_EQ(primary.requests, 0);
    store.discard(hash());
    EXPECT_TRUE(fs::is_empty(incoming));
    EXPECT_EQ(test::read_file(root / "item"), primary.bytes);
}

TEST_F(Contents, ThatAnItemHadWhenTheyWereExpectedAreNotPulled) {
    test::write_file(root / "item", primary.bytes);
    same_content = {"item"};
    store.expect(content);
    // As apply does, which never writes into a file that is there.
    test::write_file(root / "new", "other");
    fs::rename(root / "new", root / "item");
    expect_here();
    EXPECT_EQ(primary.requests, 0);
    EXPECT_EQ(fs::hard_link_count(whole()), 1u) << "it can be moved into place without a copy";
}

TEST_F(Contents, ArePulledWhenTheItemIsDamaged) {
    std::string damaged = primary.bytes;
    damaged[700] ^= 1;
    test::write_file(root / "item", damaged);
    same_content = {"item"};
    store.expect(content);
    expect_here();
    EXPECT_EQ(primary.requests, 1);
    EXPECT_EQ(test::read_file(root / "item"), damaged) << "that is for a content check to find";
    test::write_file(root / "item", "of another size");
    store.discard(hash());
    expect_here();
    EXPECT_EQ(primary.requests, 2);
    store.discard(hash());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, AreDiscardedWhenNobodyWantsThem) {
    expect_here();
    test::write_file(incoming / "unknown", "x");
    test::write_file(incoming / (to_hex(sha256("other")) + ".part"), "x");
    const std::vector<Sha256> wanted = {hash()};
    EXPECT_EQ(store.keep_only(wanted), 2u);
    EXPECT_TRUE(fs::exists(whole()));
    store.discard(hash());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, NeverCreateAMissingRoot) {
    files::PosixTree missing(root / "unmounted");
    ContentStore lost({StoreKind::Blobs, "uploads"}, missing, ".antipode/incoming");
    EXPECT_THROW(lost.fetch(content, primary, {}), Error);
    EXPECT_FALSE(fs::exists(root / "unmounted"));
}

}  // namespace
}  // namespace antipode::secondary
