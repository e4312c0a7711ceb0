#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Contents of up to limits::content_in_memory_bytes, many in one answer: "<store>/contents" of the
/// bulk service. What is posted names them: a reference in hexadecimal on each line. The answer
/// has, in that order, each one's length (lengths.hpp) and bytes; in the place of a length,
/// `no_content`: it is not there (any more).
namespace antipode::protocol {

inline constexpr uint32_t no_content = UINT32_MAX;

std::string encode_contents_request(std::span<const std::string> references);
/// nullopt: malformed, none, or more than limits::contents_at_once.
std::optional<std::vector<std::string>> decode_contents_request(std::string_view text);

/// Reads an answer that comes in chunks. Throws Error{Retry} when it is malformed or cut off.
class ContentsReader {
  public:
    /// `content`: nullopt when it is not there.
    using Use = std::function<void(std::optional<std::string> content)>;
    /// So many contents are expected.
    ContentsReader(size_t contents, Use use) : left_(contents), use_(std::move(use)) {}
    void feed(std::string_view chunk);
    /// Call at the end: throws when it is not whole.
    void finish() const;

  private:
    void take_length(std::string_view& chunk);

    size_t left_;
    const Use use_;
    std::string length_;
    std::optional<size_t> wanted_;  ///< bytes of the one that is coming
    std::string content_;
};

}  // namespace antipode::protocol
