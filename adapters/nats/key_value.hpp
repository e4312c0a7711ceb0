#pragma once

#include <memory>
#include <string>

#include "adapters/nats/connection.hpp"
#include "base/seams/key_value.hpp"

namespace antipode::nats {

/// A KeyValue bucket on a JetStream server, created when it is missing. Connects on first use and
/// again after every error. One thread.
class Bucket final : public KeyValue {
  public:
    /// `create`: false for a bucket of another site, which only that site makes.
    Bucket(Endpoint endpoint, std::string name, bool create);
    ~Bucket() override;

    std::optional<Entry> get(const std::string& key) override;
    std::vector<std::string> keys() override;
    void put(const std::string& key, const std::string& value) override;
    std::optional<uint64_t> update(const std::string& key, const std::string& value,
                                   uint64_t revision) override;
    void remove(const std::string& key) override;
    void listen(const std::string& key, std::function<void()> changed) override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::nats
