#include "adapters/postgres/streamed_transactions.hpp"

#include <algorithm>
#include <utility>

#include "adapters/postgres/pgoutput.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t xid_bytes = 4;
constexpr size_t lsn_bytes = 8;
constexpr size_t time_bytes = 8;

[[noreturn]] void malformed() {
    throw Error(Reaction::Stop,
                "decoding: PostgreSQL sent a message of a running transaction that breaks its "
                "format",
                "check the server's version; 14 to 17 are supported");
}

std::string_view take(std::string_view& bytes, size_t size) {
    if (bytes.size() < size) {
        malformed();
    }
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
}

uint32_t number(std::string_view bytes) {
    uint32_t value = 0;
    for (const char c : bytes) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

void put(std::string& bytes, uint64_t value, size_t size) {
    for (size_t left = size; left > 0; --left) {
        bytes += static_cast<char>(value >> 8 * (left - 1));
    }
}

}  // namespace

StreamedTransactions::StreamedTransactions(std::filesystem::path directory)
    : directory_(std::move(directory)) {}
StreamedTransactions::~StreamedTransactions() = default;

bool StreamedTransactions::take(std::string_view message, Lsn at) {
    std::string_view fields = message;
    const char kind = postgres::take(fields, 1)[0];
    if (segment_ != nullptr) {
        if (kind == 'E') {
            segment_ = nullptr;
        } else if (kind != 'O') {  // an origin, which names no transaction
            const uint32_t xid = number(postgres::take(fields, xid_bytes));
            segment_->spool.add(xid, kind, fields);
            segment_->reached = std::max(segment_->reached, at);
        }
        return true;
    }
    switch (kind) {
        case 'S':
            begin_segment(fields);
            return true;
        case 'c':
            commit(fields);
            return true;
        case 'A':
            abort(fields);
            return true;
        default:
            return false;
    }
}

void StreamedTransactions::begin_segment(std::string_view fields) {
    const uint32_t xid = number(postgres::take(fields, xid_bytes));
    auto& open = open_[xid];
    if (!open) {
        open = std::make_unique<Open>(directory_, xid);
    }
    segment_ = open.get();
}

/// Its Commit is the same but for the transaction in front; what Begin says is among it.
void StreamedTransactions::commit(std::string_view fields) {
    const std::string_view xid = postgres::take(fields, xid_bytes);
    const auto found = open_.find(number(xid));
    if (found == open_.end()) {
        malformed();
    }
    const std::string_view flags = postgres::take(fields, 1);
    const std::string_view commit_lsn = postgres::take(fields, lsn_bytes);
    const std::string_view end_and_time = fields;
    postgres::take(fields, lsn_bytes);
    if (ahead_ == found->second.get()) {
        end_ = "C" + std::string(flags) + ahead_as_ + std::string(end_and_time);
        ahead_ = nullptr;
    } else {
        const std::string_view time = postgres::take(fields, time_bytes);
        begin_ = "B" + std::string(commit_lsn) + std::string(time) + std::string(xid);
        end_ = "C" + std::string(flags) + std::string(commit_lsn) + std::string(end_and_time);
    }
    committed_ = std::move(found->second);
    open_.erase(found);
}

void StreamedTransactions::abort(std::string_view fields) {
    const uint32_t xid = number(postgres::take(fields, xid_bytes));
    const uint32_t part = number(postgres::take(fields, xid_bytes));
    const auto found = open_.find(xid);
    if (found == open_.end()) {
        return;  // before anything of it was sent
    }
    if (part == xid) {
        open_.erase(found);
    } else {
        found->second->spool.cut(part);
    }
}

std::vector<uint32_t> StreamedTransactions::may_go_ahead(Lsn beyond) const {
    std::vector<uint32_t> found;
    if (ahead_ != nullptr || committed_) {
        return found;
    }
    for (const auto& [xid, open] : open_) {
        if (open->reached >= beyond && !open->was_ahead && open->spool.has_certain()) {
            found.push_back(xid);
        }
    }
    return found;
}

void StreamedTransactions::go_ahead(uint32_t xid, Lsn passed, TimePoint now) {
    ahead_ = open_.at(xid).get();
    ahead_->was_ahead = true;
    ahead_xid_ = xid;
    ahead_as_.clear();
    put(ahead_as_, std::max(ahead_->reached, passed).value + 1, lsn_bytes);
    begin_ = "B" + ahead_as_;
    put(begin_, static_cast<uint64_t>(to_postgres_time(now)), time_bytes);
    put(begin_, xid, xid_bytes);
}

bool StreamedTransactions::is_of_another(std::string_view message) const {
    if (ahead_ == nullptr || segment_ != nullptr) {
        return false;
    }
    std::string_view fields = message;
    switch (postgres::take(fields, 1)[0]) {
        case 'B':
            return true;
        case 'c':
            return number(postgres::take(fields, xid_bytes)) != ahead_xid_;
        case 'A': {
            const uint32_t xid = number(postgres::take(fields, xid_bytes));
            return xid == ahead_xid_ && number(postgres::take(fields, xid_bytes)) == xid;
        }
        default:
            return false;
    }
}

void StreamedTransactions::break_off() {
    ahead_->spool.rewind();
    ahead_ = nullptr;
    begin_.clear();
}

std::optional<std::string_view> StreamedTransactions::next() {
    if (!committed_ && ahead_ == nullptr) {
        return std::nullopt;
    }
    if (!begin_.empty()) {
        handed_ = std::exchange(begin_, {});
        return handed_;
    }
    if (ahead_ != nullptr) {
        return ahead_->spool.next_certain();
    }
    if (const auto message = committed_->spool.next()) {
        return message;
    }
    committed_.reset();
    handed_ = std::exchange(end_, {});
    return handed_;
}

void StreamedTransactions::forget() {
    ahead_ = nullptr;
    segment_ = nullptr;
    begin_.clear();
    committed_.reset();
    open_.clear();
}

}  // namespace antipode::postgres
