#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"

/// How config.cpp reads TOML; private to it. Everything that is wrong is Error{Stop} with line and
/// column.
namespace antipode {

using std::chrono::milliseconds;

inline constexpr const char* mend_the_line = "mend the line and start again";

inline size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

/// "antipode.toml:3:8: "
inline std::string at(const std::string& source, const toml::source_region& where) {
    std::ostringstream text;
    text << source << ":" << where.begin.line << ":" << where.begin.column << ": ";
    return text.str();
}

/// Reads one table: every key that is asked for becomes known; finish() refuses the others.
class TableReader {
  public:
    TableReader(const toml::table& table, std::string path, const std::string& source)
        : table_(table), path_(std::move(path)), source_(source) {}

    void read(const char* key, std::string& value) { read_as<std::string>(key, value); }
    void read(const char* key, bool& value) { read_as<bool>(key, value); }
    void read(const char* key, std::filesystem::path& value) {
        std::string text = value.string();
        read(key, text);
        value = text;
        if (!value.empty() && !value.is_absolute()) {
            fail(*table_.get(key), key, "must be an absolute path");
        }
    }
    void read(const char* key, std::vector<std::string>& value) {
        if (const toml::node* node = find(key)) {
            const toml::array* list = node->as_array();
            if (list == nullptr ||
                (!list->empty() && !list->is_homogeneous(toml::node_type::string))) {
                fail(*node, key, "must be a list of strings");
            }
            for (const toml::node& element : *list) {
                value.push_back(*element.value<std::string>());
            }
        }
    }
    template <typename Integer>
    void read_integer(const char* key, Integer& value, int64_t least, int64_t most) {
        if (const toml::node* node = find(key)) {
            const auto number = node->value_exact<int64_t>();
            if (!number || *number < least || *number > most) {
                fail(*node, key,
                     "must be a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most));
            }
            value = static_cast<Integer>(*number);
        }
    }
    /// "500ms", "2s", "10m", "7d".
    void read(const char* key, milliseconds& value, milliseconds least, milliseconds most) {
        if (const toml::node* node = find(key)) {
            const auto duration = parse_duration(node->value<std::string>().value_or(""));
            if (!duration) {
                fail(*node, key, "must be a duration such as \"500ms\", \"10s\", \"5m\", \"12h\"");
            }
            if (*duration < least || *duration > most) {
                fail(*node, key,
                     "must be from " + format_duration(least) + " to " + format_duration(most));
            }
            value = *duration;
        }
    }
    /// "never" is 0.
    void read_or_never(const char* key, milliseconds& value, milliseconds least,
                       milliseconds most) {
        const toml::node* node = find(key);
        if (node != nullptr && node->value<std::string>() == "never") {
            value = milliseconds(0);
        } else {
            read(key, value, least, most);
        }
    }
    void read_choice(const char* key, std::string& value, std::set<std::string> choices) {
        read(key, value);
        if (!choices.contains(value)) {
            std::string list;
            for (const std::string& choice : choices) {
                list += (list.empty() ? "\"" : ", \"") + choice + "\"";
            }
            fail(*table_.get(key), key, "must be one of " + list);
        }
    }
    bool has(const char* key) const { return table_.contains(key); }
    void require(const char* key, const std::string& value) {
        if (value.empty()) {
            fail(table_, key, "is missing");
        }
    }
    /// `why`: what is wrong with the value, or nullopt.
    void check(const char* key, const std::optional<std::string>& why,
               const std::string& next_step = mend_the_line) const {
        if (why) {
            fail(where(key), key, *why, next_step);
        }
    }
    /// Where the key stands; the table when the value is the default.
    const toml::source_region& where(const char* key) const {
        const toml::node* const node = table_.get(key);
        return node == nullptr ? table_.source() : node->source();
    }
    void read_name(const char* key, std::string& value) {
        read(key, value);
        require(key, value);
        if (!is_valid_name(value)) {
            fail(*table_.get(key), key,
                 "must be 1 to 32 of a-z, 0-9, _ and -, and start with a letter or digit");
        }
    }
    template <typename Use>
    void table(const char* key, Use use) {
        if (const toml::node* node = find(key)) {
            if (!node->is_table()) {
                fail(*node, key, "must be a table");
            }
            TableReader reader(*node->as_table(), path_ + key + ".", source_);
            use(reader);
            reader.finish();
        }
    }
    template <typename Element, typename Use>
    void tables(const char* key, std::vector<Element>& elements, Use use) {
        const toml::node* node = find(key);
        if (node == nullptr) {
            return;
        }
        const toml::array* list = node->as_array();
        if (list == nullptr || !list->is_homogeneous(toml::node_type::table)) {
            fail(*node, key, std::string("must be written [[") + key + "]]");
        }
        for (const toml::node& element : *list) {
            TableReader reader(*element.as_table(), path_ + key + ".", source_);
            Element value;
            use(reader, value);
            reader.finish();
            for (const Element& earlier : elements) {
                if (earlier.name == value.name) {
                    fail(element, key, "\"" + value.name + "\" is there twice");
                }
            }
            elements.push_back(std::move(value));
        }
    }
    void finish() const {
        for (const auto& [key, node] : table_) {
            if (!known_.contains(std::string(key.str()))) {
                fail(key.source(), std::string(key.str()),
                     "is no known key" + suggestion(key.str()));
            }
        }
    }
    [[noreturn]] void fail(const toml::node& node, const std::string& key,
                           const std::string& what) const {
        fail(node.source(), key, what);
    }

  private:
    const toml::node* find(const char* key) {
        known_.insert(key);
        return table_.get(key);
    }
    template <typename Value>
    void read_as(const char* key, Value& value) {
        if (const toml::node* node = find(key)) {
            const auto read = node->value_exact<Value>();
            if (!read) {
                fail(*node, key,
                     std::is_same_v<Value, bool> ? "must be true or false" : "must be a string");
            }
            value = *read;
        }
    }
    std::string suggestion(std::string_view key) const {
        std::string nearest;
        size_t distance = std::max<size_t>(2, key.size() / 3) + 1;
        for (const std::string& known : known_) {
            const size_t candidate = edit_distance(key, known);
            if (candidate < distance) {
                distance = candidate;
                nearest = known;
            }
        }
        return nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?";
    }
    [[noreturn]] void fail(const toml::source_region& where, const std::string& key,
                           const std::string& what,
                           const std::string& next_step = mend_the_line) const {
        throw Error(Reaction::Stop, at(source_, where) + path_ + key + " " + what, next_step);
    }
    static std::string format_duration(milliseconds duration) {
        const int64_t number = duration.count();
        return number % 86'400'000 == 0 ? std::to_string(number / 86'400'000) + "d"
               : number % 1000 == 0     ? std::to_string(number / 1000) + "s"
                                        : std::to_string(number) + "ms";
    }
    const toml::table& table_;
    std::string path_;
    const std::string& source_;
    std::set<std::string> known_;
};

}  // namespace antipode
