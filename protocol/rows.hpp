#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of Transaction.changes. A change is
///
///     op        1 byte: 'I' insert, 'U' update, 'D' delete, 'T' truncate
///     relation  4 bytes, big-endian: Relation.id within this event
///     I:        'N' row
///     U:        optionally 'K' row (old key) or 'O' row (whole old row), then 'N' row
///     D:        'K' row or 'O' row
///     T:        1 byte of options (1 = cascade, 2 = restart identity), 4 bytes n, n x 4 bytes
///     relation
///               ids; the relation field is the first of them
///
/// and a row is laid out as in PostgreSQL's logical replication protocol ("TupleData"): 2 bytes
/// number of columns, then for each 'n' (null), 'u' (an unchanged large value that was not sent) or
/// 't', 4 bytes length, the value as text. All numbers are big-endian. So capture copies what
/// pgoutput wrote.
namespace antipode::protocol {

enum class Op : char { Insert = 'I', Update = 'U', Delete = 'D', Truncate = 'T' };

/// What an update or delete says of the old row.
enum class OldRow : char { None = 0, Key = 'K', Whole = 'O' };

struct Value {
    enum class Kind : char { Null = 'n', Unchanged = 'u', Text = 't' };
    Kind kind = Kind::Null;
    std::string_view text;  ///< into the event's bytes
};
using Row = std::vector<Value>;

struct Change {
    Op op = Op::Insert;
    uint32_t relation = 0;
    OldRow old_kind = OldRow::None;
    Row old_row;
    Row new_row;
    bool cascade = false;
    bool restart_identity = false;
    std::vector<uint32_t> truncated;
};

class ChangeWriter {
  public:
    /// `old_row` and `new_row` are TupleData bytes, copied verbatim.
    void insert(uint32_t relation, std::string_view new_row);
    void update(uint32_t relation, OldRow old_kind, std::string_view old_row,
                std::string_view new_row);
    void remove(uint32_t relation, OldRow old_kind, std::string_view old_row);
    void truncate(const std::vector<uint32_t>& relations, bool cascade, bool restart_identity);

    size_t size() const { return bytes_.size(); }
    uint64_t count() const { return count_; }
    std::string take();
    /// Appends the bytes to others and begins anew.
    void move_to(std::string& bytes);

  private:
    void begin(Op op, uint32_t relation);
    std::string bytes_;
    uint64_t count_ = 0;
};

/// Reads what ChangeWriter wrote; values point into `bytes`, which must live longer. The Change
/// that next() fills is reused, so that its vectors keep their memory.
class ChangeReader {
  public:
    explicit ChangeReader(std::string_view bytes) : rest_(bytes) {}
    /// False at the end. Throws Error{Stop} when the bytes break the layout.
    bool next(Change& change);

  private:
    std::string_view rest_;
};

/// Builds TupleData bytes (for tests and simulations). nullopt is a null.
std::string encode_row(const std::vector<std::optional<std::string>>& values);

/// Length of the TupleData that `bytes` starts with; nullopt when it is cut off or breaks the
/// layout.
std::optional<size_t> row_length(std::string_view bytes);

}  // namespace antipode::protocol
