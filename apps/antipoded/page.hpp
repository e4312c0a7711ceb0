#pragma once

#include "adapters/http/server.hpp"

namespace antipode {

/// The web page and what it loads, all from this program itself. 404 for any other path.
http::HttpResponse page(const http::HttpRequest& request);

}  // namespace antipode
