#include "adapters/http/zstd_stream.hpp"

#include <algorithm>
#include <vector>

#include <zstd.h>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "base/limits.hpp"

namespace antipode::http {
namespace {

constexpr int level = 1;
constexpr int window_log_max = 23;
constexpr size_t buffer_bytes = 128 * limits::kib;

Error broken(const std::string& what) {
    return {Reaction::Retry, "the HTTP answer's zstd coding is broken: " + what};
}

bool is_refused(std::string_view parameters) {
    const size_t quality = parameters.find("q=0");
    return quality != std::string_view::npos &&
           parameters.find_first_of("123456789", quality) == std::string_view::npos;
}

}  // namespace

bool compresses_well(std::string_view sample) {
    std::vector<char> space(ZSTD_compressBound(sample.size()));
    const size_t size =
        ZSTD_compress(space.data(), space.size(), sample.data(), sample.size(), level);
    return ZSTD_isError(size) == 0 && size < sample.size() - sample.size() / 10;
}

bool accepts_zstd(std::string_view header) {
    while (!header.empty()) {
        std::string_view coding = header.substr(0, header.find(','));
        header.remove_prefix(std::min(header.size(), coding.size() + 1));
        coding.remove_prefix(std::min(coding.size(), coding.find_first_not_of(" \t")));
        const std::string_view name = coding.substr(0, coding.find_first_of("; \t"));
        if (name == "zstd") {
            return !is_refused(coding.substr(name.size()));
        }
    }
    return false;
}

struct ZstdEncoder::State {
    Handle<ZSTD_CCtx, ZSTD_freeCCtx> context{ZSTD_createCCtx()};
    std::vector<char> space = std::vector<char>(buffer_bytes);
};

ZstdEncoder::ZstdEncoder() : state_(new State) {
    ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_compressionLevel, level);
}
ZstdEncoder::~ZstdEncoder() = default;

std::string ZstdEncoder::encode(std::string_view bytes, bool last) {
    std::string encoded;
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t left = 0;
    do {
        ZSTD_outBuffer out{state_->space.data(), state_->space.size(), 0};
        left = ZSTD_compressStream2(state_->context.get(), &out, &in,
                                    last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left) != 0) {
            throw Error(Reaction::Stop, std::string("zstd: ") + ZSTD_getErrorName(left));
        }
        encoded.append(state_->space.data(), out.pos);
    } while (in.pos < in.size || (last && left > 0));
    return encoded;
}

struct ZstdDecoder::State {
    Handle<ZSTD_DCtx, ZSTD_freeDCtx> context{ZSTD_createDCtx()};
    std::vector<char> space = std::vector<char>(buffer_bytes);
    uint64_t left = 0;
    bool ended = false;
};

ZstdDecoder::ZstdDecoder(uint64_t size) : state_(new State) {
    state_->left = size;
    ZSTD_DCtx_setParameter(state_->context.get(), ZSTD_d_windowLogMax, window_log_max);
}
ZstdDecoder::~ZstdDecoder() = default;

void ZstdDecoder::decode(std::string_view bytes, const std::function<void(std::string_view)>& use) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool full = false;
    while (in.pos < in.size || full) {
        if (state_->ended) {
            throw broken("something follows its end");
        }
        ZSTD_outBuffer out{state_->space.data(), state_->space.size(), 0};
        const size_t result = ZSTD_decompressStream(state_->context.get(), &out, &in);
        if (ZSTD_isError(result) != 0) {
            throw broken(ZSTD_getErrorName(result));
        }
        if (out.pos > state_->left) {
            throw broken("it is longer than what was asked for");
        }
        state_->left -= out.pos;
        state_->ended = result == 0;
        full = out.pos == out.size && !state_->ended;
        if (out.pos > 0) {
            use({state_->space.data(), out.pos});
        }
    }
}

void ZstdDecoder::finish() const {
    if (!state_->ended || state_->left > 0) {
        throw broken("it ends too early");
    }
}

}  // namespace antipode::http
