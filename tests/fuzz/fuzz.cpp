// libFuzzer's entry: the parser that ANTIPODE_PARSER names. scripts/fuzz runs it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "tests/fuzz/parser.hpp"

namespace {

const antipode::fuzz::Parser& chosen() {
    const char* const name = std::getenv("ANTIPODE_PARSER");
    for (const antipode::fuzz::Parser& parser : antipode::fuzz::all_parsers()) {
        if (name != nullptr && std::string_view(name) == parser.name) {
            return parser;
        }
    }
    std::cerr << "ANTIPODE_PARSER names no parser\nTry: scripts/fuzz --list\n";
    std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const antipode::fuzz::Parser& parser = chosen();
    parser.read({reinterpret_cast<const char*>(data), size});
    return 0;
}
