#include "apps/antipode/format.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace antipode::cli {
namespace {

using std::chrono::microseconds;

template <typename... Numbers>
std::string print(const char* format, Numbers... numbers) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, numbers...);
    return text.data();
}

/// Above a minute: the two largest units.
std::string format_long(int64_t seconds) {
    const auto minutes = static_cast<long long>(seconds / 60);
    if (minutes < 60) {
        return print("%lldm%02llds", minutes, static_cast<long long>(seconds % 60));
    }
    if (minutes < 24 * 60) {
        return print("%lldh%02lldm", minutes / 60, minutes % 60);
    }
    return print("%lldd%02lldh", minutes / (24 * 60), minutes / 60 % 24);
}

/// "-5s", but "0s".
std::string with_sign(const std::string& text) {
    return text.find_first_of("123456789") == std::string::npos ? text : "-" + text;
}

const char* escape_code(Colour colour) {
    switch (colour) {
        case Colour::Plain:
            return "";
        case Colour::Green:
            return "\x1b[32m";
        case Colour::Yellow:
            return "\x1b[33m";
        case Colour::Red:
            return "\x1b[31m";
        case Colour::Faint:
            return "\x1b[2m";
    }
    return "";
}

/// Code points: what a terminal shows, but for wide and combining characters.
size_t width(std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    }));
}

}  // namespace

std::string format_duration(microseconds duration) {
    if (duration < microseconds(0)) {
        return with_sign(format_duration(-duration));
    }
    const double seconds = std::chrono::duration<double>(duration).count();
    if (seconds < 9.95) {
        return print("%.1fs", seconds);
    }
    if (seconds < 59.5) {
        return print("%.0fs", seconds);
    }
    return format_long(std::llround(seconds));
}

std::string format_seconds(std::optional<double> seconds) {
    if (!seconds) {
        return std::string(unknown);
    }
    return format_duration(microseconds(std::llround(*seconds * 1e6)));
}

std::string format_age(microseconds age) {
    if (age < microseconds(0)) {
        return with_sign(format_age(-age));
    }
    const int64_t seconds = std::chrono::floor<std::chrono::seconds>(age).count();
    return seconds < 60 ? std::to_string(seconds) + "s" : format_long(seconds);
}

std::string format_bytes(uint64_t bytes) {
    constexpr std::array units = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    return print(unit > 0 && value < 9.95 ? "%.1f" : "%.0f", value) + units.at(unit);
}

std::string format_count(std::optional<uint64_t> count) {
    return count ? std::to_string(*count) : std::string(unknown);
}

std::string format_share(uint64_t part, uint64_t all) {
    if (all == 0) {
        return std::string(not_applicable);
    }
    const auto hundredths = static_cast<uint64_t>(static_cast<long double>(std::min(part, all)) *
                                                  10'000 / static_cast<long double>(all));
    const std::string digits = std::to_string(hundredths % 100);
    return std::to_string(hundredths / 100) + (digits.size() < 2 ? ".0" : ".") + digits + "%";
}

std::string format_time(TimePoint time, TimePoint now) {
    const std::string full = to_iso8601(time);  // 2026-11-22T14:40:05.123Z
    const std::string clock = full.substr(11, 8) + "Z";
    const bool near = time > now - std::chrono::hours(24) && time < now + std::chrono::hours(24);
    return near ? clock : full.substr(0, 10) + " " + clock;
}

void Table::add(std::vector<Cell> row) {
    row.resize(columns_.size(), Cell(""));
    for (Cell& cell : row) {
        cell.text = harmless(cell.text);
    }
    rows_.push_back(std::move(row));
}

std::string Table::render(bool coloured) const {
    std::vector<Cell> titles;
    for (const Column& column : columns_) {
        titles.emplace_back(column.title);
    }
    std::vector<std::vector<Cell>> lines = {titles};
    lines.insert(lines.end(), rows_.begin(), rows_.end());
    std::vector<size_t> widths(columns_.size());
    for (const auto& line : lines) {
        for (size_t i = 0; i < line.size(); ++i) {
            widths[i] = std::max(widths[i], width(line[i].text));
        }
    }
    std::string text;
    for (const auto& line : lines) {
        std::string padding;  // before the next cell; never at a line's end
        for (size_t i = 0; i < line.size(); ++i) {
            const std::string fill(widths[i] - width(line[i].text), ' ');
            const bool right = columns_[i].align == Align::Right;
            if (!line[i].text.empty()) {
                text +=
                    padding + (right ? fill : "") + paint(line[i].text, line[i].colour, coloured);
                padding = right ? "  " : fill + "  ";
            } else {
                padding += fill + "  ";
            }
        }
        text += "\n";
    }
    return text;
}

std::string paint(std::string_view text, Colour colour, bool coloured) {
    if (!coloured || colour == Colour::Plain) {
        return std::string(text);
    }
    return escape_code(colour) + std::string(text) + "\x1b[0m";
}

std::string harmless(std::string_view text) {
    std::string clean(text);
    for (size_t i = 0; i < clean.size(); ++i) {
        const auto byte = static_cast<unsigned char>(clean[i]);
        const bool c1 =
            byte == 0xC2 && i + 1 < clean.size() && static_cast<unsigned char>(clean[i + 1]) < 0xA0;
        if (byte < 0x20 || byte == 0x7F || c1) {
            clean.replace(i, c1 ? 2 : 1, "?");
        }
    }
    return clean;
}

}  // namespace antipode::cli
