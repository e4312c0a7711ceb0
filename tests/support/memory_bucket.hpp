#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/seams/key_value.hpp"

namespace antipode::test {

/// A bucket in memory with JetStream's compare-and-set rules, on a server that can be down.
class MemoryBucket final : public KeyValue {
  public:
    struct Server {
        std::map<std::string, Entry> entries;
        uint64_t revision = 0;
        bool down = false;
        bool loses_answers = false;  ///< what is written is written, and nobody learns it
    };
    explicit MemoryBucket(Server& server) : server_(server) {}

    std::optional<Entry> get(const std::string& key) override {
        reach();
        const auto found = server_.entries.find(key);
        return found == server_.entries.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<std::string> keys() override { return {}; }
    void put(const std::string& key, const std::string& value) override {
        reach();
        server_.entries[key] = {value, ++server_.revision};
        if (server_.loses_answers) {
            throw Error(Reaction::Retry, "timeout");
        }
    }
    std::optional<uint64_t> update(const std::string& key, const std::string& value,
                                   uint64_t revision) override {
        const auto known = get(key);
        if ((known ? known->revision : 0) != revision) {
            return std::nullopt;
        }
        put(key, value);
        return server_.revision;
    }
    void remove(const std::string& key) override { server_.entries.erase(key); }

  private:
    void reach() const {
        if (server_.down) {
            throw Error(Reaction::Retry, "connection refused");
        }
    }
    Server& server_;
};

}  // namespace antipode::test
