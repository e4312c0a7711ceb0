#include "apps/antipode/loss_view.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "base/clock.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t most_shown = 20;

std::string time_of(const Json& report, const char* key) {
    const auto found = report.find(key);
    return found != report.end() && found->is_number_integer()
               ? to_iso8601(from_microseconds(found->get<int64_t>()))
               : std::string(unknown);
}

std::string refs_of(const Json& loss) {
    std::string text;
    const auto refs = loss.find("refs");
    if (refs == loss.end() || !refs->is_array()) {
        return text;
    }
    for (const Json& ref : *refs) {
        text += "    " + harmless(ref.value("ref", "?")) + " " + harmless(ref.value("old", "")) +
                " -> " + harmless(ref.value("new", "")) + "\n";
    }
    return text;
}

}  // namespace

std::string render_loss(const Json& report) {
    if (!report.is_object() || !report.contains("losses")) {
        return "the loss report cannot be read; it stands in state_dir/loss-reports\n";
    }
    const std::string from = report.value("old_primary", std::string(unknown));
    const uint64_t known = report.value("known_lost", uint64_t{0});
    std::string text =
        "LOSS REPORT (preliminary: it becomes final only when " + from + " can be looked at)\n";
    text += "unknown: what " + from + " wrote after " + time_of(report, "unknown_since_us") +
            ", by its own clock; its newest sign of life is of " +
            time_of(report, "last_event_us") + "\n";
    text += "known:   " + std::to_string(known) + (known == 0 ? "\n" : ", of these\n");
    size_t shown = 0;
    for (const Json& loss : report["losses"]) {
        if (++shown > most_shown) {
            text += "  ... and more: antipode promote -o json\n";
            break;
        }
        const Json& item = loss["item"];
        text += "  " + loss.value("kind", "?") + "  " + loss.value("store", "?") + "  " +
                (item.is_string() ? harmless(item.get<std::string>()) : "anything in it") + ": " +
                harmless(loss.value("reason", "")) + "\n" + refs_of(loss);
    }
    return text;
}

}  // namespace antipode::cli
