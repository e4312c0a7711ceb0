#include "adapters/nats/reason.hpp"

#include <algorithm>
#include <cctype>

namespace antipode::nats {
namespace {

/// Without "(conn.c:2088): ".
std::string_view without_place(std::string_view text) {
    while (text.starts_with('(')) {
        const size_t end = text.find("): ");
        const size_t colon = text.find(".c:");
        if (end == std::string_view::npos || colon == std::string_view::npos || colon > end) {
            break;
        }
        text.remove_prefix(end + 3);
    }
    return text;
}

bool same_words(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return std::tolower(static_cast<unsigned char>(x)) ==
               std::tolower(static_cast<unsigned char>(y));
    });
}

}  // namespace

std::string reason_of(std::string_view status, std::string_view detail) {
    const std::string_view said = without_place(detail);
    if (said.empty() || same_words(said, status)) {
        return std::string(status);
    }
    // NATS_ERR is "Error": the server's own words are the reason.
    return same_words(status, "Error") ? std::string(said)
                                       : std::string(status) + " (" + std::string(said) + ")";
}

bool is_about_the_end(std::string_view reason) {
    return reason.find("wrong last sequence") != std::string_view::npos;
}

std::string remedy_for(std::string_view reason) {
    constexpr std::string_view too_small = "insufficient storage";
    constexpr std::string_view no_resources = "insufficient resources";
    if (reason.find(too_small) != std::string_view::npos ||
        reason.find(no_resources) != std::string_view::npos) {
        return "raise max_file_store in the configuration of that nats-server (all streams "
               "together must fit), or lower nats.stream_max_bytes in Antipode's";
    }
    if (is_about_the_end(reason)) {
        return std::string(damaged_stream_remedy);
    }
    return "check that nats-server runs there with JetStream enabled";
}

}  // namespace antipode::nats
