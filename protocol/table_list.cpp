#include "protocol/table_list.hpp"

#include <charconv>

#include "base/digest.hpp"

namespace antipode::protocol {
namespace {

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

std::optional<std::string> decode_word(std::string_view word) {
    std::string bytes;
    for (size_t i = 0; i < word.size(); ++i) {
        if (word[i] == '%') {
            const auto byte = from_hex(word.substr(i + 1, 2));
            if (!byte || byte->size() != 1) {
                return std::nullopt;
            }
            bytes += *byte;
            i += 2;
        } else if (is_plain(word[i])) {
            bytes += word[i];
        } else {
            return std::nullopt;
        }
    }
    return bytes;
}

}  // namespace

std::string encode_line(const Words& words) {
    std::string line;
    for (const std::string& word : words) {
        line += line.empty() ? "" : " ";
        for (const char c : word) {
            line += is_plain(c) ? std::string(1, c) : "%" + to_hex(std::string_view(&c, 1));
        }
    }
    return line + "\n";
}

std::optional<Words> decode_line(std::string_view line) {
    Words words;
    while (!line.empty()) {
        const size_t end = std::min(line.find(' '), line.size());
        auto word = decode_word(line.substr(0, end));
        if (!word) {
            return std::nullopt;
        }
        words.push_back(std::move(*word));
        line.remove_prefix(std::min(line.size(), end + 1));
    }
    return words;
}

std::optional<int64_t> decode_number(std::string_view text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(value) : std::nullopt;
}

std::optional<std::vector<Words>> decode_lines(std::string_view text, size_t width) {
    std::vector<Words> lines;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        auto words = decode_line(text.substr(0, end));
        if (!words || words->size() != width) {
            return std::nullopt;
        }
        lines.push_back(std::move(*words));
        text.remove_prefix(end + 1);
    }
    return lines;
}

}  // namespace antipode::protocol
