#include "adapters/postgres/copy_in.hpp"

#include <libpq-fe.h>

namespace antipode::postgres {

CopyIn::CopyIn(Connection& connection, std::string doing, const std::string& sql)
    : connection_(connection), doing_(std::move(doing)) {
    const Rows::Result result(PQexec(connection_.raw(), sql.c_str()));
    if (PQresultStatus(result.get()) != PGRES_COPY_IN) {
        connection_.fail(doing_, result.get());
    }
}

void CopyIn::write(std::string_view bytes) {
    if (PQputCopyData(connection_.raw(), bytes.data(), static_cast<int>(bytes.size())) != 1) {
        connection_.fail(doing_);
    }
}

uint64_t CopyIn::finish() {
    if (PQputCopyEnd(connection_.raw(), nullptr) != 1) {
        connection_.fail(doing_);
    }
    Rows::Result result(PQgetResult(connection_.raw()));
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
        connection_.fail(doing_, result.get());
    }
    while (Rows::Result(PQgetResult(connection_.raw()))) {
    }
    return Rows(std::move(result)).affected();
}

}  // namespace antipode::postgres
