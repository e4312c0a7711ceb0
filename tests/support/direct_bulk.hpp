#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/seams/bulk.hpp"

namespace antipode::test {

/// The bulk service without HTTP. get() may be called by several threads.
class DirectBulk final : public BulkSource {
  public:
    explicit DirectBulk(BulkHandler& handler) : handler_(handler) {}

    Answer get(const BulkRequest& request, Range range, const Headers& on_headers, const Sink& sink,
               const std::stop_token& /*stop*/) override {
        {
            std::scoped_lock lock(mutex_);
            requests.push_back(request.path);
            asked.push_back(request);
        }
        if (before) {
            before(request);
        }
        const auto body = handler_.open(request);
        if (!body) {
            return {};
        }
        const Answer answer{true, body->size(), body->headers()};
        if (answer.total_size) {
            body->seek(range.offset);
        }
        if (on_headers) {
            on_headers(answer);
        }
        std::vector<char> buffer(buffer_bytes);
        uint64_t left = range.length;
        while (const size_t size = left == 0 ? 0 : body->read(buffer)) {
            const std::string_view bytes(buffer.data(), std::min<uint64_t>(size, left));
            sink(bytes);
            left -= bytes.size();
        }
        return answer;
    }

    std::function<void(const BulkRequest&)> before;  ///< may throw; called by several threads
    std::vector<BulkRequest> asked;
    std::vector<std::string> requests;
    size_t buffer_bytes = 10'000;

  private:
    std::mutex mutex_;
    BulkHandler& handler_;
};

}  // namespace antipode::test
