#include "apps/antipoded/resync.hpp"

#include <nlohmann/json.hpp>

#include "adapters/http/same_origin.hpp"
#include "apps/antipoded/json.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

using nlohmann::json;

constexpr size_t most_items = 1000;
const std::string form = R"({"store": "blobs/NAME", "items": ["a/b"]}, or "failed": true)";

/// What is wrong with the request.
struct Refused {
    unsigned status = 400;
    std::string message;
    std::string next_step = form;
};

void add_item(v1::SiteRequest& request, const std::string& item) {
    if (item.empty() || request.items_size() >= static_cast<int>(most_items)) {
        throw Refused{400, item.empty() ? "an item has no name" : "too many items at once"};
    }
    request.add_items(item);
}

/// {"store": "blobs/uploads"} with one of "items": ["a/b.bin"], "items_hex": ["612f62"] (names that
/// are no UTF-8), "failed": true, "all": true.
void read_member(const std::string& key, const json& value, v1::SiteRequest& request) {
    if (key == "store") {
        request.set_store(value.get<std::string>());
    } else if (key == "items") {
        for (const auto& item : value.get<std::vector<std::string>>()) {
            add_item(request, item);
        }
    } else if (key == "items_hex") {
        for (const auto& item : value.get<std::vector<std::string>>()) {
            add_item(request, from_hex(item).value_or(""));
        }
    } else if ((key == "failed" || key == "all") && value == true && request.action().empty()) {
        request.set_action("fetch-" + key);
    } else {
        throw Refused{400, "\"" + printable(key) + "\" is not understood"};
    }
}

v1::SiteRequest read(const std::string& body) {
    v1::SiteRequest request;
    try {
        const json document = json::parse(body);
        for (const auto& [key, value] : document.items()) {
            read_member(key, value, request);
        }
    } catch (const json::exception& error) {
        throw Refused{400, std::string("the request is not understood: ") + error.what()};
    }
    if (request.store().empty() || request.action().empty() == request.items().empty()) {
        throw Refused{400, "what is to be sent again, and of which store?"};
    }
    if (request.action().empty()) {
        request.set_action("fetch");
    }
    request.set_operator_name("the web page");
    return request;
}

http::HttpResponse resync(const http::HttpRequest& request, const std::string& site, bool guarded,
                          const AskResync& ask) {
    if (!guarded) {
        throw Refused{403, "this daemon has no token, so that it cannot know who asks",
                      "set http.token_file, or: antipode resync"};
    }
    if (http::is_from_another_origin(request)) {
        throw Refused{403, "a page of another site asks", "open this daemon's own page"};
    }
    if (!http::says_json(request)) {
        throw Refused{415, "the request is no application/json"};
    }
    if (!ask) {
        throw Refused{409, site + " is no secondary now", "antipode status"};
    }
    const v1::SiteRequest wanted = read(request.body);
    const v1::SiteAnswer answer = ask(wanted);
    if (!answer.problem().empty()) {
        throw Refused{422, answer.problem(), answer.next_step()};
    }
    const json rows = {{{"store", wanted.store()}, {"items", answer.items()}}};
    return {.body =
                dump({{"schema", "antipode.resync/1"}, {"site", site}, {"stores", rows}}) + "\n"};
}

}  // namespace

http::HttpResponse answer_resync(const http::HttpRequest& request, const std::string& site,
                                 bool guarded, const AskResync& ask) {
    try {
        return resync(request, site, guarded, ask);
    } catch (const Refused& refused) {
        return http::error_response(refused.status, refused.message, refused.next_step);
    }
}

}  // namespace antipode
