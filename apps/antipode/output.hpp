#pragma once

#include <ostream>
#include <string>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/format.hpp"

namespace antipode::cli {

/// JsonLines, Csv: commands print what they print as Json, and rows are made of it
/// (row_stream.hpp). Wide: a table with all that is known.
enum class Format { Table, Wide, Json, JsonLines, Csv };

/// Where a command's answer goes, and how it looks. Results on `out`; errors and remarks on
/// `error`.
struct Output {
    std::ostream& out;
    std::ostream& error;
    Format format = Format::Table;
    bool coloured = false;
    bool live = false;  ///< `error` is a terminal: a line on it may change

    bool json() const { return format != Format::Table && format != Format::Wide; }
    bool wide() const { return format == Format::Wide; }
};

/// Prints "antipode: what" and "Try: next step", or the JSON form, to output.error. Returns the
/// code for the shell.
int report(const Output& output, const CommandError& error);

}  // namespace antipode::cli
