#pragma once

#include <filesystem>
#include <string>

namespace antipode::nats {

/// How a nats-server is reached.
struct Endpoint {
    std::string url;
    std::filesystem::path credentials_file;  ///< empty: none
    std::string client_name;                 ///< shown by the server
};

}  // namespace antipode::nats
