#include "apps/antipode/row_stream.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Documents with several lists: the one that the table shows.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> rows_of = {{
    {"antipode.status/1", "sites"},
    {"antipode.lag/1", "stores"},
    {"antipode.history/1", "operations"},
    {"antipode.preflight/1", "blockers"},
}};

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// For people and their spreadsheets: names that users chose must neither steer the terminal nor be
/// taken for formulas.
std::string plain(const std::string& text) {
    std::string clean =
        !text.empty() && std::string_view("=+-@").find(text[0]) != std::string_view::npos ? "'"
                                                                                          : "";
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        clean += harmless(text.substr(at, end - at)) + (end < text.size() ? "\n" : "");
        at = end + 1;
    }
    return clean;
}

std::string cell(const Json& value) {
    std::string text = value.is_null()     ? ""
                       : value.is_string() ? plain(value.get<std::string>())
                                           : dump(value);
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    }
    return quoted + "\"";
}

/// What are documents themselves, an answer of each store, are not the rows: what they list is,
/// with the store in front.
Json rows_within(const Json& list) {
    Json rows = Json::array();
    for (const Json& element : list) {
        const std::string field(element.contains("schema") ? listed_in(element) : "");
        if (field.empty()) {
            rows.push_back(element);
            continue;
        }
        for (const Json& one : element[field]) {
            Json row = {{"store", element.value("store", Json())}};
            row.update(one);
            rows.push_back(std::move(row));
        }
    }
    return rows;
}

}  // namespace

std::string_view listed_in(const Json& document) {
    if (!document.is_object()) {
        return {};
    }
    const auto schema = document.find("schema");
    for (const auto& [known, field] : rows_of) {
        if (schema != document.end() && *schema == known && document.contains(field)) {
            return field;
        }
    }
    std::string_view found;
    for (const auto& [field, value] : document.items()) {
        const bool list = value.is_array() &&
                          std::all_of(value.begin(), value.end(),
                                      [](const Json& element) { return element.is_object(); });
        if (list && !found.empty()) {
            return {};
        }
        if (list) {
            found = field;
        }
    }
    return found;
}

Rows::Rows(Format format, std::ostream& out) : out_(out), before_(out.rdbuf()), behind_(before_) {
    if (format == Format::JsonLines || format == Format::Csv) {
        rows_.emplace(behind_, format == Format::Csv ? RowFormat::Csv : RowFormat::JsonLines);
        out_.rdbuf(&*rows_);
    }
}

Rows::~Rows() {
    out_.rdbuf(before_);
    rows_.reset();
}

RowStream::~RowStream() {
    if (!line_.empty()) {
        take(line_);
    }
    out_.flush();
}

int RowStream::overflow(int byte) {
    if (byte == traits_type::eof()) {
        return 0;
    }
    if (byte != '\n') {
        line_ += traits_type::to_char_type(byte);
        return byte;
    }
    take(std::exchange(line_, {}));
    return byte;
}

int RowStream::sync() {
    out_.flush();
    return 0;
}

void RowStream::take(const std::string& line) {
    const Json document = Json::parse(line, nullptr, false);
    if (document.is_discarded() || !document.is_object()) {
        out_ << line << "\n";
        return;
    }
    const std::string_view field = listed_in(document);
    if (field.empty()) {
        print(document);
        return;
    }
    const Json rows = rows_within(document[std::string(field)]);
    print_head(rows);
    for (const Json& row : rows) {
        print(row);
    }
}

/// Rows need not have the same fields: those of all that are known by now.
void RowStream::print_head(const Json& rows) {
    if (format_ != RowFormat::Csv || !columns_.empty() || rows.empty()) {
        return;
    }
    for (const Json& row : rows) {
        for (const auto& [name, value] : row.items()) {
            if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) {
                columns_.push_back(name);
            }
        }
    }
    for (size_t i = 0; i < columns_.size(); ++i) {
        out_ << (i == 0 ? "" : ",") << cell(Json(columns_[i]));
    }
    out_ << "\r\n";
}

void RowStream::print(const Json& row) {
    if (format_ == RowFormat::JsonLines) {
        out_ << dump(row) << "\n";
        return;
    }
    print_head(Json::array({row}));
    for (size_t i = 0; i < columns_.size(); ++i) {
        out_ << (i == 0 ? "" : ",")
             << (row.contains(columns_[i]) ? cell(row[columns_[i]]) : std::string());
    }
    out_ << "\r\n";
}

}  // namespace antipode::cli
