#include "verify/inventory_sums.hpp"

#include <charconv>
#include <sstream>

#include "base/error.hpp"

namespace antipode::verify {
namespace {

constexpr std::string_view heading = "inventory-sum-1";
constexpr size_t word_digits = 16;

uint64_t big_endian(const uint8_t* bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof value; ++i) {
        value = value << 8 | bytes[i];
    }
    return value;
}

void append(std::string& text, uint64_t word) {
    constexpr std::string_view digits = "0123456789abcdef";
    for (int shift = 60; shift >= 0; shift -= 4) {
        text += digits[word >> shift & 15];
    }
}

std::optional<uint64_t> read_word(std::string_view text) {
    uint64_t word = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), word, 16);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(word)
                                                                    : std::nullopt;
}

[[noreturn]] void malformed() {
    throw Error(Reaction::Retry, "the primary's answer of sums is malformed");
}

}  // namespace

uint32_t bucket_of(std::string_view item) {
    const Sha256 hash = sha256(item);
    return (uint32_t{hash[0]} << 8 | hash[1]) % inventory_buckets;
}

InventorySum& InventorySum::operator+=(const InventorySum& other) {
    high += other.high;
    low += other.low;
    items += other.items;
    return *this;
}

InventorySum& InventorySum::operator-=(const InventorySum& other) {
    high -= other.high;
    low -= other.low;
    items -= other.items;
    return *this;
}

std::string InventorySum::to_string() const {
    std::string text;
    append(text, high);
    append(text, low);
    append(text, items);
    return text;
}

std::optional<InventorySum> InventorySum::parse(std::string_view text) {
    if (text.size() != 3 * word_digits) {
        return std::nullopt;
    }
    const auto high = read_word(text.substr(0, word_digits));
    const auto low = read_word(text.substr(word_digits, word_digits));
    const auto items = read_word(text.substr(2 * word_digits));
    return high && low && items ? std::optional(InventorySum{*high, *low, *items}) : std::nullopt;
}

InventorySum sum_of(const std::string& item, const Digest& digest) {
    if (digest.empty()) {
        return {};
    }
    std::string bytes(8, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<char>(item.size() >> (8 * (7 - i)));
    }
    const Sha256 hash = sha256(bytes + item + digest.to_string());
    return {big_endian(hash.data()), big_endian(hash.data() + 8), 1};
}

std::string encode(const SumsAnswer& answer) {
    std::string text = std::string(heading) + " " + answer.position.to_string() +
                       (answer.equal ? " equal\n" : "\n");
    for (const auto& [bucket, sum] : answer.buckets) {
        text += std::to_string(bucket) + " " + sum.to_string() + "\n";
    }
    for (const uint32_t bucket : answer.unsure) {
        text += std::to_string(bucket) + " ?\n";
    }
    return text;
}

SumsAnswer decode_sums(const std::string& text) {
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    std::istringstream first(line);
    std::string word;
    std::string position;
    std::string equal;
    first >> word >> position >> equal;
    const auto parsed = Position::parse(position);
    if (word != heading || !parsed || !text.ends_with('\n')) {
        malformed();
    }
    SumsAnswer answer{*parsed, equal == "equal", {}, {}};
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        uint32_t bucket = inventory_buckets;
        if (!(fields >> bucket >> word) || bucket >= inventory_buckets) {
            malformed();
        }
        if (word == "?") {
            answer.unsure.push_back(bucket);
            continue;
        }
        const auto sum = InventorySum::parse(word);
        if (!sum) {
            malformed();
        }
        answer.buckets[bucket] = *sum;
    }
    return answer;
}

}  // namespace antipode::verify
