#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

/// COPY ... FROM STDIN: begin, write(), finish(). An object that is dropped
/// before finish() leaves the connection in the middle of it: the next query ends that. Everything
/// throws as Connection does.
class CopyIn {
  public:
    CopyIn(Connection& connection, std::string doing, const std::string& sql);
    void write(std::string_view bytes);
    /// The number of rows.
    uint64_t finish();

  private:
    Connection& connection_;
    std::string doing_;
};

}  // namespace antipode::postgres
