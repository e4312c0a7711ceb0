#include "protocol/chunk_text.hpp"

#include <charconv>

#include "protocol/table_list.hpp"

namespace antipode::protocol {
namespace {

template <typename Number>
std::optional<Number> number_of(std::string_view word) {
    Number number{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    const bool whole = error == std::errc() && end == word.data() + word.size();
    return whole ? std::optional(number) : std::nullopt;
}

std::optional<Words> take_line(std::string_view& text) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    auto words = decode_line(text.substr(0, end));
    text.remove_prefix(end + 1);
    return words;
}

std::optional<RowsDigest> digest_of(const std::string& rows, const std::string& sum) {
    const auto count = number_of<uint64_t>(rows);
    const bool digits = !sum.empty() && sum.find_first_not_of("-0123456789") == std::string::npos;
    return count && digits ? std::optional(RowsDigest{*count, sum}) : std::nullopt;
}

}  // namespace

std::string encode_chunks(const ChunkedTable& table) {
    const ChunkPlan& plan = table.plan;
    Words first = {rows_digest_name, plan.table.schema, plan.table.table,
                   plan.whole_row ? "1" : "0", std::to_string(plan.buckets)};
    if (!plan.range_type.empty()) {
        first.push_back(plan.range_type);
    }
    std::string text = encode_line(first) + encode_line(plan.columns) + encode_line(plan.key) +
                       encode_line(plan.bounds);
    for (const auto& [chunk, digest] : table.digests) {
        text += encode_line({std::to_string(chunk), std::to_string(digest.rows), digest.sum});
    }
    return text;
}

std::optional<ChunkedTable> decode_chunks(std::string_view text) {
    const auto first = take_line(text);
    auto columns = take_line(text);
    auto key = take_line(text);
    auto bounds = take_line(text);
    if (!first || !columns || !key || !bounds || first->size() < 5 || first->size() > 6 ||
        first->front() != rows_digest_name) {
        return std::nullopt;
    }
    const auto buckets = number_of<uint32_t>((*first)[4]);
    const bool ranges = first->size() == 6;
    if (!buckets || *buckets == 0 || (ranges && key->size() != 1)) {
        return std::nullopt;
    }
    ChunkedTable table;
    table.plan = {
        {(*first)[1], (*first)[2]},  std::move(*columns), std::move(*key), (*first)[3] == "1",
        ranges ? first->back() : "", std::move(*bounds),  *buckets};
    const auto lines = decode_lines(text, 3);
    if (!lines) {
        return std::nullopt;
    }
    for (const Words& words : *lines) {
        const auto chunk = number_of<uint32_t>(words[0]);
        const auto digest = digest_of(words[1], words[2]);
        if (!chunk || !digest || *chunk >= table.plan.chunks()) {
            return std::nullopt;
        }
        table.digests[*chunk] = *digest;
    }
    return table;
}

std::string encode_keys(const KeyDigests& keys) {
    std::string text;
    for (const auto& [hash, key] : keys) {
        text += encode_line({std::to_string(hash), std::to_string(key.chunk), key.label,
                             std::to_string(key.digest.rows), key.digest.sum});
    }
    return text;
}

std::optional<KeyDigests> decode_keys(std::string_view text) {
    const auto lines = decode_lines(text, 5);
    if (!lines) {
        return std::nullopt;
    }
    KeyDigests keys;
    for (const Words& words : *lines) {
        const auto hash = number_of<int64_t>(words[0]);
        const auto chunk = number_of<uint32_t>(words[1]);
        const auto digest = digest_of(words[3], words[4]);
        if (!hash || !chunk || !digest) {
            return std::nullopt;
        }
        keys[*hash] = {*chunk, words[2], *digest};
    }
    return keys;
}

std::string encode_numbers(const std::set<uint32_t>& numbers) {
    std::string text;
    for (const uint32_t number : numbers) {
        text += (text.empty() ? "" : ",") + std::to_string(number);
    }
    return text;
}

std::optional<std::set<uint32_t>> decode_numbers(std::string_view text) {
    std::set<uint32_t> numbers;
    while (!text.empty()) {
        const size_t end = std::min(text.find(','), text.size());
        const auto number = number_of<uint32_t>(text.substr(0, end));
        if (!number) {
            return std::nullopt;
        }
        numbers.insert(*number);
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return numbers;
}

}  // namespace antipode::protocol
