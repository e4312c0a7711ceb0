#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "adapters/nats/connection.hpp"

namespace antipode::nats {

/// Sends requests to whoever answers a subject. Connects on first use and again after every error.
/// One thread.
class Requester {
  public:
    explicit Requester(Endpoint endpoint);
    ~Requester();
    /// The answer. Throws Error{Retry} when nobody answers in time.
    std::string request(const std::string& subject, const std::string& bytes);
    /// Without an answer, and without knowing whether it arrives. Throws as request() does when
    /// there is no connection.
    void tell(const std::string& subject, const std::string& bytes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Answers requests on a subject. One thread.
class Responder {
  public:
    Responder(Endpoint endpoint, std::string subject);
    ~Responder();

    struct Request {
        std::string bytes;
        std::string reply_to;
    };
    /// The next request; nullopt when none came within `wait`.
    std::optional<Request> next(std::chrono::milliseconds wait);
    void answer(const Request& request, const std::string& bytes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::nats
