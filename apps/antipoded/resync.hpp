#pragma once

#include <functional>
#include <string>

#include "adapters/http/server.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// Has a secondary ask for items again: "fetch", "fetch-failed" or "fetch-all" of one store.
using AskResync = std::function<v1::SiteAnswer(const v1::SiteRequest& request)>;

/// Answers POST /v1/resync (docs/API.md), which the web page sends: the same as `antipode resync`.
/// `guarded`: a token is asked for; without one nothing is done, for any page that a browser of
/// this machine shows could ask. `ask`: empty while the site is no secondary.
http::HttpResponse answer_resync(const http::HttpRequest& request, const std::string& site,
                                 bool guarded, const AskResync& ask);

}  // namespace antipode
