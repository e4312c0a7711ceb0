#include "adapters/sqlite/database.hpp"

#include <unordered_map>

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include "base/error.hpp"

namespace antipode::sqlite {
namespace {

constexpr int busy_timeout_ms = 5000;

SQLite::Statement& statement_of(void* statement) {
    return *static_cast<SQLite::Statement*>(statement);
}

void bind(SQLite::Statement& statement, const std::vector<Value>& parameters) {
    int index = 0;
    for (const Value& parameter : parameters) {
        ++index;
        if (const auto* integer = std::get_if<int64_t>(&parameter)) {
            statement.bind(index, *integer);
        } else if (const auto* text = std::get_if<std::string>(&parameter)) {
            statement.bind(index, *text);
        } else if (const auto* bytes = std::get_if<Bytes>(&parameter)) {
            statement.bind(index, static_cast<const void*>(bytes->value.data()),
                           static_cast<int>(bytes->value.size()));
        } else {
            statement.bind(index);
        }
    }
}

/// `doing` is refused by SQLite. A file that is damaged stays so, and can be done without.
Error refused(const std::string& doing, const std::string& file, const SQLite::Exception& error,
              const std::string& next_step) {
    const int code = error.getErrorCode();
    const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return {Reaction::Retry, doing + ": " + error.what(),
            damaged ? "stop antipoded, move " + file + ", " + file + "-wal and " + file +
                          "-shm away, and start it: what stood there is found anew by comparing"
                    : next_step};
}

/// A cached statement must not keep a read transaction open, however its use ends.
class Reset {
  public:
    explicit Reset(SQLite::Statement& statement) : statement_(statement) {}
    ~Reset() { statement_.tryReset(); }
    Reset(const Reset&) = delete;
    Reset& operator=(const Reset&) = delete;

  private:
    SQLite::Statement& statement_;
};

}  // namespace

struct Database::State {
    std::string name;
    SQLite::Database database;
    std::unordered_map<std::string, std::unique_ptr<SQLite::Statement>> statements;
    int depth = 0;

    explicit State(const std::filesystem::path& file)
        : name(file.empty() ? ":memory:" : file.string()),
          // The owner locks: SQLite need not do it with each column.
          database(name, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX,
                   busy_timeout_ms) {}

    SQLite::Statement& prepare(const std::string& sql) {
        auto& statement = statements[sql];
        if (!statement) {
            statement = std::make_unique<SQLite::Statement>(database, sql);
        }
        return *statement;
    }

    template <typename Use>
    auto guarded(Use use) -> decltype(use()) {
        try {
            return use();
        } catch (const SQLite::Exception& error) {
            throw refused("state database " + name, name, error,
                          "check free space and permissions of its directory");
        }
    }
};

int64_t RowView::integer(int column) const {
    return statement_of(statement_).getColumn(column).getInt64();
}
std::string RowView::text(int column) const {
    return statement_of(statement_).getColumn(column).getString();
}
bool RowView::is_null(int column) const {
    return statement_of(statement_).getColumn(column).isNull();
}

Database::Database(const std::filesystem::path& file, Sync sync) {
    try {
        state_ = std::make_unique<State>(file);
        state_->database.exec("PRAGMA journal_mode = WAL");
        state_->database.exec(sync == Sync::Full ? "PRAGMA synchronous = FULL"
                                                 : "PRAGMA synchronous = NORMAL");
        state_->database.exec("PRAGMA foreign_keys = ON");
    } catch (const SQLite::Exception& error) {
        throw refused("opening the state database " + file.string(), file.string(), error,
                      "check that its directory exists and that this user may write there");
    }
}
Database::~Database() = default;

void Database::migrate(const std::vector<std::string>& migrations) {
    const int64_t version = query_integer("PRAGMA user_version").value_or(0);
    if (version > static_cast<int64_t>(migrations.size())) {
        throw Error(Reaction::Stop,
                    "the state database " + state_->name + " was written by a newer version",
                    "install the version of Antipode that wrote it, or a later one");
    }
    for (size_t next = static_cast<size_t>(version); next < migrations.size(); ++next) {
        transaction([&] {
            state_->guarded([&] {
                state_->database.exec(migrations[next]);
                state_->database.exec("PRAGMA user_version = " + std::to_string(next + 1));
            });
        });
    }
}

void Database::query(const std::string& sql, const std::vector<Value>& parameters,
                     const std::function<bool(const RowView&)>& use) {
    state_->guarded([&] {
        SQLite::Statement& statement = state_->prepare(sql);
        const Reset reset(statement);
        bind(statement, parameters);
        while (statement.executeStep() && use(RowView(&statement))) {
        }
    });
}

std::optional<int64_t> Database::query_integer(const std::string& sql,
                                               const std::vector<Value>& parameters) {
    std::optional<int64_t> result;
    query(sql, parameters, [&](const RowView& row) {
        if (!row.is_null(0)) {
            result = row.integer(0);
        }
        return false;
    });
    return result;
}

int Database::execute(const std::string& sql, const std::vector<Value>& parameters) {
    return state_->guarded([&] {
        SQLite::Statement& statement = state_->prepare(sql);
        const Reset reset(statement);
        bind(statement, parameters);
        return statement.exec();
    });
}

void Database::transaction(const std::function<void()>& body) {
    if (state_->depth > 0) {
        body();
        return;
    }
    execute("BEGIN IMMEDIATE");
    ++state_->depth;
    try {
        body();
        --state_->depth;
        execute("COMMIT");
    } catch (...) {
        state_->depth = 0;
        try {
            execute("ROLLBACK");
        } catch (const Error&) {
            // SQLite has rolled back by itself (disk full, I/O error).
        }
        throw;
    }
}

}  // namespace antipode::sqlite
