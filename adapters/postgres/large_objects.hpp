#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/postgres/connection.hpp"
#include "base/seams/database.hpp"
#include "base/seams/large_objects.hpp"

namespace antipode::postgres {

std::vector<LargeObject> read_large_objects(Connection& connection);

/// A large object's pages as lines "offset<TAB>hex", of the transaction that `connection` is in.
std::unique_ptr<ByteReader> read_large_object(Connection connection, uint32_t oid);

/// Each object is written in a transaction of its own, as the role that owns it on the primary when
/// there is one here.
class LargeObjectWriter final : public LargeObjectStore {
  public:
    LargeObjectWriter(std::string url, std::string application_name)
        : url_(std::move(url)), application_name_(std::move(application_name)) {}

    std::vector<LargeObject> list(const std::stop_token& stop) override;
    bool can_own(const LargeObject& object) override;
    void set_owner(const LargeObject& object) override;
    void begin(const LargeObject& object) override;
    void write(uint64_t offset, std::string_view hex) override;
    void end() override;
    void abandon() override;
    void remove(const LargeObject& object) override;

  private:
    void connect();
    bool is_known(const std::string& role);
    void act_as(const std::string& role);
    void unlink_if_there(uint32_t oid);
    void flush();

    const std::string url_;
    const std::string application_name_;
    std::optional<Connection> connection_;
    std::string oid_;
    uint64_t offset_ = 0;
    std::string hex_;  ///< from there on, not written yet
};

}  // namespace antipode::postgres
