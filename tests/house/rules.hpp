#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

/// The rules of the house that a program can check: which folder may include which, where foreign
/// headers stop, how long files and lines get, that no test waits by sleeping, and that operators
/// are told of no command that does not exist. There is no list of exceptions.
namespace antipode::house {

struct Violation {
    std::string path;  ///< from the top of the source tree
    size_t line = 0;   ///< from 1; 0: the file as a whole
    std::string rule;

    /// "path:line: rule"
    std::string to_string() const;
};

inline constexpr size_t most_lines = 600;
inline constexpr size_t most_columns = 100;

/// The place of a file in the include order of the README's map.
struct Module {
    std::string layer;   ///< "base", "protocol", "adapters", ...; empty: not part of the product
    std::string folder;  ///< below the layer: "blobs" of primary/blobs; may be empty
};
Module module_of(const std::string& path);

/// Whether a file of module `from` may include a file of module `to`. Unit tests stand beside the
/// code that they test and may use tests/ too.
bool may_include(const Module& from, const Module& to, bool is_test);

/// A source tree: paths from its top, and what is in the files.
using Tree = std::map<std::string, std::string>;

/// All violations in the files of a tree.
std::vector<Violation> check(const Tree& tree);

/// Reads what is checked of the source tree at `top`: code, CMake files and scripts.
Tree read_tree(const std::filesystem::path& top);

}  // namespace antipode::house
