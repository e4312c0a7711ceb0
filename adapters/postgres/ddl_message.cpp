#include "adapters/postgres/ddl_message.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/postgres/sql_text.hpp"

namespace antipode::postgres {
namespace {

using Json = nlohmann::json;

/// Of a message; what the parser makes of a text is ten times as large.
constexpr size_t most_bytes = 4 << 20;

std::string text_of(const Json& message, const char* key) {
    const auto found = message.find(key);
    return found != message.end() && found->is_string() ? found->get<std::string>() : "";
}

size_t number_of(const Json& message, const char* key) {
    const auto found = message.find(key);
    return found != message.end() && found->is_number_unsigned() ? found->get<size_t>() : 0;
}

DdlStatement read_frame(const Json& message) {
    DdlStatement ddl;
    ddl.tag = text_of(message, "tag");
    ddl.role = text_of(message, "role");
    ddl.problem = text_of(message, "problem");
    const Json settings = message.value("settings", Json::object());
    for (const auto& [name, value] : settings.items()) {
        if (value.is_string()) {
            ddl.settings.push_back({name, value});
        }
    }
    for (const Json& object : message.value("objects", Json::array())) {
        ddl.objects.push_back(object.get<std::string>());
    }
    return ddl;
}

bool is_one_statement(const std::string& text) {
    const size_t end = text.find(';');
    return end == std::string::npos || text.find_first_not_of("; \t\r\n", end) == std::string::npos;
}

/// The statement that fired: by its place in a function's body, or the n-th with this tag. A text
/// that was run several times has it in every round.
std::optional<SqlStatement> find_fired(const Json& message, const std::string& tag) {
    const std::string text = text_of(message, "text");
    auto statements = split_sql(text);
    if (!statements) {
        // Newer than the parser, perhaps; what stands alone need not be understood.
        SqlStatement alone;
        alone.sql = text;
        alone.tag = tag;
        return is_one_statement(text) ? std::optional(alone) : std::nullopt;
    }
    if (const size_t place = number_of(message, "place"); place > 0) {
        return place <= statements->size() ? std::optional((*statements)[place - 1]) : std::nullopt;
    }
    if (statements->size() > 1) {
        std::erase_if(*statements, [&](const SqlStatement& one) { return one.tag != tag; });
    }
    if (statements->empty() || statements->front().tag.empty()) {
        return std::nullopt;
    }
    const size_t nth = std::max<size_t>(1, number_of(message, "nth"));
    return (*statements)[(nth - 1) % statements->size()];
}

bool adds(const SqlStatement& statement, const std::string& column) {
    return std::find(statement.added_columns.begin(), statement.added_columns.end(), column) !=
           statement.added_columns.end();
}

/// Why the statement gives rows that were there values that differ on each server; empty: it does
/// not.
std::string why_rows_differ(const Json& message, const SqlStatement& statement) {
    if (!message.value("filled", false)) {
        return {};
    }
    if (statement.sets_logged) {
        return "it makes an unlogged table a logged one, whose rows were not replicated";
    }
    for (const Json& column : message.value("unsafe", Json::array())) {
        if (adds(statement, column)) {
            return "it fills the new column \"" + column.get<std::string>() +
                   "\" of rows that were there with values that differ on each server";
        }
    }
    for (const Json& function : message.value("changing", Json::array())) {
        const auto& called = statement.using_functions;
        const auto name = function.get<std::string>();
        if (std::find(called.begin(), called.end(), name) != called.end()) {
            return "it rewrites rows with what " + name +
                   "() returned, which differs on each server";
        }
    }
    return statement.using_clock ? "it rewrites rows with the time or the user of its run" : "";
}

void read_rows_of_before(const Json& message, const SqlStatement& statement, DdlStatement& ddl) {
    for (const Json& fill : message.value("fills", Json::array())) {
        if (adds(statement, text_of(fill, "column"))) {
            ddl.fills.push_back({{text_of(fill, "schema"), text_of(fill, "table")},
                                 text_of(fill, "column"),
                                 text_of(fill, "value")});
        }
    }
    ddl.problem = why_rows_differ(message, statement);
    if (!ddl.problem.empty()) {
        for (const Json& table : message.value("tables", Json::array())) {
            ddl.copies.push_back({text_of(table, "schema"), text_of(table, "table")});
        }
    }
}

void write_for_mirror(const SqlStatement& statement, DdlStatement& ddl) {
    std::optional<std::string> sql = statement.sql;
    if (statement.tag == "CREATE TABLE AS" || statement.tag == "SELECT INTO") {
        sql = without_data(statement);
    } else if (statement.concurrent) {
        sql = without_concurrently(statement);
    }
    ddl.sql = sql.value_or(statement.sql);
    if (!sql) {
        ddl.problem = "it cannot be written as a mirror needs it";
    }
}

std::optional<DdlStatement> read_message(const Json& message) {
    DdlStatement ddl = read_frame(message);
    if (!ddl.problem.empty()) {
        return ddl;
    }
    const auto statement = find_fired(message, ddl.tag);
    if (!statement) {
        ddl.sql = text_of(message, "text").substr(0, 1000);
        ddl.problem = "the statement cannot be found in the text that was run";
        return ddl;
    }
    if (statement->temporary) {
        return std::nullopt;
    }
    read_rows_of_before(message, *statement, ddl);
    write_for_mirror(*statement, ddl);
    return ddl;
}

}  // namespace

std::optional<DdlStatement> parse_ddl_message(std::string_view content) {
    DdlStatement unknown;
    unknown.problem = "its text is larger than 4 MiB";
    if (content.size() > most_bytes) {
        return unknown;
    }
    try {
        return read_message(Json::parse(content));
    } catch (const Json::exception& error) {
        unknown.problem = std::string("what the event trigger wrote is malformed: ") + error.what();
        return unknown;
    }
}

}  // namespace antipode::postgres
