#pragma once

#include <ostream>
#include <string>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/format.hpp"

namespace antipode::cli {

enum class Format { Table, Json };

/// Where a command's answer goes, and how it looks. Results on `out`; errors and remarks on
/// `error`.
struct Output {
    std::ostream& out;
    std::ostream& error;
    Format format = Format::Table;
    bool coloured = false;

    bool json() const { return format == Format::Json; }
};

/// Prints "antipode: what" and "Try: next step", or the JSON form, to output.error. Returns the
/// code for the shell.
int report(const Output& output, const CommandError& error);

}  // namespace antipode::cli
