#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "base/error.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "secondary/blobs/apply.hpp"
#include "secondary/content.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

/// The blobs lane from root to root: real files, inotify, HTTP on loopback; only the stream between
/// is played by the test. Trees are compared by find and sha256sum.
namespace antipode::test {

namespace fs = std::filesystem;
using Kind = secondary::Result::Kind;

inline const StoreId uploads{StoreKind::Blobs, "uploads"};

inline std::string every_byte() {
    std::string name;
    for (int byte = 1; byte < 256; ++byte) {
        if (byte != '/') {
            name += static_cast<char>(byte);
        }
    }
    return name;
}

/// Serves a file like BlobBulk, and cuts the transfer after some bytes.
class CuttingBulk final : public BulkHandler {
  public:
    explicit CuttingBulk(FileTree& tree) : real_(tree, {}) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        auto body = real_.open(request);
        ++requests;
        return body ? std::make_unique<Body>(std::move(body), cut_after) : nullptr;
    }
    uint64_t cut_after = UINT64_MAX;
    std::atomic<int> requests = 0;

  private:
    class Body final : public BulkBody {
      public:
        Body(std::unique_ptr<BulkBody> real, uint64_t left) : real_(std::move(real)), left_(left) {}
        std::optional<uint64_t> size() const override { return real_->size(); }
        void seek(uint64_t offset) override { real_->seek(offset); }
        size_t read(std::span<char> buffer) override {
            if (left_ == 0) {
                throw Error(Reaction::Retry, "cut by the test");
            }
            const size_t count = real_->read(buffer.first(std::min(left_, buffer.size())));
            left_ -= count;
            return count;
        }

      private:
        std::unique_ptr<BulkBody> real_;
        uint64_t left_;
    };
    primary::BlobBulk real_;
};

struct Sent {
    protocol::Event event;
    Digest digest;
};

class BlobsLane : public testing::Test {
  protected:
    explicit BlobsLane(bool directories = false)
        : lane(uploads, london_tree, watch, inventory, clock, {}, directories),
          mirror(uploads, sydney_tree, nullptr, directories) {}
    void SetUp() override {
        fs::create_directories(london);
        fs::create_directories(sydney);
        server.bulk(uploads, bulk);
        server.start();
    }

    void write(const std::string& path, const std::string& bytes) {
        fs::create_directories((london / path).parent_path());
        write_file(london / path, bytes);
    }

    /// Reads one item as a capture worker does, and records it as the publisher does.
    std::optional<Sent> capture(const std::string& item, bool whole = false) {
        auto reading = lane.read(item, whole, {});
        if (!reading) {
            return std::nullopt;
        }
        const std::vector<primary::Inventory::Record> records = {
            {uploads, item, reading->published, {1, 1, ++number}}};
        inventory.record(records);
        Sent sent;
        // Over the wire.
        sent.event.payload.ParseFromString(reading->payload.SerializeAsString());
        sent.event.store = uploads;
        sent.digest = reading->published.digest;
        return sent;
    }
    std::vector<Sent> capture_all(const primary::Noticed& noticed) {
        std::vector<Sent> sent;
        for (const auto* names : {&noticed.changed, &noticed.moved, &noticed.removed}) {
            for (const std::string& item : *names) {
                if (auto event = capture(item); event && !event->event.payload.has_unchanged()) {
                    sent.push_back(std::move(*event));
                }
            }
        }
        return sent;
    }

    /// What the relay and the receiver do. Superseded content is skipped: a later event comes.
    void deliver(const std::vector<Sent>& sent) {
        std::vector<secondary::ItemTask> tasks;
        std::vector<const Sent*> sources;
        for (const Sent& next : sent) {
            secondary::ItemTask task{&next.event, {}};
            const v1::Content& content = next.event.payload.blob_put().content();
            if (content.has_pull()) {
                const auto outcome = contents.fetch(content, source, {});
                if (std::holds_alternative<secondary::ContentStore::Gone>(outcome)) {
                    ++superseded;
                    continue;
                }
                task.content = std::get<secondary::ContentStore::Here>(outcome).path;
            }
            tasks.push_back(task);
            sources.push_back(&next);
        }
        const auto results = mirror.apply(tasks, {});
        std::vector<Sent> again;
        for (size_t i = 0; i < results.size(); ++i) {
            const secondary::Result& result = results[i];
            const v1::Payload& payload = sources[i]->event.payload;
            if (result.kind == Kind::NeedsWhole) {
                again.push_back(capture(payload.blob_put().path(), true).value());
                continue;
            }
            EXPECT_NE(result.kind, Kind::Failed) << result.reason;
            EXPECT_EQ(result.digest.to_string(), sources[i]->digest.to_string());
            if (const auto hash = sha256_from_bytes(payload.blob_put().content().sha256())) {
                contents.discard(*hash, [] { return true; });
            }
        }
        if (!again.empty()) {
            deliver(again);
        }
    }
    void follow() {
        const primary::Noticed noticed = lane.drain();
        EXPECT_TRUE(noticed.complete);
        deliver(capture_all(noticed));
    }
    void reconcile() {
        const primary::Noticed noticed = lane.reconcile({});
        EXPECT_TRUE(noticed.complete);
        deliver(capture_all(noticed));
    }

    static std::string tree_of(const fs::path& root) {
        const Process::Options options{.log = {}, .directory = root, .environment = {}};
        return must_run(
            {"sh", "-c",
             "find . -path ./.antipode -prune -o -type f -printf '%p %m %s %T@\\0' | sort -z; "
             "find . -path ./.antipode -prune -o -type f -print0 | sort -z | "
             "xargs -0 -r sha256sum"},
            {}, options);
    }
    void expect_equal() { EXPECT_EQ(tree_of(london), tree_of(sydney)); }

    const TemporaryDirectory directory;
    const fs::path london = directory.path() / "london";
    const fs::path sydney = directory.path() / "sydney";
    SystemClock clock;
    files::PosixTree london_tree{london};
    files::InotifyWatch watch{london, clock};
    primary::Inventory inventory{""};
    primary::BlobCapture lane;
    std::shared_ptr<CuttingBulk> bulk = std::make_shared<CuttingBulk>(london_tree);
    http::HttpServer server{{}};
    http::HttpBulkSource source{
        {.url = "http://127.0.0.1:" + std::to_string(server.port()), .token = {}}};
    files::PosixTree sydney_tree{sydney};
    secondary::ContentStore contents{uploads, sydney_tree, secondary::BlobApply::incoming_name()};
    secondary::BlobApply mirror;
    uint64_t number = 0;
    int superseded = 0;
};

}  // namespace antipode::test
