#include "adapters/postgres/pgoutput.hpp"

#include "adapters/postgres/barrier_message.hpp"
#include "adapters/postgres/ddl_message.hpp"
#include "adapters/postgres/sequence_message.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

/// 2000-01-01 in microseconds since 1970.
constexpr int64_t postgres_epoch_us = 946'684'800'000'000;

constexpr uint8_t flag_key = 1;
constexpr uint8_t flag_transactional = 1;
constexpr uint8_t flag_cascade = 1;
constexpr uint8_t flag_restart_identity = 2;

[[noreturn]] void malformed() {
    throw Error(Reaction::Stop,
                "decoding: PostgreSQL sent a pgoutput message that breaks its format",
                "check the server's version; 14 to 17 are supported");
}

/// Takes values off the front; never reads past the end.
class Input {
  public:
    explicit Input(std::string_view bytes) : rest_(bytes) {}

    std::string_view take(size_t size) {
        if (rest_.size() < size) {
            malformed();
        }
        const std::string_view bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return bytes;
    }
    template <typename Integer>
    Integer number() {
        uint64_t value = 0;
        for (const char c : take(sizeof(Integer))) {
            value = value << 8 | static_cast<unsigned char>(c);
        }
        return static_cast<Integer>(value);
    }
    char letter() { return take(1)[0]; }
    Lsn lsn() { return Lsn{number<uint64_t>()}; }
    std::string text() {
        const size_t end = rest_.find('\0');
        if (end == std::string_view::npos) {
            malformed();
        }
        std::string value(rest_.substr(0, end));
        rest_.remove_prefix(end + 1);
        return value;
    }
    /// TupleData, checked and not copied.
    std::string_view row() {
        const std::string_view before = rest_;
        for (uint32_t left = number<uint16_t>(); left > 0; --left) {
            switch (letter()) {
                case 'n':
                case 'u':
                    break;
                case 't':
                    take(number<uint32_t>());
                    break;
                default:
                    malformed();
            }
        }
        return before.substr(0, before.size() - rest_.size());
    }
    size_t left() const { return rest_.size(); }

  private:
    std::string_view rest_;
};

Decoded begin(Input& in) {
    DecodedBegin message;
    message.commit_lsn = in.lsn();
    message.commit_time = from_postgres_time(in.number<int64_t>());
    message.xid = in.number<uint32_t>();
    return message;
}

Decoded commit(Input& in) {
    DecodedCommit message;
    in.take(1);  // flags, unused
    message.commit_lsn = in.lsn();
    message.end_lsn = in.lsn();
    message.commit_time = from_postgres_time(in.number<int64_t>());
    return message;
}

Decoded relation(Input& in) {
    RelationShape shape;
    shape.id = in.number<uint32_t>();
    shape.name.schema = in.text();
    if (shape.name.schema.empty()) {
        shape.name.schema = "pg_catalog";
    }
    shape.name.table = in.text();
    shape.replica_identity = in.letter();
    for (uint32_t left = in.number<uint16_t>(); left > 0; --left) {
        ColumnShape column;
        column.key = (in.number<uint8_t>() & flag_key) != 0;
        column.name = in.text();
        column.type_oid = in.number<uint32_t>();
        column.type_modifier = in.number<int32_t>();
        shape.columns.push_back(std::move(column));
    }
    return shape;
}

Decoded row(Input& in, DecodedRow::Kind kind) {
    DecodedRow message;
    message.kind = kind;
    message.relation = in.number<uint32_t>();
    char tag = in.letter();
    if (kind != DecodedRow::Kind::Insert && (tag == 'K' || tag == 'O')) {
        message.old_kind = tag;
        message.old_row = in.row();
        if (kind == DecodedRow::Kind::Delete) {
            return message;
        }
        tag = in.letter();
    }
    if (tag != 'N' || kind == DecodedRow::Kind::Delete) {
        malformed();
    }
    message.new_row = in.row();
    return message;
}

Decoded truncate(Input& in) {
    DecodedTruncate message;
    const auto count = in.number<uint32_t>();
    const auto flags = in.number<uint8_t>();
    message.cascade = (flags & flag_cascade) != 0;
    message.restart_identity = (flags & flag_restart_identity) != 0;
    if (count > in.left() / 4) {
        malformed();
    }
    for (uint32_t i = 0; i < count; ++i) {
        message.relations.push_back(in.number<uint32_t>());
    }
    return message;
}

std::optional<Decoded> logical_message(Input& in) {
    const bool transactional = (in.number<uint8_t>() & flag_transactional) != 0;
    in.lsn();
    const std::string prefix = in.text();
    const std::string_view content = in.take(in.number<uint32_t>());
    if (transactional && prefix == ddl_prefix) {
        return parse_ddl_message(content);
    }
    if (transactional && prefix == sequence_prefix) {
        return parse_sequence_message(content);
    }
    if (transactional && prefix == barrier_prefix) {
        return parse_barrier_message(content);
    }
    return std::nullopt;
}

}  // namespace

std::optional<Decoded> parse_pgoutput(std::string_view message) {
    Input in(message);
    switch (in.letter()) {
        case 'B':
            return begin(in);
        case 'C':
            return commit(in);
        case 'R':
            return relation(in);
        case 'I':
            return row(in, DecodedRow::Kind::Insert);
        case 'U':
            return row(in, DecodedRow::Kind::Update);
        case 'D':
            return row(in, DecodedRow::Kind::Delete);
        case 'T':
            return truncate(in);
        case 'M':
            return logical_message(in);
        case 'O':
        case 'Y':
            return std::nullopt;
        default:
            malformed();
    }
}

TimePoint from_postgres_time(int64_t microseconds) {
    return from_microseconds(microseconds + postgres_epoch_us);
}
int64_t to_postgres_time(TimePoint time) {
    return to_microseconds(time) - postgres_epoch_us;
}

}  // namespace antipode::postgres
