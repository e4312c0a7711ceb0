// Large content over a line on which each connection is slow, as over long distances: several
// connections are used at once, and all of them together bring it.
#include <atomic>
#include <list>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "adapters/http/socket.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"
#include "secondary/pulls.hpp"
#include "tests/support/bytes_body.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using std::chrono::milliseconds;

const StoreId uploads{StoreKind::Blobs, "uploads"};

/// Passes connections on to a port. What comes back on each comes `chunk_bytes` every 10 ms.
class SlowProxy {
  public:
    SlowProxy(uint16_t port, size_t chunk_bytes)
        : port_(port), chunk_bytes_(chunk_bytes), acceptor_([this](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  if (auto accepted = listener_.accept(milliseconds(50))) {
                      connections_.emplace_back(
                          [this, moved = std::move(*accepted)](const std::stop_token& end) mutable {
                              pass(std::move(moved), end);
                          });
                  }
              }
          }) {}
    ~SlowProxy() {
        acceptor_ = {};
        connections_.clear();
    }
    SlowProxy(const SlowProxy&) = delete;
    SlowProxy& operator=(const SlowProxy&) = delete;
    std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_.port()); }
    int most_at_once() const { return most_at_once_; }

  private:
    void pass(http::Descriptor accepted, const std::stop_token& stop) {
        http::Socket client(std::move(accepted), stop);
        http::Socket server = http::Socket::connect("127.0.0.1", port_, milliseconds(2000), stop);
        std::jthread forth([&] { copy(client, server, limits::mib, milliseconds(0), stop); });
        copy(server, client, chunk_bytes_, milliseconds(10), stop);
    }
    void copy(http::Socket& from, http::Socket& to, size_t most, milliseconds pause,
              const std::stop_token& stop) {
        std::vector<char> buffer(most);
        bool counted = false;
        try {
            while (const size_t count = from.read_some(buffer)) {
                if (pause.count() > 0 && !counted) {
                    counted = true;
                    const int now = ++at_once_;
                    int seen = most_at_once_;
                    while (seen < now && !most_at_once_.compare_exchange_weak(seen, now)) {
                    }
                }
                to.write({buffer.data(), count});
                sleep_unless_stopped(pause, stop);
            }
            to.close_gently();
        } catch (const Error&) {
            // One side is gone.
        } catch (const Stopped&) {
        }
        at_once_ -= counted ? 1 : 0;
    }

    const uint16_t port_;
    const size_t chunk_bytes_;
    http::Listener listener_{"127.0.0.1", 0};
    std::atomic<int> at_once_ = 0;
    std::atomic<int> most_at_once_ = 0;
    std::list<std::jthread> connections_;
    std::jthread acceptor_;
};

class Bytes final : public BulkHandler {
  public:
    explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
    std::unique_ptr<BulkBody> open(const BulkRequest&) override {
        return std::make_unique<test::BytesBody>(bytes_);
    }

  private:
    const std::string bytes_;
};

TEST(PullThroughProxy, UsesSeveralConnectionsForOneContent) {
    std::mt19937 random(3);
    std::string bytes(48 * limits::mib, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random());
    }
    v1::Content content;
    content.set_sha256(std::string(view(sha256(bytes))));
    content.set_size(bytes.size());
    content.set_pull("reference");
    http::HttpServer server{{}};
    server.bulk(uploads, std::make_shared<Bytes>(bytes));
    server.start();
    for (const unsigned workers : {1U, 4U}) {
        const test::TemporaryDirectory root;
        files::PosixTree tree(root.path());
        secondary::ContentStore contents(uploads, tree, "incoming");
        const SystemClock clock;
        secondary::Pulls pulls(
            {{uploads, &contents}}, [](const StoreId&) {}, clock);
        const SlowProxy proxy(server.port(), 128 * limits::kib);
        http::HttpBulkSource source({.url = proxy.url()});
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < workers; ++i) {
            threads.emplace_back([&](const std::stop_token& stop) {
                while (!stop.stop_requested()) {
                    try {
                        pulls.step(source, milliseconds(20), stop);
                    } catch (const Stopped&) {
                        return;
                    }
                }
            });
        }
        const auto begun = std::chrono::steady_clock::now();
        pulls.want(uploads, {1, 1, 1}, content);
        EXPECT_TRUE(test::eventually(
            [&] {
                return std::holds_alternative<secondary::ContentStore::Here>(
                    pulls.state(uploads, content));
            },
            std::chrono::seconds(60)));
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        RecordProperty("seconds_with_" + std::to_string(workers) + "_workers",
                       std::to_string(took.count()));
        EXPECT_EQ(test::read_file(contents.path_of(sha256(bytes))), bytes);
        EXPECT_EQ(proxy.most_at_once(), static_cast<int>(workers));
        EXPECT_EQ(source.traffic().received_bytes, bytes.size()) << "no range came twice";
    }
}

}  // namespace
}  // namespace antipode
