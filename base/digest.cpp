#include "base/digest.hpp"

#include <openssl/evp.h>

#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

void require(int openssl_result) {
    if (openssl_result != 1) {
        throw Error(Reaction::Stop, "OpenSSL refused to compute a hash");
    }
}

/// OpenSSL looks for EVP_sha256() anew each time, which costs more than hashing a short text.
const EVP_MD* sha256_algorithm() {
    static const Handle<EVP_MD, EVP_MD_free> fetched{EVP_MD_fetch(nullptr, "SHA256", nullptr)};
    return fetched.get();
}

const EVP_MD* sha1_algorithm() {
    static const Handle<EVP_MD, EVP_MD_free> fetched{EVP_MD_fetch(nullptr, "SHA1", nullptr)};
    return fetched.get();
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// Length of the valid, printable UTF-8 sequence that `text` starts with; 0 when there is none.
size_t printable_length(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) {
        return first >= 0x20 && first != 0x7f && first != '\\' ? 1 : 0;
    }
    const size_t length = first >= 0xf0 && first <= 0xf4   ? 4
                          : first >= 0xe0 && first <= 0xef ? 3
                          : first >= 0xc2 && first <= 0xdf ? 2
                                                           : 0;
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (size_t i = 1; i < length; ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const auto second = static_cast<unsigned char>(text[1]);
    const bool c1_control = first == 0xc2 && second < 0xa0;
    const bool malformed = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                           (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return c1_control || malformed ? 0 : length;
}

}  // namespace

using Context = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

struct Sha256Stream::State {
    Context context{EVP_MD_CTX_new()};
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {
    require(EVP_DigestInit_ex(state_->context.get(), sha256_algorithm(), nullptr));
}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::update(std::string_view bytes) {
    require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

Sha256 Sha256Stream::finish() {
    Sha256 hash{};
    require(EVP_DigestFinal_ex(state_->context.get(), hash.data(), nullptr));
    return hash;
}

Sha256 sha256(std::string_view bytes) {
    thread_local const Context context{EVP_MD_CTX_new()};
    Sha256 hash{};
    require(EVP_DigestInit_ex(context.get(), sha256_algorithm(), nullptr));
    require(EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()));
    require(EVP_DigestFinal_ex(context.get(), hash.data(), nullptr));
    return hash;
}

std::string sha1(std::string_view head, std::string_view rest) {
    thread_local const Context context{EVP_MD_CTX_new()};
    std::array<unsigned char, 20> hash{};
    require(EVP_DigestInit_ex(context.get(), sha1_algorithm(), nullptr));
    require(EVP_DigestUpdate(context.get(), head.data(), head.size()));
    require(EVP_DigestUpdate(context.get(), rest.data(), rest.size()));
    require(EVP_DigestFinal_ex(context.get(), hash.data(), nullptr));
    return {hash.begin(), hash.end()};
}

std::optional<Sha256> sha256_from_bytes(std::string_view bytes) {
    Sha256 hash{};
    if (bytes.size() != hash.size()) {
        return std::nullopt;
    }
    std::copy(bytes.begin(), bytes.end(), hash.begin());
    return hash;
}

std::string to_hex(std::string_view bytes) {
    std::string hex(bytes.size() * 2, '0');
    for (size_t i = 0; i < bytes.size(); ++i) {
        const auto byte = static_cast<unsigned char>(bytes[i]);
        hex[2 * i] = hex_digits[byte >> 4];
        hex[2 * i + 1] = hex_digits[byte & 15];
    }
    return hex;
}

std::optional<std::string> from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) {
        return std::nullopt;
    }
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    for (size_t i = 0; i < hex.size(); i += 2) {
        const int high = hex_value(hex[i]);
        const int low = hex_value(hex[i + 1]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        bytes += static_cast<char>(high * 16 + low);
    }
    return bytes;
}

std::string printable(std::string_view bytes) {
    std::string text;
    while (!bytes.empty()) {
        const size_t length = printable_length(bytes);
        if (length > 0) {
            text += bytes.substr(0, length);
            bytes.remove_prefix(length);
        } else {
            text += "\\x" + to_hex(bytes.substr(0, 1));
            bytes.remove_prefix(1);
        }
    }
    return text;
}

}  // namespace antipode
