#pragma once

#include <atomic>
#include <cstddef>

namespace antipode::http {

/// Is counted while it lives.
class Slot {
  public:
    explicit Slot(std::atomic<size_t>& taken) : taken_(taken), number_(++taken) {}
    ~Slot() { --taken_; }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    /// How many there were when it came, itself included.
    size_t number() const { return number_; }

  private:
    std::atomic<size_t>& taken_;
    const size_t number_;
};

}  // namespace antipode::http
