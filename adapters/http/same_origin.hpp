#pragma once

#include "adapters/http/server.hpp"

namespace antipode::http {

/// Whether a browser sent it for a page that this server did not serve: such a request must change
/// nothing, whatever it carries. By Sec-Fetch-Site, which no page can set (W3C Fetch Metadata
/// Request Headers, section 2.3); without it by Origin (RFC 6454), which must be this server's Host
/// then. Programs that are no browser send neither.
bool is_from_another_origin(const HttpRequest& request);

/// Its body is said to be JSON, which a page of another origin may not send unasked (Fetch
/// standard, CORS-safelisted request headers).
bool says_json(const HttpRequest& request);

}  // namespace antipode::http
