#include "base/ids.hpp"

#include <array>
#include <charconv>
#include <cstdio>

namespace antipode {
namespace {

bool is_name_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text, int radix) {
    Number value{};
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value, radix);
    if (text.empty() || result.ec != std::errc() || result.ptr != end) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::string_view to_string(StoreKind kind) {
    switch (kind) {
        case StoreKind::Database:
            return "database";
        case StoreKind::Repositories:
            return "repositories";
        case StoreKind::Blobs:
            return "blobs";
    }
    return "?";
}

std::string StoreId::to_string() const {
    return std::string(antipode::to_string(kind)) + "/" + name;
}

std::optional<StoreId> StoreId::parse(std::string_view text) {
    for (const StoreKind kind : {StoreKind::Database, StoreKind::Repositories, StoreKind::Blobs}) {
        const std::string prefix = std::string(antipode::to_string(kind)) + "/";
        if (text.starts_with(prefix) && is_valid_name(text.substr(prefix.size()))) {
            return StoreId{kind, std::string(text.substr(prefix.size()))};
        }
    }
    return std::nullopt;
}

bool is_valid_name(std::string_view name) {
    if (name.empty() || name.size() > 32 || !is_name_letter(name.front())) {
        return false;
    }
    for (const char c : name) {
        if (!is_name_letter(c) && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

std::string Position::to_string() const {
    return std::to_string(epoch) + "." + std::to_string(session) + "." + std::to_string(number);
}

std::optional<Position> Position::parse(std::string_view text) {
    const size_t first = text.find('.');
    const size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
    if (second == text.npos) {
        return std::nullopt;
    }
    const auto epoch = parse_number<uint64_t>(text.substr(0, first), 10);
    const auto session = parse_number<uint64_t>(text.substr(first + 1, second - first - 1), 10);
    const auto number = parse_number<uint64_t>(text.substr(second + 1), 10);
    if (!epoch || !session || !number) {
        return std::nullopt;
    }
    return Position{*epoch, *session, *number};
}

std::string Lsn::to_string() const {
    std::array<char, 32> text{};
    const int length =
        std::snprintf(text.data(), text.size(), "%X/%X", static_cast<unsigned>(value >> 32),
                      static_cast<unsigned>(value & 0xffffffffU));
    return {text.data(), static_cast<size_t>(length)};
}

std::optional<Lsn> Lsn::parse(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == text.npos) {
        return std::nullopt;
    }
    const auto high = parse_number<uint32_t>(text.substr(0, slash), 16);
    const auto low = parse_number<uint32_t>(text.substr(slash + 1), 16);
    if (!high || !low) {
        return std::nullopt;
    }
    return Lsn{(uint64_t{*high} << 32) | *low};
}

}  // namespace antipode
