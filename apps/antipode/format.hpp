#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

/// How numbers and tables look. What is unknown is "?", never 0.
namespace antipode::cli {

inline constexpr std::string_view unknown = "?";
inline constexpr std::string_view not_applicable = "-";

/// "0.4s", "41s", "8m23s", "3h05m", "2d04h". Negative ones (clocks differ) keep their sign, unless
/// they are shown as 0.
std::string format_duration(std::chrono::microseconds duration);
std::string format_seconds(std::optional<double> seconds);
/// The same in whole seconds: how old something is.
std::string format_age(std::chrono::microseconds age);
/// "640 B", "18 kB", "3.1 GB": powers of 1000.
std::string format_bytes(uint64_t bytes);
std::string format_count(std::optional<uint64_t> count);
/// "99.98%" of `all`; never "100.00%" while one is missing. "-" of nothing.
std::string format_share(uint64_t part, uint64_t all);
/// "14:40:05Z" when it is within a day of `now`, else "2026-11-22 14:40:05Z".
std::string format_time(TimePoint time, TimePoint now);

enum class Colour { Plain, Green, Yellow, Red, Faint };

/// Columns that line up, two blanks apart.
class Table {
  public:
    enum class Align { Left, Right };
    struct Column {
        std::string title;
        Align align = Align::Left;
    };
    struct Cell {
        std::string text;
        Colour colour = Colour::Plain;

        Cell(std::string_view plain) : text(plain) {}  // NOLINT: a cell is mostly its text
        Cell(std::string plain) : text(std::move(plain)) {}
        Cell(const char* plain) : text(plain) {}
        Cell(std::string_view coloured, Colour which) : text(coloured), colour(which) {}
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<Cell> row);
    std::string render(bool coloured) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

/// The text in that colour, when `coloured`.
std::string paint(std::string_view text, Colour colour, bool coloured);

/// Control characters become "?": text from elsewhere cannot reach the terminal's controls.
std::string harmless(std::string_view text);

}  // namespace antipode::cli
