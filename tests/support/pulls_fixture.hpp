#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "protocol/contents.hpp"
#include "protocol/lengths.hpp"
#include "secondary/pulls.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {

/// Contents by the place that a reference names.
class Places final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, Range range, const Headers&, const Sink& sink,
               const std::stop_token&) override {
        if (away) {
            throw Error(Reaction::Retry, "the primary is away");
        }
        ++requests;
        if (request.path.ends_with("/contents") && !serves_together) {
            return {};
        }
        if (request.path.ends_with("/contents")) {
            sink(answer_together(protocol::decode_contents_request(request.posted).value()));
            return {true, {}, {}};
        }
        count_up();
        test::eventually([&] { return most_at_once >= wait_for; });
        --at_once;
        const auto found = contents.find(request.query.at("ref"));
        if (found == contents.end()) {
            return {};
        }
        sink(std::string_view(found->second).substr(range.offset, range.length));
        return {true, found->second.size(), {}};
    }
    std::string answer_together(const std::vector<std::string>& references) const {
        std::string answer;
        for (const std::string& reference : references) {
            const auto found = contents.find(to_hex(reference));
            const bool here = found != contents.end();
            protocol::append_length(
                answer, here ? static_cast<uint32_t>(found->second.size()) : protocol::no_content);
            answer += here ? found->second : "";
        }
        return answer;
    }
    void count_up() {
        const int now = ++at_once;
        int most = most_at_once;
        while (most < now && !most_at_once.compare_exchange_weak(most, now)) {
        }
    }
    std::map<std::string, std::string> contents;
    bool away = false;
    bool serves_together = true;
    int wait_for = 0;  ///< so many requests at once, before the first is answered
    std::atomic<int> requests = 0;
    std::atomic<int> at_once = 0;
    std::atomic<int> most_at_once = 0;
};

struct PullsTest : testing::Test {
    const test::TemporaryDirectory root;
    files::PosixTree tree{root.path()};
    const StoreId store{StoreKind::Blobs, "uploads"};
    std::unique_ptr<ContentStore> contents =
        std::make_unique<ContentStore>(store, tree, "incoming");
    Places primary;
    int arrivals = 0;
    ManualClock clock;
    Pulls pulls{{{store, contents.get()}}, [this](const StoreId&) { ++arrivals; }, clock};
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

}  // namespace antipode::secondary
