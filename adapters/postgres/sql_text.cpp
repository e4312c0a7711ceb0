#include "adapters/postgres/sql_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include <nlohmann/json.hpp>
#include <pg_query.h>
#include <pthread.h>
#include <sys/mman.h>

namespace antipode::postgres {
namespace {

using Json = nlohmann::json;

/// The parser recurses as deep as an expression is, and what a client sent holds also what the
/// server has refused for its depth. Measured are 420 bytes of stack for a level, which takes a
/// token at least.
constexpr size_t stack_per_token = 1024;
/// Deeper than anybody writes, or some 10 MB of flat text.
constexpr size_t most_stack = size_t{2} * 1024 * 1024 * 1024;
constexpr size_t least_stack = size_t{4} * 1024 * 1024;
/// What the stack of any thread suffices for.
constexpr size_t short_text = 4096;

struct Parsing {
    const std::string& script;
    std::optional<PgQueryParseResult> result{};
};

void* run_parser(void* argument) {
    auto& parsing = *static_cast<Parsing*>(argument);
    parsing.result = pg_query_parse(parsing.script.c_str());
    return nullptr;
}

/// At most so many: what stands in strings and comments is counted, too.
size_t count_tokens(const std::string& text) {
    enum class Class { Space, Letters, Digits, Sign };
    const auto class_of = [](unsigned char c) {
        if (std::isspace(c) != 0) {
            return Class::Space;
        }
        if (std::isdigit(c) != 0) {
            return Class::Digits;
        }
        return std::isalpha(c) != 0 || c == '_' || c == '$' || c >= 0x80 ? Class::Letters
                                                                         : Class::Sign;
    };
    size_t tokens = 0;
    Class before = Class::Space;
    for (const char c : text) {
        const Class now = class_of(static_cast<unsigned char>(c));
        if (now == Class::Sign || (now != Class::Space && now != before)) {
            ++tokens;
        }
        before = now;
    }
    return tokens;
}

/// A thread's, with a guard below it. Takes memory only as it is used, and is not reserved.
class Stack {
  public:
    explicit Stack(size_t size) : size_(size) {
        void* const place = mmap(nullptr, guard + size_, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (place != MAP_FAILED) {
            place_ = static_cast<char*>(place);
            mprotect(place_, guard, PROT_NONE);
        }
    }
    ~Stack() {
        if (place_ != nullptr) {
            munmap(place_, guard + size_);
        }
    }
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;

    /// nullptr: there is no room for it.
    char* begin() const { return place_ == nullptr ? nullptr : place_ + guard; }
    size_t size() const { return size_; }

  private:
    static constexpr size_t guard = size_t{1} << 20;
    const size_t size_;
    char* place_ = nullptr;
};

void run_parser_in_thread(Parsing& parsing) {
    constexpr size_t page = 4096;
    const size_t wanted = least_stack + count_tokens(parsing.script) * stack_per_token;
    if (wanted > most_stack) {
        return;
    }
    const Stack stack((wanted + page - 1) / page * page);
    if (stack.begin() == nullptr) {
        return;
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack.begin(), stack.size());
    pthread_t thread{};
    if (pthread_create(&thread, &attributes, run_parser, &parsing) == 0) {
        pthread_join(thread, nullptr);
    }
    pthread_attr_destroy(&attributes);
}

/// The tree as JSON; null when the parser refuses the text, it may be deeper than there
/// is memory for, or it is no UTF-8.
Json parse(const std::string& script) {
    Parsing parsing{script};
    if (script.size() <= short_text) {
        run_parser(&parsing);
    } else {
        run_parser_in_thread(parsing);
    }
    if (!parsing.result) {
        return {};
    }
    const PgQueryParseResult& result = *parsing.result;
    const std::unique_ptr<const PgQueryParseResult, void (*)(const PgQueryParseResult*)> freed(
        &result, [](const PgQueryParseResult* used) { pg_query_free_parse_result(*used); });
    if (result.error != nullptr) {
        return {};
    }
    // Names that are no UTF-8 stand in the tree as they are, and make it no JSON.
    Json tree = Json::parse(result.parse_tree, nullptr, false);
    if (tree.is_discarded()) {
        return {};
    }
    return tree;
}

/// Null when there is none. No copy: that would recurse as deep as the tree is.
const Json& part_of(const Json& node, const char* key) {
    static const Json none;
    const auto found = node.find(key);
    return found == node.end() ? none : *found;
}

struct Tag {
    std::string_view node;
    std::string_view tag;
};
/// Statements whose tag their node alone tells.
constexpr std::array plain_tags = {
    Tag{"CreateStmt", "CREATE TABLE"},
    Tag{"IndexStmt", "CREATE INDEX"},
    Tag{"ViewStmt", "CREATE VIEW"},
    Tag{"RefreshMatViewStmt", "REFRESH MATERIALIZED VIEW"},
    Tag{"CreateSchemaStmt", "CREATE SCHEMA"},
    Tag{"CreateSeqStmt", "CREATE SEQUENCE"},
    Tag{"AlterSeqStmt", "ALTER SEQUENCE"},
    Tag{"CreateEnumStmt", "CREATE TYPE"},
    Tag{"CompositeTypeStmt", "CREATE TYPE"},
    Tag{"CreateRangeStmt", "CREATE TYPE"},
    Tag{"AlterEnumStmt", "ALTER TYPE"},
    Tag{"AlterTypeStmt", "ALTER TYPE"},
    Tag{"CreateDomainStmt", "CREATE DOMAIN"},
    Tag{"AlterDomainStmt", "ALTER DOMAIN"},
    Tag{"CreateTrigStmt", "CREATE TRIGGER"},
    Tag{"RuleStmt", "CREATE RULE"},
    Tag{"CreatePolicyStmt", "CREATE POLICY"},
    Tag{"AlterPolicyStmt", "ALTER POLICY"},
    Tag{"CreateExtensionStmt", "CREATE EXTENSION"},
    Tag{"AlterExtensionStmt", "ALTER EXTENSION"},
    Tag{"AlterExtensionContentsStmt", "ALTER EXTENSION"},
    Tag{"CreateCastStmt", "CREATE CAST"},
    Tag{"CreateConversionStmt", "CREATE CONVERSION"},
    Tag{"CreateOpClassStmt", "CREATE OPERATOR CLASS"},
    Tag{"CreateOpFamilyStmt", "CREATE OPERATOR FAMILY"},
    Tag{"AlterOpFamilyStmt", "ALTER OPERATOR FAMILY"},
    Tag{"AlterOperatorStmt", "ALTER OPERATOR"},
    Tag{"CreateStatsStmt", "CREATE STATISTICS"},
    Tag{"AlterStatsStmt", "ALTER STATISTICS"},
    Tag{"CreateAmStmt", "CREATE ACCESS METHOD"},
    Tag{"CreateFdwStmt", "CREATE FOREIGN DATA WRAPPER"},
    Tag{"AlterFdwStmt", "ALTER FOREIGN DATA WRAPPER"},
    Tag{"CreateForeignServerStmt", "CREATE SERVER"},
    Tag{"AlterForeignServerStmt", "ALTER SERVER"},
    Tag{"CreateForeignTableStmt", "CREATE FOREIGN TABLE"},
    Tag{"ImportForeignSchemaStmt", "IMPORT FOREIGN SCHEMA"},
    Tag{"CreateUserMappingStmt", "CREATE USER MAPPING"},
    Tag{"AlterUserMappingStmt", "ALTER USER MAPPING"},
    Tag{"DropUserMappingStmt", "DROP USER MAPPING"},
    Tag{"CreatePLangStmt", "CREATE LANGUAGE"},
    Tag{"CreateTransformStmt", "CREATE TRANSFORM"},
    Tag{"AlterTSDictionaryStmt", "ALTER TEXT SEARCH DICTIONARY"},
    Tag{"AlterTSConfigurationStmt", "ALTER TEXT SEARCH CONFIGURATION"},
    Tag{"AlterDefaultPrivilegesStmt", "ALTER DEFAULT PRIVILEGES"},
    Tag{"DropOwnedStmt", "DROP OWNED"},
    Tag{"CommentStmt", "COMMENT"},
};

/// "OBJECT_TEXT_SEARCH..." as tags name it; empty for what no event trigger sees.
std::string object_tag(const std::string& type) {
    struct Special {
        std::string_view type;
        std::string_view tag;
    };
    constexpr std::array special = {
        Special{"OBJECT_DATABASE", ""},
        Special{"OBJECT_ROLE", ""},
        Special{"OBJECT_TABLESPACE", ""},
        Special{"OBJECT_EVENT_TRIGGER", ""},
        Special{"OBJECT_PARAMETER_ACL", ""},
        Special{"OBJECT_MATVIEW", "MATERIALIZED VIEW"},
        Special{"OBJECT_FOREIGN_SERVER", "SERVER"},
        Special{"OBJECT_FDW", "FOREIGN DATA WRAPPER"},
        Special{"OBJECT_OPCLASS", "OPERATOR CLASS"},
        Special{"OBJECT_OPFAMILY", "OPERATOR FAMILY"},
        Special{"OBJECT_STATISTIC_EXT", "STATISTICS"},
        Special{"OBJECT_TSCONFIGURATION", "TEXT SEARCH CONFIGURATION"},
        Special{"OBJECT_TSDICTIONARY", "TEXT SEARCH DICTIONARY"},
        Special{"OBJECT_TSPARSER", "TEXT SEARCH PARSER"},
        Special{"OBJECT_TSTEMPLATE", "TEXT SEARCH TEMPLATE"},
        Special{"OBJECT_COLUMN", "TABLE"},
        Special{"OBJECT_TABCONSTRAINT", "TABLE"},
        Special{"OBJECT_DOMCONSTRAINT", "DOMAIN"},
        Special{"OBJECT_ATTRIBUTE", "TYPE"},
        Special{"OBJECT_LARGEOBJECT", "LARGE OBJECT"},
    };
    for (const Special& known : special) {
        if (type == known.type) {
            return std::string(known.tag);
        }
    }
    std::string words = type.starts_with("OBJECT_") ? type.substr(7) : type;
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

std::string prefixed(const std::string& verb, const std::string& object) {
    return object.empty() ? "" : verb + " " + object;
}

std::string text_of(const Json& node, const char* key) {
    const Json& text = part_of(node, key);
    return text.is_string() ? text.get<std::string>() : "";
}

/// What is renamed, moved or given away: a column's table stands beside its type.
std::string altered(const Json& node, const char* type_key) {
    const std::string type = text_of(node, type_key);
    const bool inside = type == "OBJECT_COLUMN" || type == "OBJECT_ATTRIBUTE";
    const std::string relation = text_of(node, "relationType");
    return prefixed("ALTER", object_tag(inside && !relation.empty() ? relation : type));
}

std::string tag_of(const std::string& kind, const Json& node) {
    const auto plain = std::find_if(plain_tags.begin(), plain_tags.end(),
                                    [&](const Tag& known) { return known.node == kind; });
    if (plain != plain_tags.end()) {
        const bool visible = kind != "CommentStmt" || !object_tag(text_of(node, "objtype")).empty();
        return visible ? std::string(plain->tag) : "";
    }
    if (kind == "AlterTableStmt" || kind == "AlterOwnerStmt" || kind == "AlterObjectSchemaStmt" ||
        kind == "AlterObjectDependsStmt") {
        return altered(node, node.contains("objectType") ? "objectType" : "objtype");
    }
    if (kind == "RenameStmt") {
        return altered(node, "renameType");
    }
    if (kind == "AlterFunctionStmt") {
        return prefixed("ALTER", object_tag(text_of(node, "objtype")));
    }
    if (kind == "DropStmt") {
        return prefixed("DROP", object_tag(text_of(node, "removeType")));
    }
    if (kind == "DefineStmt") {
        return prefixed("CREATE", object_tag(text_of(node, "kind")));
    }
    if (kind == "CreateFunctionStmt") {
        return node.value("is_procedure", false) ? "CREATE PROCEDURE" : "CREATE FUNCTION";
    }
    if (kind == "CreateTableAsStmt") {
        return text_of(node, "objtype") == "OBJECT_MATVIEW" ? "CREATE MATERIALIZED VIEW"
                                                            : "CREATE TABLE AS";
    }
    if (kind == "SelectStmt" && node.contains("intoClause")) {
        return "SELECT INTO";
    }
    if (kind == "GrantStmt" && !object_tag(text_of(node, "objtype")).empty()) {
        return node.value("is_grant", false) ? "GRANT" : "REVOKE";
    }
    return "";
}

/// The functions that an expression calls. It may be as deep as its text is long.
void read_calls(const Json& expression, SqlStatement& statement) {
    std::vector<const Json*> left = {&expression};
    while (!left.empty()) {
        const Json& part = *left.back();
        left.pop_back();
        if (!part.is_structured()) {
            continue;
        }
        for (const auto& [key, node] : part.items()) {
            if (key == "FuncCall") {
                const Json names = node.value("funcname", Json::array());
                const Json last = names.empty() ? Json() : names.back().value("String", Json());
                statement.using_functions.push_back(text_of(last, "sval"));
            }
            statement.using_clock = statement.using_clock || key == "SQLValueFunction";
            left.push_back(&node);
        }
    }
}

void read_alter_table(const Json& node, SqlStatement& statement) {
    for (const Json& entry : part_of(node, "cmds")) {
        const Json& command = part_of(entry, "AlterTableCmd");
        const std::string subtype = text_of(command, "subtype");
        const Json& definition = part_of(command, "def");
        if (subtype == "AT_AddColumn" && definition.contains("ColumnDef")) {
            statement.added_columns.push_back(definition.at("ColumnDef").at("colname"));
        }
        if (subtype == "AT_AlterColumnType" && definition.contains("ColumnDef")) {
            read_calls(part_of(definition.at("ColumnDef"), "raw_default"), statement);
        }
        statement.sets_logged = statement.sets_logged || subtype == "AT_SetLogged";
        if (definition.contains("PartitionCmd")) {
            statement.concurrent = definition.at("PartitionCmd").value("concurrent", false);
        }
    }
}

bool is_temporary(const Json& relation) {
    return text_of(relation, "relpersistence") == "t" ||
           text_of(relation, "schemaname") == "pg_temp";
}

void read_into(const Json& into, SqlStatement& statement) {
    statement.temporary = is_temporary(into.at("rel"));
    statement.with_data = !into.value("skipData", false);
}

SqlStatement read(const std::string& kind, const Json& node, std::string sql) {
    SqlStatement statement;
    statement.sql = std::move(sql);
    statement.tag = tag_of(kind, node);
    statement.concurrent = kind != "RefreshMatViewStmt" && node.value("concurrent", false);
    if (kind == "AlterTableStmt") {
        read_alter_table(node, statement);
    } else if (statement.tag == "CREATE TABLE AS") {
        read_into(node.at("into"), statement);
    } else if (statement.tag == "SELECT INTO") {
        read_into(node.at("intoClause"), statement);
    }
    return statement;
}

std::string trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n\f\v";
    const size_t begin = text.find_first_not_of(blanks);
    return begin == std::string_view::npos
               ? ""
               : std::string(text.substr(begin, text.find_last_not_of(blanks) - begin + 1));
}

char lower(char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

/// Places where `word` (lower case) stands in the text, whether it is a word of SQL or not.
std::vector<size_t> places(const std::string& text, std::string_view word) {
    std::string lowered = text;
    std::transform(lowered.begin(), lowered.end(), lowered.begin(), lower);
    std::vector<size_t> found;
    for (size_t at = lowered.find(word); at != std::string::npos; at = lowered.find(word, at + 1)) {
        found.push_back(at);
    }
    return found;
}

/// The one statement of `sql`, when `wanted` says that it is right.
template <typename Wanted>
bool reads_as(const std::string& sql, Wanted wanted) {
    const auto statements = split_sql(sql);
    return statements && statements->size() == 1 && wanted(statements->front());
}

/// Behind an identifier, quoted or not, that begins at `at`.
size_t behind_name(const std::string& text, size_t at) {
    if (at < text.size() && text[at] == '"') {
        do {
            at = text.find('"', at + 1);
            // A doubled quote belongs to the name.
        } while (at != std::string::npos && at + 1 < text.size() && text[++at] == '"');
        return std::min(at, text.size());
    }
    while (at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_' ||
            text[at] == '$' || static_cast<unsigned char>(text[at]) >= 0x80)) {
        ++at;
    }
    return at;
}

/// "SELECT a INTO t FROM b" is written "CREATE TABLE t AS SELECT a FROM b".
std::optional<std::string> as_create_table(const std::string& sql) {
    const Json tree = parse(sql);
    const Json& relation =
        tree.at("stmts").at(0).at("stmt").at("SelectStmt").at("intoClause").at("rel");
    const size_t name = relation.value("location", size_t{0});
    size_t end = behind_name(sql, name);
    if (relation.contains("schemaname") && end < sql.size() && sql[end] == '.') {
        end = behind_name(sql, end + 1);
    }
    const bool unlogged = text_of(relation, "relpersistence") == "u";
    for (const size_t into : places(sql.substr(0, name), "into")) {
        const std::string made = std::string("CREATE ") + (unlogged ? "UNLOGGED " : "") + "TABLE " +
                                 sql.substr(name, end - name) + " AS " + sql.substr(0, into) +
                                 sql.substr(end);
        if (reads_as(made, [](const SqlStatement& one) { return one.tag == "CREATE TABLE AS"; })) {
            return made;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::vector<SqlStatement>> split_sql(const std::string& script) {
    const Json tree = parse(script);
    if (tree.is_null()) {
        return std::nullopt;
    }
    std::vector<SqlStatement> statements;
    for (const Json& entry : part_of(tree, "stmts")) {
        const size_t begin = entry.value("stmt_location", size_t{0});
        const size_t length = entry.value("stmt_len", size_t{0});
        const auto node = entry.at("stmt").begin();
        statements.push_back(read(node.key(), node.value(),
                                  trimmed(std::string_view(script).substr(
                                      begin, length == 0 ? std::string_view::npos : length))));
    }
    return statements;
}

std::optional<std::string> without_concurrently(const SqlStatement& statement) {
    constexpr std::string_view word = "concurrently";
    for (const size_t at : places(statement.sql, word)) {
        std::string plain = statement.sql;
        plain.erase(at, word.size());
        if (reads_as(plain, [&](const SqlStatement& one) {
                return !one.concurrent && one.tag == statement.tag;
            })) {
            return plain;
        }
    }
    return std::nullopt;
}

std::optional<std::string> without_data(const SqlStatement& statement) {
    if (!statement.with_data) {
        return statement.sql;
    }
    const auto sql =
        statement.tag == "SELECT INTO" ? as_create_table(statement.sql) : statement.sql;
    if (!sql) {
        return std::nullopt;
    }
    const auto empty = [](const SqlStatement& one) {
        return one.tag == "CREATE TABLE AS" && !one.with_data;
    };
    // Behind a line break: the statement may end with a comment.
    if (reads_as(*sql + "\nWITH NO DATA", empty)) {
        return *sql + "\nWITH NO DATA";
    }
    for (const size_t at : places(*sql, "data")) {
        std::string plain = *sql;
        plain.insert(at, "NO ");
        if (reads_as(plain, empty)) {
            return plain;
        }
    }
    return std::nullopt;
}

}  // namespace antipode::postgres
