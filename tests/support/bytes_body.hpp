#pragma once

#include <optional>
#include <string>

#include "base/seams/bulk.hpp"

namespace antipode::test {

/// Serves bytes that outlive it.
class BytesBody final : public BulkBody {
  public:
    explicit BytesBody(const std::string& bytes, bool knows_size = true)
        : bytes_(bytes), knows_size_(knows_size) {}
    std::optional<uint64_t> size() const override {
        return knows_size_ ? std::optional<uint64_t>(bytes_.size()) : std::nullopt;
    }
    void seek(uint64_t offset) override { place_ = offset; }
    size_t read(std::span<char> buffer) override {
        const size_t count = bytes_.copy(buffer.data(), buffer.size(), place_);
        place_ += count;
        return count;
    }

  private:
    const std::string& bytes_;
    const bool knows_size_;
    size_t place_ = 0;
};

}  // namespace antipode::test
