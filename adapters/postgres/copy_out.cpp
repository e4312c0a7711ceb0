#include "adapters/postgres/copy_out.hpp"

#include <algorithm>

#include <libpq-fe.h>

namespace antipode::postgres {

void CopyOut::Free::operator()(char* bytes) const noexcept {
    PQfreemem(bytes);
}

CopyOut::CopyOut(Connection connection, std::string doing, const std::string& sql)
    : connection_(std::move(connection)), doing_(std::move(doing)) {
    const Rows::Result result(PQexec(connection_.raw(), sql.c_str()));
    if (PQresultStatus(result.get()) != PGRES_COPY_OUT) {
        connection_.fail(doing_, result.get());
    }
}

CopyOut::~CopyOut() {
    if (!at_end_) {
        connection_.cancel();
    }
}

size_t CopyOut::read(std::span<char> buffer) {
    if (used_ == size_ && !at_end_) {
        fetch();
    }
    const size_t size = std::min(buffer.size(), size_ - used_);
    std::copy_n(row_.get() + used_, size, buffer.begin());
    used_ += size;
    return size;
}

void CopyOut::fetch() {
    char* bytes = nullptr;
    const int size = PQgetCopyData(connection_.raw(), &bytes, 0);
    row_.reset(bytes);
    used_ = 0;
    size_ = size > 0 ? static_cast<size_t>(size) : 0;
    if (size > 0) {
        return;
    }
    const Rows::Result result(PQgetResult(connection_.raw()));
    if (size < -1 || PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
        connection_.fail(doing_, result.get());
    }
    at_end_ = true;
}

}  // namespace antipode::postgres
