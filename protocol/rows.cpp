#include "protocol/rows.hpp"

#include "base/error.hpp"

namespace antipode::protocol {
namespace {

constexpr char option_cascade = 1;
constexpr char option_restart_identity = 2;

void put_u32(std::string& bytes, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        bytes += static_cast<char>(value >> shift);
    }
}

[[noreturn]] void malformed() {
    throw Error(Reaction::Stop, "the row changes of a transaction are malformed",
                "compare the versions of Antipode on both sites (antipode version)");
}

std::string_view get(std::string_view& rest, size_t size) {
    if (rest.size() < size) {
        malformed();
    }
    const std::string_view bytes = rest.substr(0, size);
    rest.remove_prefix(size);
    return bytes;
}

uint32_t get_number(std::string_view& rest, size_t size) {
    uint32_t value = 0;
    for (const char c : get(rest, size)) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

void get_row(std::string_view& rest, Row& row) {
    const uint32_t columns = get_number(rest, 2);
    row.resize(columns);
    for (Value& value : row) {
        const char kind = get(rest, 1)[0];
        value = {};
        switch (kind) {
            case 'n':
                break;
            case 'u':
                value.kind = Value::Kind::Unchanged;
                break;
            case 't':
                value.kind = Value::Kind::Text;
                value.text = get(rest, get_number(rest, 4));
                break;
            default:
                malformed();
        }
    }
}

void get_truncate(std::string_view& rest, Change& change) {
    const char options = get(rest, 1)[0];
    change.cascade = (options & option_cascade) != 0;
    change.restart_identity = (options & option_restart_identity) != 0;
    const uint32_t count = get_number(rest, 4);
    if (count > rest.size() / 4) {
        malformed();
    }
    for (uint32_t i = 0; i < count; ++i) {
        change.truncated.push_back(get_number(rest, 4));
    }
}

}  // namespace

void ChangeWriter::begin(Op op, uint32_t relation) {
    bytes_ += static_cast<char>(op);
    put_u32(bytes_, relation);
    ++count_;
}

void ChangeWriter::insert(uint32_t relation, std::string_view new_row) {
    begin(Op::Insert, relation);
    bytes_ += 'N';
    bytes_ += new_row;
}

void ChangeWriter::update(uint32_t relation, OldRow old_kind, std::string_view old_row,
                          std::string_view new_row) {
    begin(Op::Update, relation);
    if (old_kind != OldRow::None) {
        bytes_ += static_cast<char>(old_kind);
        bytes_ += old_row;
    }
    bytes_ += 'N';
    bytes_ += new_row;
}

void ChangeWriter::remove(uint32_t relation, OldRow old_kind, std::string_view old_row) {
    begin(Op::Delete, relation);
    bytes_ += static_cast<char>(old_kind);
    bytes_ += old_row;
}

void ChangeWriter::truncate(const std::vector<uint32_t>& relations, bool cascade,
                            bool restart_identity) {
    begin(Op::Truncate, relations.empty() ? 0 : relations.front());
    bytes_ += static_cast<char>((cascade ? option_cascade : 0) |
                                (restart_identity ? option_restart_identity : 0));
    put_u32(bytes_, static_cast<uint32_t>(relations.size()));
    for (const uint32_t relation : relations) {
        put_u32(bytes_, relation);
    }
}

std::string ChangeWriter::take() {
    count_ = 0;
    return std::exchange(bytes_, {});
}

void ChangeWriter::move_to(std::string& bytes) {
    bytes += bytes_;
    bytes_.clear();
    count_ = 0;
}

bool ChangeReader::next(Change& change) {
    if (rest_.empty()) {
        return false;
    }
    change.op = static_cast<Op>(get(rest_, 1)[0]);
    change.relation = get_number(rest_, 4);
    change.old_kind = OldRow::None;
    change.old_row.clear();
    change.new_row.clear();
    change.truncated.clear();
    if (change.op == Op::Truncate) {
        get_truncate(rest_, change);
        return true;
    }
    if (change.op != Op::Insert && change.op != Op::Update && change.op != Op::Delete) {
        malformed();
    }
    char tag = get(rest_, 1)[0];
    if (change.op != Op::Insert && (tag == 'K' || tag == 'O')) {
        change.old_kind = static_cast<OldRow>(tag);
        get_row(rest_, change.old_row);
        if (change.op == Op::Delete) {
            return true;
        }
        tag = get(rest_, 1)[0];
    }
    if (tag != 'N' || change.op == Op::Delete) {
        malformed();
    }
    get_row(rest_, change.new_row);
    return true;
}

std::string encode_row(const std::vector<std::optional<std::string>>& values) {
    std::string bytes;
    bytes += static_cast<char>(values.size() >> 8);
    bytes += static_cast<char>(values.size());
    for (const auto& value : values) {
        if (!value) {
            bytes += 'n';
            continue;
        }
        bytes += 't';
        put_u32(bytes, static_cast<uint32_t>(value->size()));
        bytes += *value;
    }
    return bytes;
}

std::optional<size_t> row_length(std::string_view bytes) {
    try {
        std::string_view rest = bytes;
        Row row;
        get_row(rest, row);
        return bytes.size() - rest.size();
    } catch (const Error&) {
        return std::nullopt;
    }
}

}  // namespace antipode::protocol
