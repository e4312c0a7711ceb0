#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace antipode::sqlite {

/// What SQLite stores; `Bytes` marks a blob.
struct Bytes {
    std::string value;
};
using Value = std::variant<std::nullptr_t, int64_t, std::string, Bytes>;

/// One row of a result, valid until the next step.
class RowView {
  public:
    explicit RowView(void* statement) : statement_(statement) {}
    int64_t integer(int column) const;
    uint64_t number(int column) const { return static_cast<uint64_t>(integer(column)); }
    std::string text(int column) const;  ///< of text and blobs alike
    bool is_null(int column) const;

  private:
    void* statement_;
};

/// An SQLite database (WAL, foreign keys on, waits up to 5 s for locks). One thread at a time: the
/// owner locks. Statements are prepared once and kept. Errors are Error{Retry} with SQLite's text.
class Database {
  public:
    enum class Sync {
        Full,    ///< a committed transaction survives a power cut
        Normal,  ///< the last ones may be lost, but never half of one
    };
    /// An empty path keeps the database in memory.
    Database(const std::filesystem::path& file, Sync sync);
    ~Database();

    /// Applies migrations[user_version..] in order, each in a transaction.
    void migrate(const std::vector<std::string>& migrations);

    /// Runs a statement for each row of its result.
    void query(const std::string& sql, const std::vector<Value>& parameters,
               const std::function<bool(const RowView&)>& use);
    /// The first row's first column.
    std::optional<int64_t> query_integer(const std::string& sql,
                                         const std::vector<Value>& parameters = {});
    /// Returns the number of changed rows.
    int execute(const std::string& sql, const std::vector<Value>& parameters = {});

    /// Runs `body` in one transaction: committed when it returns, rolled back when it throws.
    void transaction(const std::function<void()>& body);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::sqlite
