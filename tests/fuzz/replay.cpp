// Feeds every parser with its seeds, with each of them cut short and changed in one byte, and with
// what fuzzing has found.
//
//     parsers_replay CORPUS              all of it; what is in CORPUS/<parser>/ comes after the
//     seeds parsers_replay --list              the parsers parsers_replay --seeds PARSER DIR writes
//     the seeds of one there
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>

#include "tests/fuzz/parser.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::fuzz {
namespace {

namespace fs = std::filesystem;

/// Of a long seed only so many places are changed.
constexpr size_t most_places = 2000;

/// As large as the bytes are, so that a sanitizer sees what reads behind them.
void feed(const Parser& parser, std::string_view bytes) {
    const std::unique_ptr<char[]> copy(new char[bytes.size()]);
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    parser.read({copy.get(), bytes.size()});
}

size_t feed_with_neighbours(const Parser& parser, const std::string& seed) {
    size_t fed = 1;
    feed(parser, seed);
    const size_t step = seed.size() / most_places + 1;
    for (size_t place = 0; place < seed.size(); place += step) {
        feed(parser, std::string_view(seed).substr(0, place));
        for (const int change : {1, 0x80, 0xff}) {
            std::string changed = seed;
            changed[place] = static_cast<char>(changed[place] ^ change);
            feed(parser, changed);
        }
        fed += 4;
    }
    return fed;
}

std::vector<fs::path> files_in(const fs::path& directory) {
    std::vector<fs::path> files;
    if (fs::is_directory(directory)) {
        for (const auto& entry : fs::directory_iterator(directory)) {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

int replay(const fs::path& corpus) {
    size_t fed = 0;
    size_t found = 0;
    for (const Parser& parser : all_parsers()) {
        // Names the one that ends the program.
        std::cout << parser.name << std::endl;
        const std::vector<std::string> seeds = parser.seeds();
        require(!seeds.empty(), "each parser has a seed");
        for (const std::string& seed : seeds) {
            fed += feed_with_neighbours(parser, seed);
        }
        for (const fs::path& file : files_in(corpus / parser.name)) {
            feed(parser, test::read_file(file));
            ++found;
        }
    }
    const auto files = fs::recursive_directory_iterator(corpus);
    const auto all = std::count_if(begin(files), end(files),
                                   [](const auto& entry) { return entry.is_regular_file(); });
    require(static_cast<size_t>(all) == found, "each file of the corpus belongs to a parser");
    std::cout << all_parsers().size() << " parsers, " << fed << " inputs of their seeds, " << found
              << " that fuzzing found\n";
    return 0;
}

int list() {
    for (const Parser& parser : all_parsers()) {
        std::cout << parser.name << "\n";
    }
    return 0;
}

int write_seeds(const std::string& name, const fs::path& directory) {
    for (const Parser& parser : all_parsers()) {
        if (name == parser.name) {
            size_t number = 0;
            for (const std::string& seed : parser.seeds()) {
                test::write_file(directory / ("seed-" + std::to_string(number++)), seed);
            }
            return 0;
        }
    }
    std::cerr << "there is no parser " << name << "\nTry: --list\n";
    return 2;
}

}  // namespace
}  // namespace antipode::fuzz

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments == std::vector<std::string>{"--list"}) {
        return antipode::fuzz::list();
    }
    if (arguments.size() == 3 && arguments[0] == "--seeds") {
        return antipode::fuzz::write_seeds(arguments[1], arguments[2]);
    }
    if (arguments.size() == 1) {
        return antipode::fuzz::replay(arguments[0]);
    }
    std::cerr << "usage: parsers_replay CORPUS | --list | --seeds PARSER DIR\n";
    return 2;
}
