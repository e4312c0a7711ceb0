#include "tests/house/rules.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string_view>

#include "tests/support/temporary_directory.hpp"

namespace antipode::house {
namespace {

namespace fs = std::filesystem;

/// What each layer may include, itself left out.
const std::map<std::string, std::set<std::string>, std::less<>>& arrows() {
    static const std::map<std::string, std::set<std::string>, std::less<>> allowed = {
        {"base", {}},
        {"protocol", {"base"}},
        {"adapters", {"base"}},
        {"verify", {"adapters", "protocol", "base"}},
        {"primary", {"verify", "adapters", "protocol", "base"}},
        {"secondary", {"verify", "adapters", "protocol", "base"}},
        {"failover", {"primary", "secondary", "verify", "adapters", "protocol", "base"}},
        {"dashboard", {}},
        {"apps",
         {"dashboard", "failover", "primary", "secondary", "verify", "adapters", "protocol",
          "base"}},
    };
    return allowed;
}

/// Headers of libraries that stop at adapters/.
constexpr std::array foreign_headers = {
    "git2.h",     "git2/",     "nats.h",     "nats/",       "libpq-fe.h", "libpq/",
    "pqxx/",      "pqxx",      "boost/asio", "boost/beast", "SQLiteCpp/", "sqlite3.h",
    "pg_query.h", "pg_query/", "curl/",      "pugixml.hpp",
};

bool is_test_file(std::string_view path) {
    return path.starts_with("tests/") || path.find("_test.") != std::string_view::npos;
}

bool is_cpp(std::string_view path) {
    return path.ends_with(".cpp") || path.ends_with(".hpp") || path.ends_with(".c") ||
           path.ends_with(".h");
}

/// Code points, not bytes: a line is as long as it looks.
size_t columns(std::string_view line) {
    return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    }));
}

/// The name between the quotes or brackets of an #include line.
struct Include {
    std::string name;
    bool own = false;  ///< in quotes
};
std::optional<Include> parse_include(std::string_view line) {
    const auto skip_blanks = [&] {
        line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    };
    skip_blanks();
    if (!line.starts_with("#")) {
        return std::nullopt;
    }
    line.remove_prefix(1);
    skip_blanks();
    if (!line.starts_with("include")) {
        return std::nullopt;
    }
    line.remove_prefix(7);
    skip_blanks();
    if (line.empty() || (line[0] != '"' && line[0] != '<')) {
        return std::nullopt;
    }
    const bool own = line[0] == '"';
    const size_t end = line.find(own ? '"' : '>', 1);
    return Include{std::string(line.substr(1, end == std::string_view::npos ? end : end - 1)), own};
}

bool is_word(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// True when `name` stands in the line as a word followed by "(" (C++) or at a command's place
/// (sh).
bool calls(std::string_view line, std::string_view name, bool shell) {
    for (size_t at = line.find(name); at != std::string_view::npos; at = line.find(name, at + 1)) {
        const size_t end = at + name.size();
        const bool begins = at == 0 || !is_word(line[at - 1]);
        const char next = end < line.size() ? line[end] : '\n';
        if (begins && (shell ? next == ' ' : next == '(')) {
            return true;
        }
    }
    return false;
}

bool sleeps(std::string_view line, bool shell) {
    if (shell) {
        const size_t comment = line.find('#');
        return calls(line.substr(0, comment), "sleep", true);
    }
    line = line.substr(0, line.find("//"));
    constexpr std::array names = {"sleep",           "usleep",    "nanosleep",
                                  "clock_nanosleep", "sleep_for", "sleep_until"};
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return calls(line, name, false); });
}

bool is_foreign(const std::string& header) {
    return std::any_of(foreign_headers.begin(), foreign_headers.end(), [&](std::string_view name) {
        return name.ends_with('/') || name.starts_with("boost/") ? header.starts_with(name)
                                                                 : header == name;
    });
}

/// Headers below adapters/ that show foreign headers to whoever includes them, directly or through
/// another such header. They are private to their adapter.
std::set<std::string> private_headers(const Tree& tree) {
    std::set<std::string> found;
    size_t before = 0;
    do {
        before = found.size();
        for (const auto& [path, text] : tree) {
            if (!path.starts_with("adapters/") || path.ends_with(".cpp") || !is_cpp(path)) {
                continue;
            }
            std::istringstream lines(text);
            for (std::string line; std::getline(lines, line);) {
                const auto include = parse_include(line);
                if (include && (is_foreign(include->name) || found.contains(include->name))) {
                    found.insert(path);
                }
            }
        }
    } while (found.size() != before);
    return found;
}

std::optional<std::string> include_problem(const std::string& path, const Include& include,
                                           const std::set<std::string>& private_to_adapters) {
    const Module from = module_of(path);
    const Module to = module_of(include.name);
    if (is_foreign(include.name) && from.layer != "adapters") {
        return "<" + include.name + "> stops at adapters/";
    }
    if (private_to_adapters.contains(include.name) &&
        (from.layer != "adapters" || from.folder != to.folder)) {
        return "\"" + include.name + "\" includes foreign headers: it is private to its adapter";
    }
    if (!include.own || from.layer.empty()) {
        return std::nullopt;
    }
    if (include.name.find('/') == std::string::npos && !include.name.ends_with(".pb.h")) {
        return "\"" + include.name + "\" must be included by its path from the top";
    }
    if (include.name.starts_with("tests/") && is_test_file(path)) {
        return std::nullopt;
    }
    if (to.layer.empty() || !may_include(from, to, is_test_file(path))) {
        return "\"" + include.name + "\" is against the include order (see README.md, the map)";
    }
    return std::nullopt;
}

}  // namespace

std::string Violation::to_string() const {
    return path + ":" + std::to_string(line) + ": " + rule;
}

Module module_of(const std::string& path) {
    const fs::path parts(path);
    auto part = parts.begin();
    if (part == parts.end() || !arrows().contains(part->string())) {
        return {};
    }
    Module module{part->string(), {}};
    if (++part != parts.end() && std::next(part) != parts.end()) {
        module.folder = part->string();
    }
    return module;
}

bool may_include(const Module& from, const Module& to, bool is_test) {
    if (from.layer == to.layer) {
        // Down into one's own folder or up to what all folders share; base/seams belongs to base.
        return from.folder == to.folder || to.folder.empty() || from.layer == "base";
    }
    // A store's lane reaches the outside world through base/seams: apps/ hands the adapters in.
    const bool is_lane =
        (from.layer == "primary" || from.layer == "secondary") && !from.folder.empty();
    if (is_lane && to.layer == "adapters" && !is_test) {
        return false;
    }
    return arrows().at(from.layer).contains(to.layer);
}

namespace {

/// What the command line understands: the first words of its commands.
std::set<std::string> commands(const Tree& tree) {
    std::set<std::string> words;
    const std::regex command(R"re(\badd\(\s*app_?, "([a-z-]+)")re");
    for (const auto& [path, text] : tree) {
        if (!path.starts_with("apps/antipode/") || is_test_file(path)) {
            continue;
        }
        for (auto found = std::sregex_iterator(text.begin(), text.end(), command);
             found != std::sregex_iterator(); ++found) {
            words.insert((*found)[1]);
        }
    }
    return words;
}

/// The first "antipode WORD" in the line's string literals whose WORD is no command.
std::optional<std::string> unknown_command(const std::string& line,
                                           const std::set<std::string>& commands) {
    static const std::regex told(R"re(\bantipode ([a-z][a-z-]*))re");
    const auto literal = std::find(line.begin(), line.end(), '"');
    for (auto found = std::sregex_iterator(literal, line.end(), told);
         found != std::sregex_iterator() && !commands.empty(); ++found) {
        if (!commands.contains((*found)[1])) {
            return (*found)[1];
        }
    }
    return std::nullopt;
}

void check_file(const std::string& path, const std::string& text,
                const std::set<std::string>& private_to_adapters,
                const std::set<std::string>& known_commands, std::vector<Violation>& violations) {
    const bool cpp = is_cpp(path);
    const bool tells = cpp && !is_test_file(path);
    const bool may_sleep = !is_test_file(path) || path.starts_with("tests/support/");
    std::istringstream lines(text);
    std::string line;
    size_t number = 0;
    while (std::getline(lines, line)) {
        ++number;
        if (columns(line) > most_columns) {
            violations.push_back(
                {path, number, "longer than " + std::to_string(most_columns) + " columns"});
        }
        if (!may_sleep && sleeps(line, !cpp)) {
            violations.push_back({path, number, "a test waits for a condition, it does not sleep"});
        }
        if (const auto word = tells ? unknown_command(line, known_commands) : std::nullopt) {
            violations.push_back({path, number, "there is no command \"antipode " + *word + "\""});
        }
        const auto include = cpp ? parse_include(line) : std::nullopt;
        if (const auto problem =
                include ? include_problem(path, *include, private_to_adapters) : std::nullopt) {
            violations.push_back({path, number, *problem});
        }
    }
    if (number > most_lines) {
        violations.push_back({path, number, "more than " + std::to_string(most_lines) + " lines"});
    }
}

}  // namespace

std::vector<Violation> check(const Tree& tree) {
    std::vector<Violation> violations;
    const std::set<std::string> private_to_adapters = private_headers(tree);
    const std::set<std::string> known_commands = commands(tree);
    for (const auto& [path, text] : tree) {
        check_file(path, text, private_to_adapters, known_commands, violations);
    }
    return violations;
}

Tree read_tree(const fs::path& top) {
    Tree files;
    for (auto entry = fs::recursive_directory_iterator(top); entry != fs::end(entry); ++entry) {
        const std::string name = entry->path().filename().string();
        const bool hidden = name.starts_with(".") && name != ".ci";
        const bool made = entry.depth() == 0 && (name == "build" || name == "demo");
        if (entry->is_directory() && (hidden || made || name == "node_modules")) {
            entry.disable_recursion_pending();
        } else if (entry->is_regular_file()) {
            const std::string path = fs::relative(entry->path(), top).string();
            const bool script = name.find('.') == std::string::npos &&
                                test::read_file(entry->path()).starts_with("#!");
            const bool web =
                path.ends_with(".mjs") || path.ends_with(".css") || path.ends_with(".html");
            if (is_cpp(path) || script || web || path.ends_with(".sh") ||
                path.ends_with(".proto") || path.ends_with(".cmake") || name == "CMakeLists.txt") {
                files.emplace(path, test::read_file(entry->path()));
            }
        }
    }
    return files;
}

}  // namespace antipode::house
