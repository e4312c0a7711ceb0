#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"

/// The answers of a database's bulk service.
namespace antipode::primary {

using Headers = std::map<std::string, std::string>;

/// A text that is there as a whole.
class TextBody final : public BulkBody {
  public:
    TextBody(std::string text, Headers headers)
        : text_(std::move(text)), headers_(std::move(headers)) {}
    std::optional<uint64_t> size() const override { return text_.size(); }
    void seek(uint64_t offset) override { next_ = std::min<uint64_t>(offset, text_.size()); }
    size_t read(std::span<char> buffer) override;
    Headers headers() const override { return headers_; }

  private:
    std::string text_;
    Headers headers_;
    size_t next_ = 0;
};

/// A line of our own, then what `reader` gives.
class StreamBody final : public BulkBody {
  public:
    StreamBody(std::string first, std::unique_ptr<ByteReader> reader, Headers headers)
        : first_(std::move(first), {}), reader_(std::move(reader)), headers_(std::move(headers)) {}
    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t /*offset*/) override {}
    size_t read(std::span<char> buffer) override;
    Headers headers() const override { return headers_; }

  private:
    TextBody first_;
    std::unique_ptr<ByteReader> reader_;
    Headers headers_;
};

/// A text that takes its time: until it is there, an empty line every second says that it is
/// worked on, so that nobody takes the connection for dead. What `make` throws cuts the answer; its
/// token fires when nobody reads that any more.
class LaterBody final : public BulkBody {
  public:
    explicit LaterBody(std::function<std::string(const std::stop_token&)> make)
        : making_(std::async(std::launch::async, std::move(make), unwanted_.get_token())) {}
    ~LaterBody() override { unwanted_.request_stop(); }
    LaterBody(const LaterBody&) = delete;
    LaterBody& operator=(const LaterBody&) = delete;
    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t /*offset*/) override {}
    size_t read(std::span<char> buffer) override;

  private:
    std::stop_source unwanted_;
    std::future<std::string> making_;
    std::unique_ptr<TextBody> made_;
};

}  // namespace antipode::primary
