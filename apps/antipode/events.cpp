#include "apps/antipode/events.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <vector>

#include <nlohmann/json.hpp>

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int wait_seconds = 20;

struct Event {
    uint64_t sequence = 0;
    Json json;
};

std::vector<Event> parse(const std::string& lines, const std::string& source) {
    std::vector<Event> events;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
        if (line.empty()) {
            continue;
        }
        Json json = Json::parse(line, nullptr, false);
        const bool good =
            json.is_object() && json.contains("sequence") && json["sequence"].is_number_unsigned();
        if (!good) {
            throw CommandError(ExitCode::Failed, source + " answered something that is no event",
                               "curl " + source);
        }
        const auto sequence = json["sequence"].get<uint64_t>();
        events.push_back({sequence, std::move(json)});
    }
    return events;
}

std::string text(const Json& event, const char* key) {
    const auto found = event.find(key);
    if (found == event.end() || found->is_null()) {
        return {};
    }
    return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string time_of(const Json& event) {
    const auto found = event.find("at_us");
    return found != event.end() && found->is_number_integer()
               ? to_iso8601(from_microseconds(found->get<int64_t>()))
               : std::string(unknown);
}

/// "12  2026-11-22T14:40:05.123Z  applied  blobs/uploads  a/b.txt  1.5.70  text"
std::string line_of(const Event& event) {
    std::string line = std::to_string(event.sequence) + "  " + time_of(event.json);
    for (const char* key : {"kind", "store", "item", "position", "text"}) {
        const std::string value = text(event.json, key);
        line += value.empty() ? "" : "  " + value;
    }
    return harmless(line);
}

std::vector<Event> fetch_events(const Config& config, const Fetch& fetch, uint64_t after,
                                int wait) {
    const std::string path =
        "/v1/events?after=" + std::to_string(after) + "&wait=" + std::to_string(wait);
    const std::string base = local_daemon(config);
    return parse(get(fetch, base, path, daemon_timeout + std::chrono::seconds(wait)), base + path);
}

}  // namespace

namespace {

void print(const std::vector<Event>& events, const Output& output) {
    for (const Event& event : events) {
        output.out << (output.json() ? event.json.dump() : line_of(event)) << "\n";
    }
    output.out.flush();
}

/// The newest events: pages through all, and keeps the last `count`.
std::vector<Event> newest(const Config& config, const Fetch& fetch, size_t count, uint64_t& after) {
    std::vector<Event> kept;
    while (true) {
        std::vector<Event> page = fetch_events(config, fetch, after, 0);
        if (page.empty()) {
            return kept;
        }
        after = page.back().sequence;
        kept.insert(kept.end(), std::make_move_iterator(page.begin()),
                    std::make_move_iterator(page.end()));
        if (kept.size() > count) {
            kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(count));
        }
    }
}

}  // namespace

ExitCode tail_events(const Config& config, const Fetch& fetch, const Output& output,
                     const TailOptions& options) {
    uint64_t after = options.after.value_or(0);
    if (!options.after) {
        print(newest(config, fetch, options.lines, after), output);
    }
    while (!options.stopped() && (options.follow || options.after)) {
        const std::vector<Event> events =
            fetch_events(config, fetch, after, options.follow ? wait_seconds : 0);
        print(events, output);
        if (!events.empty()) {
            after = events.back().sequence;
        } else if (!options.follow) {
            break;
        } else {
            options.pause();
        }
    }
    return ExitCode::Ok;
}

ExitCode show_event(const Config& config, const Fetch& fetch, const Output& output,
                    uint64_t sequence) {
    const uint64_t after = sequence == 0 ? 0 : sequence - 1;
    const std::vector<Event> events = fetch_events(config, fetch, after, 0);
    const auto found = std::find_if(events.begin(), events.end(),
                                    [&](const Event& event) { return event.sequence == sequence; });
    if (found == events.end()) {
        throw CommandError(ExitCode::Unknown,
                           "the daemon holds no event " + std::to_string(sequence) + " (any more)",
                           "antipode events tail --no-follow");
    }
    if (output.json()) {
        output.out << found->json.dump() << "\n";
        return ExitCode::Ok;
    }
    for (const auto& [key, value] : found->json.items()) {
        const bool time = key.ends_with("_us") && value.is_number_integer();
        output.out << harmless(key) << ": " << harmless(text(found->json, key.c_str()))
                   << (time ? " (" + to_iso8601(from_microseconds(value.get<int64_t>())) + ")" : "")
                   << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
