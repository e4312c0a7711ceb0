#include "adapters/postgres/large_objects.hpp"

#include "adapters/postgres/chunk_sql.hpp"
#include "adapters/postgres/copy_out.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* listing = "listing large objects";
constexpr const char* writing = "writing a large object";
constexpr size_t hex_at_once = 2 * limits::mib;

}  // namespace

std::vector<LargeObject> read_large_objects(Connection& connection) {
    const Rows rows = connection.query(listing, R"(
        SELECT m.oid, pg_get_userbyid(m.lomowner), count(l.pageno) || ' ' || coalesce(sum(
            hashtextextended(l.pageno || ' ' || encode(l.data, 'hex'), 0)::numeric), 0)
        FROM pg_largeobject_metadata m LEFT JOIN pg_largeobject l ON l.loid = m.oid
        GROUP BY m.oid, m.lomowner)");
    std::vector<LargeObject> objects;
    for (int row = 0; row < rows.size(); ++row) {
        objects.push_back({static_cast<uint32_t>(rows.integer(row, 0)), rows.string(row, 1),
                           rows.string(row, 2)});
    }
    return objects;
}

std::unique_ptr<ByteReader> read_large_object(Connection connection, uint32_t oid) {
    return std::make_unique<CopyOut>(
        std::move(connection), "copying large object " + std::to_string(oid),
        "COPY (SELECT pageno::bigint * (current_setting('block_size')::int / 4), encode(data, "
        "'hex') FROM pg_largeobject WHERE loid = " +
            std::to_string(oid) + " ORDER BY pageno) TO STDOUT");
}

void LargeObjectWriter::connect() {
    if (!connection_) {
        connection_.emplace(url_, application_name_);
    }
}

std::vector<LargeObject> LargeObjectWriter::list(const std::stop_token& stop) {
    Connection reader(url_, application_name_);
    reader.heed(stop);
    return or_unreadable([&] { return read_large_objects(reader); });
}

bool LargeObjectWriter::can_own(const LargeObject& object) {
    connect();
    return is_known(object.owner);
}

void LargeObjectWriter::set_owner(const LargeObject& object) {
    connect();
    connection_->execute("changing the owner of a large object",
                         "BEGIN; SET LOCAL lock_timeout = '10s'; ALTER LARGE OBJECT " +
                             std::to_string(object.oid) + " OWNER TO " +
                             quote_identifier(object.owner) + "; COMMIT");
}

bool LargeObjectWriter::is_known(const std::string& role) {
    return connection_->query(writing, "SELECT FROM pg_roles WHERE rolname = $1", {role}).size() >
           0;
}

void LargeObjectWriter::begin(const LargeObject& object) {
    connect();
    connection_->execute(writing, "BEGIN; SET LOCAL lock_timeout = '10s'");
    unlink_if_there(object.oid);
    act_as(object.owner);
    oid_ = std::to_string(object.oid);
    connection_->query(writing, "SELECT lo_create($1)", {oid_});
}

/// Those that are not here leave it to the daemon's.
void LargeObjectWriter::act_as(const std::string& role) {
    if (is_known(role)) {
        connection_->execute(writing, "SET LOCAL ROLE " + quote_identifier(role));
    }
}

void LargeObjectWriter::unlink_if_there(uint32_t oid) {
    const Rows there = connection_->query(
        writing, "SELECT pg_get_userbyid(lomowner) FROM pg_largeobject_metadata WHERE oid = $1",
        {std::to_string(oid)});
    if (there.size() > 0) {
        act_as(there.string(0, 0));
        connection_->query(writing, "SELECT lo_unlink($1)", {std::to_string(oid)});
        connection_->execute(writing, "RESET ROLE");
    }
}

void LargeObjectWriter::write(uint64_t offset, std::string_view hex) {
    if (offset != offset_ + hex_.size() / 2 || hex_.size() >= hex_at_once) {
        flush();
        offset_ = offset;
    }
    if (hex.empty()) {  // lo_put() would leave no trace of it
        flush();
        connection_->query(writing, "SELECT lo_truncate64(lo_open($1, x'20000'::int), $2)",
                           {oid_, std::to_string(offset)});
    }
    hex_ += hex;
}

void LargeObjectWriter::flush() {
    if (!hex_.empty()) {
        connection_->query(writing, "SELECT lo_put($1, $2, decode($3, 'hex'))",
                           {oid_, std::to_string(offset_), hex_});
        hex_.clear();
    }
}

void LargeObjectWriter::end() {
    flush();
    connection_->execute(writing, "COMMIT");
    offset_ = 0;
}

void LargeObjectWriter::abandon() {
    connection_.reset();
    hex_.clear();
    offset_ = 0;
}

void LargeObjectWriter::remove(const LargeObject& object) {
    connect();
    connection_->execute("removing a large object", "BEGIN; SET LOCAL lock_timeout = '10s'");
    unlink_if_there(object.oid);
    connection_->execute("removing a large object", "COMMIT");
}

}  // namespace antipode::postgres
