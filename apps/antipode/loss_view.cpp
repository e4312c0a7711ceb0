#include "apps/antipode/loss_view.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "base/clock.hpp"
#include "base/words.hpp"

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

uint64_t number_in(const Json& counts, const char* key) {
    return counts.value(key, uint64_t{0});
}

std::string preliminary_head(const Json& report) {
    const std::string from = report.value("old_primary", std::string(unknown));
    const uint64_t known = report.value("known_lost", uint64_t{0});
    return "LOSS REPORT (preliminary: it becomes final only when " + from +
           " can be looked at)\nunknown: what " + from + " wrote after " +
           time_of(report, "unknown_since_us") +
           ", by its own clock; its newest sign of life is of " + time_of(report, "last_event_us") +
           "\nknown:   " + std::to_string(known) + (known == 0 ? "\n" : ", of these\n");
}

std::string final_head(const Json& report) {
    const std::string from = report.value("old_primary", std::string(unknown));
    const Json lost = report.value("lost", Json::object());
    const uint64_t unreadable = number_in(lost, "unreadable");
    const std::string quarantine = report.value("quarantine", std::string(unknown));
    return "LOSS REPORT (final: " + from + " was looked at, " + time_of(report, "completed_at_us") +
           ")\nlost: " + counted(number_in(lost, "transactions"), "transaction", "transactions") +
           " (" + counted(number_in(lost, "changes"), "change", "changes") + "), " +
           counted(number_in(lost, "refs"), "ref", "refs") + " of " +
           counted(number_in(lost, "repositories"), "repository", "repositories") + ", " +
           counted(number_in(lost, "files"), "file", "files") + ", " +
           counted(number_in(lost, "undone_removals"), "removal", "removals") +
           (unreadable == 0 ? std::string()
                            : "; " + std::to_string(unreadable) + " could not be read") +
           (quarantine.empty() ? "\n" + from + " never was the primary\n"
                               : "\nkept on " + from + " in " + harmless(quarantine) + "\n");
}

}  // namespace

Json report_of(const std::string& text) {
    Json report = Json::parse(text, nullptr, false);
    return report.is_object() ? report : Json::object();
}

std::string render_one_loss(const Json& loss) {
    const Json item = loss.value("item", Json());
    const std::string kept = loss.value("kept", "");
    return "  " + harmless(loss.value("kind", "?")) + "  " + harmless(loss.value("store", "?")) +
           "  " + (item.is_string() ? harmless(item.get<std::string>()) : "anything in it") + ": " +
           harmless(loss.value("reason", "")) + (kept.empty() ? "" : "; " + harmless(kept)) + "\n" +
           refs_of(loss);
}

std::string render_loss_head(const Json& report) {
    return report.value("state", "") == "final" ? final_head(report) : preliminary_head(report);
}

std::string render_sequences(const Json& report) {
    std::string text;
    for (const Json& row : report.value("sequences", Json::array())) {
        const std::string store = harmless(row.value("store", "?"));
        text += "sequences: " + store + ": " + counted(number_in(row, "moved"), "was", "were") +
                " moved on by " + counted(number_in(row, "headroom"), "number", "numbers") +
                ", which the old primary may have given out\n";
        size_t shown = 0;
        for (const Json& left : row.value("left", Json::array())) {
            if (++shown > most_shown) {
                break;
            }
            text += "  left where it was: " + harmless(left.value("sequence", "?")) + ": " +
                    harmless(left.value("why", "?")) + "\n";
        }
        if (const uint64_t all = number_in(row, "left_count"); all > most_shown) {
            text += "  ... of " + std::to_string(all) + ": antipode loss -o json\n";
        }
    }
    return text;
}

std::string render_loss(const Json& report) {
    if (!report.is_object() || !report.contains("losses")) {
        return "the loss report cannot be read; it stands in state_dir/loss-reports\n";
    }
    std::string text = render_loss_head(report);
    size_t shown = 0;
    for (const Json& loss : report["losses"]) {
        if (++shown > most_shown) {
            text += "  ... and more: antipode loss -o json\n";
            break;
        }
        text += render_one_loss(loss);
    }
    return text + render_sequences(report);
}

}  // namespace antipode::cli
