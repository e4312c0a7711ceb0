#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/http/server.hpp"
#include "apps/antipoded/primary_half.hpp"
#include "base/config.hpp"

namespace antipode {

/// Answers programs that want what they wrote to be durable in the primary's stream before they go
/// on: HTTP on a socket of this machine, POST /v1/changed (docs/PROTOCOL.md). Each call is one
/// connection and one thread; of both there is a limited number. The destructor ends all calls.
class NotifyService {
  public:
    /// `half`: what the daemon does now; `primary`: the site that is the primary, "" while unknown.
    NotifyService(const Config& config, std::function<std::shared_ptr<Half>()> half,
                  std::function<std::string()> primary);
    void start() { server_.start(); }
    void stop() { server_.stop(); }

  private:
    http::HttpResponse changed(const http::HttpRequest& request, const std::stop_token& stop) const;

    const Config& config_;
    const std::function<std::shared_ptr<Half>()> half_;
    const std::function<std::string()> primary_;
    http::HttpServer server_;
};

}  // namespace antipode
