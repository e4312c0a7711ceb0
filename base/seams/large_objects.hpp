#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

/// PostgreSQL's large objects (lo_create() ...): no stream tells of their changes, so they are
/// listed and copied as a whole.
namespace antipode {

struct LargeObject {
    uint32_t oid = 0;
    std::string owner;   ///< a role's name
    std::string digest;  ///< of the content: "pages sum"
};

/// Writes the large objects of a secondary. One thread at a time. Errors: Retry, Stop.
class LargeObjectStore {
  public:
    virtual ~LargeObjectStore() = default;
    virtual std::vector<LargeObject> list(const std::stop_token& stop) = 0;
    /// Whether the owner can be what `object` says; false leaves it as it is.
    virtual bool can_own(const LargeObject& object) = 0;
    virtual void set_owner(const LargeObject& object) = 0;
    /// Makes it, or makes it anew, empty; what is written until end() is there as a whole then, or
    /// not at all after abandon().
    virtual void begin(const LargeObject& object) = 0;
    /// Without content: the object ends at `offset`.
    virtual void write(uint64_t offset, std::string_view hex) = 0;
    virtual void end() = 0;
    virtual void abandon() = 0;
    virtual void remove(const LargeObject& object) = 0;
};

}  // namespace antipode
