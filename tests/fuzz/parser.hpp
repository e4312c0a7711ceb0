#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace antipode::fuzz {

/// What reads bytes that others wrote: another site, a server, an operator, a disk.
///
/// Whatever they are, it returns or throws Error, reads nothing behind them, and ends soon. What it
/// has understood has properties that `read` requires: written again it is the same, or it is
/// within the limits that its header promises.
struct Parser {
    const char* name;  ///< "folder/what"
    void (*read)(std::string_view bytes);
    /// Good ones, by our own encoders: what a mutation begins with.
    std::vector<std::string> (*seeds)();
};

/// In the order of their names.
const std::vector<Parser>& all_parsers();

// Those of a folder; each in a file of its own.
std::vector<Parser> base_parsers();
std::vector<Parser> failover_parsers();
std::vector<Parser> git_parsers();
std::vector<Parser> http_parsers();
std::vector<Parser> postgres_parsers();
std::vector<Parser> primary_parsers();  ///< and the secondary's
std::vector<Parser> protocol_parsers();
std::vector<Parser> s3_parsers();
std::vector<Parser> verify_parsers();

/// Says so and ends the program when it does not hold.
void require(bool holds, const char* property);

/// False: it was refused, by an Error. Any other exception ends the program.
template <typename Read>
bool is_read(Read read) {
    try {
        read();
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace antipode::fuzz
