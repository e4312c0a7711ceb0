#include "verify/refs.hpp"

namespace antipode::verify {
namespace {

constexpr std::string_view symbolic_mark = "ref:";

/// Cuts the text before the next `end` off `rest`; nullopt when there is no `end`.
std::optional<std::string_view> cut(std::string_view& rest, char end) {
    const size_t length = rest.find(end);
    if (length == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view part = rest.substr(0, length);
    rest.remove_prefix(length + 1);
    return part;
}

std::optional<RefValue> parse_value(std::string_view text, size_t oid_size) {
    if (text.starts_with(symbolic_mark)) {
        text.remove_prefix(symbolic_mark.size());
        return text.empty() ? std::nullopt : std::optional(RefValue::symbolic(std::string(text)));
    }
    auto oid = from_hex(text);
    if (!oid || oid->size() != oid_size || to_hex(*oid) != text) {
        return std::nullopt;
    }
    return RefValue::direct(std::move(*oid));
}

}  // namespace

std::string canonical_refs(const RepositoryRefs& refs) {
    std::string text = std::string(refs_algorithm) + " " + refs.object_format + "\n";
    for (const auto& [name, value] : refs.refs) {
        text += name;
        text += ' ';
        text += value.is_symbolic() ? std::string(symbolic_mark) + value.target : to_hex(value.oid);
        text += '\n';
    }
    return text;
}

std::optional<RepositoryRefs> parse_canonical_refs(std::string_view text) {
    const auto algorithm = cut(text, ' ');
    const auto format = algorithm == refs_algorithm ? cut(text, '\n') : std::nullopt;
    if (!format || oid_bytes(*format) == 0) {
        return std::nullopt;
    }
    RepositoryRefs refs{std::string(*format), {}};
    while (!text.empty()) {
        const auto name = cut(text, ' ');
        const auto value_text = name ? cut(text, '\n') : std::nullopt;
        const auto value = value_text ? parse_value(*value_text, oid_bytes(*format)) : std::nullopt;
        if (!value || (!refs.refs.empty() && refs.refs.rbegin()->first >= *name)) {
            return std::nullopt;
        }
        refs.refs.emplace_hint(refs.refs.end(), std::string(*name), *value);
    }
    return refs;
}

Digest refs_digest(const RepositoryRefs& refs) {
    return {std::string(refs_algorithm), std::string(view(sha256(canonical_refs(refs))))};
}

}  // namespace antipode::verify
