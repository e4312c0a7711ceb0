#include "apps/antipoded/page.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "dashboard/assets.hpp"

namespace antipode {
namespace {

/// Nothing but this program's own files is loaded, run, framed or sent anywhere.
constexpr const char* policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace

http::HttpResponse page(const http::HttpRequest& request) {
    const auto assets = dashboard::assets();
    const auto found = std::find_if(assets.begin(), assets.end(),
                                    [&](const auto& asset) { return asset.path == request.path; });
    if (found == assets.end()) {
        return http::error_response(404, "there is nothing at " + printable(request.path));
    }
    return {.content_type = std::string(found->content_type),
            .body = std::string(found->bytes),
            .headers = {{"Content-Security-Policy", policy},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cross-Origin-Opener-Policy", "same-origin"},
                        {"Cross-Origin-Resource-Policy", "same-origin"},
                        {"X-Frame-Options", "DENY"}}};
}

}  // namespace antipode
