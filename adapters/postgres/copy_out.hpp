#pragma once

#include <memory>
#include <span>
#include <string>

#include "adapters/postgres/connection.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// The bytes of a COPY ... TO STDOUT. Owns the connection; cancels what it does not read to its
/// end. One thread.
class CopyOut final : public ByteReader {
  public:
    CopyOut(Connection connection, std::string doing, const std::string& sql);
    ~CopyOut() override;
    CopyOut(const CopyOut&) = delete;
    CopyOut& operator=(const CopyOut&) = delete;
    size_t read(std::span<char> buffer) override;

  private:
    void fetch();

    Connection connection_;
    std::string doing_;
    struct Free {
        void operator()(char* bytes) const noexcept;
    };
    std::unique_ptr<char, Free> row_;
    size_t size_ = 0;
    size_t used_ = 0;
    bool at_end_ = false;
};

}  // namespace antipode::postgres
