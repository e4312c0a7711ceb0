#include "adapters/http/same_origin.hpp"

namespace antipode::http {
namespace {

std::string header(const HttpRequest& request, const std::string& name) {
    const auto found = request.headers.find(name);
    return found == request.headers.end() ? std::string() : found->second;
}

}  // namespace

bool is_from_another_origin(const HttpRequest& request) {
    if (const std::string site = header(request, "sec-fetch-site"); !site.empty()) {
        return site != "same-origin" && site != "none";
    }
    const std::string origin = header(request, "origin");
    const std::string host = header(request, "host");
    return !origin.empty() && origin != "http://" + host && origin != "https://" + host;
}

bool says_json(const HttpRequest& request) {
    const std::string type = header(request, "content-type");
    return type.substr(0, type.find(';')) == "application/json";
}

}  // namespace antipode::http
