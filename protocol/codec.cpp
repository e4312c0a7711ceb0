#include "protocol/codec.hpp"

#include <zstd.h>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "base/limits.hpp"

namespace antipode::protocol {
namespace {

using CompressContext = Handle<ZSTD_CCtx, ZSTD_freeCCtx>;
using DecompressContext = Handle<ZSTD_DCtx, ZSTD_freeDCtx>;

constexpr int level = 1;
/// An event of a file whose content travels elsewhere: mostly hashes.
constexpr size_t least_compressed = 256;

}  // namespace

std::optional<std::string> compress(std::string_view bytes) {
    if (bytes.size() < least_compressed) {
        return std::nullopt;
    }
    // A context costs more than a small payload's compression: each thread keeps one.
    thread_local const CompressContext context(ZSTD_createCCtx());
    std::string compressed(ZSTD_compressBound(bytes.size()), '\0');
    const size_t size = ZSTD_compressCCtx(context.get(), compressed.data(), compressed.size(),
                                          bytes.data(), bytes.size(), level);
    if (ZSTD_isError(size) != 0) {
        throw Error(Reaction::Stop, std::string("zstd: ") + ZSTD_getErrorName(size));
    }
    if (size > bytes.size() - bytes.size() / 8 || bytes.size() > size * limits::codec_ratio) {
        return std::nullopt;
    }
    compressed.resize(size);
    return compressed;
}

std::optional<std::string> decompress(std::string_view bytes, size_t size) {
    if (size > bytes.size() * limits::codec_ratio) {
        return std::nullopt;
    }
    thread_local const DecompressContext context(ZSTD_createDCtx());
    std::string decoded(size, '\0');
    const size_t result = ZSTD_decompressDCtx(context.get(), decoded.data(), decoded.size(),
                                              bytes.data(), bytes.size());
    if (ZSTD_isError(result) != 0 || result != size) {
        return std::nullopt;
    }
    return decoded;
}

}  // namespace antipode::protocol
