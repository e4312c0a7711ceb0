#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace antipode {

/// A small replicated map with compare-and-set, one bucket. A read may be stale on a server that is
/// cut off; only a successful create or update proves anything. One thread per object; errors are
/// Error{Retry}; every call returns within a few seconds.
class KeyValue {
  public:
    struct Entry {
        std::string value;
        uint64_t revision = 0;
    };

    virtual ~KeyValue() = default;
    virtual std::optional<Entry> get(const std::string& key) = 0;
    virtual std::vector<std::string> keys() = 0;
    virtual void put(const std::string& key, const std::string& value) = 0;
    /// Stores on condition that the key's revision is still `revision` (0: that it does not exist).
    /// The new revision; nullopt when somebody else was faster.
    virtual std::optional<uint64_t> update(const std::string& key, const std::string& value,
                                           uint64_t revision) = 0;
    virtual void remove(const std::string& key) = 0;
    /// From now on `changed` is called when somebody has written or removed `key`, and when the
    /// server is gone: on any thread, perhaps a moment before get() sees it, until this object is
    /// gone. It must not call this object. Changes may be missed (while no connection was there;
    /// before the first call of another function), and not every bucket can tell: look from time to
    /// time, too.
    virtual void listen(const std::string& /*key*/, std::function<void()> /*changed*/) {}
};

}  // namespace antipode
