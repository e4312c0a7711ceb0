#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

/// The coding "zstd" of a body (RFC 8878), as it passes. One thread for each object.
namespace antipode::http {

/// Whether bytes like these are worth compressing: a tenth is saved at least.
bool compresses_well(std::string_view sample);
/// Whether the header Accept-Encoding (RFC 9110, section 12.5.3) names zstd.
bool accepts_zstd(std::string_view header);

class ZstdEncoder {
  public:
    ZstdEncoder();
    ~ZstdEncoder();
    /// What there is to be sent of `bytes` and what came before; all of it after the `last`.
    std::string encode(std::string_view bytes, bool last);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Throws Error{Retry} when what comes is not exactly one frame of the size that was said, or would
/// need more memory than a window of 8 MiB.
class ZstdDecoder {
  public:
    explicit ZstdDecoder(uint64_t size);
    ~ZstdDecoder();
    void decode(std::string_view bytes, const std::function<void(std::string_view)>& use);
    /// Nothing more comes.
    void finish() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::http
