#include "apps/antipoded/notify.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "primary/notifications.hpp"

namespace antipode {
namespace {

constexpr size_t most_calls = 64;
constexpr size_t most_items = 1000;
constexpr size_t body_bytes = 1 * limits::mib;
constexpr double usual_timeout = 30;
constexpr double longest_timeout = 3600;

/// Ends a call with this answer.
struct Refused {
    unsigned status = 400;
    std::string message;
    std::string next_step;
};

const std::string form = R"(curl --unix-socket SOCKET -d '{"store":"blobs/NAME","items":["a/b"]}' )"
                         "http://localhost/v1/changed";

struct Call {
    StoreId store;
    std::vector<std::string> items;
    double timeout = usual_timeout;
};

StoreId store_in(const std::string& text) {
    const auto store = StoreId::parse(text);
    if (!store) {
        throw Refused{400, "\"" + printable(text) + "\" names no store",
                      "blobs/NAME or repositories/NAME"};
    }
    return *store;
}

/// {"store": "blobs/uploads", "items": ["a/b.bin"], "timeout_seconds": 30}
Call read_json(const std::string& body) {
    Call call;
    try {
        const auto document = nlohmann::json::parse(body);
        for (const auto& [key, value] : document.items()) {
            if (key == "store") {
                call.store = store_in(value.get<std::string>());
            } else if (key == "items") {
                call.items = value.get<std::vector<std::string>>();
            } else if (key == "timeout_seconds") {
                call.timeout = value.get<double>();
            } else {
                throw Refused{400, "\"" + printable(key) + "\" is no known key", form};
            }
        }
    } catch (const nlohmann::json::exception& error) {
        throw Refused{400, std::string("the call is not understood: ") + error.what(), form};
    }
    return call;
}

/// ?store=blobs/uploads&timeout=30, and items that end with a NUL each, of whatever bytes.
Call read_list(const http::HttpRequest& request) {
    Call call;
    for (const auto& [name, value] : request.query) {
        if (name == "store") {
            call.store = store_in(value);
        } else if (name == "timeout") {
            const char* const end = value.data() + value.size();
            if (std::from_chars(value.data(), end, call.timeout).ptr != end) {
                throw Refused{400, "timeout is no number of seconds", "timeout=30"};
            }
        } else {
            throw Refused{400, "\"" + printable(name) + "\" is no known parameter", form};
        }
    }
    for (size_t begin = 0; begin < request.body.size();) {
        const size_t end = std::min(request.body.find('\0', begin), request.body.size());
        call.items.push_back(request.body.substr(begin, end - begin));
        begin = end + 1;
    }
    return call;
}

Call read_call(const http::HttpRequest& request) {
    Call call = request.query.contains("store") ? read_list(request) : read_json(request.body);
    if (call.store.name.empty() || call.items.empty()) {
        throw Refused{400, "the call names no store, or no items", form};
    }
    if (call.items.size() > most_items) {
        throw Refused{413, std::to_string(call.items.size()) + " items are too many for one call",
                      std::to_string(most_items) + " at most in each"};
    }
    if (!(call.timeout > 0) || call.timeout > longest_timeout) {
        throw Refused{400, "the timeout must be more than 0 and at most 3600 seconds",
                      "leave it away: it is 30"};
    }
    const std::set<std::string> once(call.items.begin(), call.items.end());
    call.items.assign(once.begin(), once.end());
    return call;
}

primary::ItemCapture& capture_of(const Config& config, const PrimaryHalf& half,
                                 const StoreId& store) {
    if (primary::ItemCapture* const capture = half.items_of(store)) {
        return *capture;
    }
    std::string known;
    for (const StoreId& id : config.stores()) {
        known += id.kind == StoreKind::Database ? "" : (known.empty() ? "" : ", ") + id.to_string();
    }
    throw Refused{404, store.to_string() + " is no store of files or repositories here",
                  known.empty() ? "antipode config show" : "one of: " + known};
}

/// Hands the call to the publisher; the half may end meanwhile.
std::shared_ptr<primary::NotifyCall> begin(const Config& config, PrimaryHalf& half,
                                           const Call& call) {
    primary::ItemCapture& capture = capture_of(config, half, call.store);
    for (const std::string& item : call.items) {
        if (const auto why = capture.why_no_item(item)) {
            throw Refused{422, printable(item) + " is not replicated: " + *why,
                          "name paths below the root, as " + call.store.to_string() + " has them"};
        }
    }
    auto answer = std::make_shared<primary::NotifyCall>();
    if (!half.notify(primary::Notification(call.store, call.items, answer))) {
        throw Refused{503, "the publisher is busy", "call again"};
    }
    return answer;
}

http::HttpResponse told(const Call& call, const primary::NotifyCall::Answer& answer) {
    if (!answer.problem.empty()) {
        return http::error_response(answer.operator_decides ? 409 : 503, answer.problem,
                                    answer.next_step);
    }
    nlohmann::json out = {{"schema", "antipode.notify/1"},
                          {"store", call.store.to_string()},
                          {"items", call.items.size()},
                          {"gone", nlohmann::json::array()},
                          {"position", answer.position.to_string()}};
    for (const std::string& item : answer.gone) {
        out["gone"].push_back(printable(item));
    }
    return {.body = dump(out) + "\n"};
}

}  // namespace

NotifyService::NotifyService(const Config& config, std::function<std::shared_ptr<Half>()> half,
                             std::function<std::string()> primary)
    : config_(config),
      half_(std::move(half)),
      primary_(std::move(primary)),
      server_({.socket = config.notify.socket,
               .socket_mode = config.notify.socket_mode,
               .body_bytes = body_bytes,
               .connections = most_calls}) {
    server_.post(
        "/v1/changed", [this](const http::HttpRequest& request, const std::stop_token& stop) {
            try {
                return changed(request, stop);
            } catch (const Refused& refused) {
                return http::error_response(refused.status, refused.message, refused.next_step);
            }
        });
}

http::HttpResponse NotifyService::changed(const http::HttpRequest& request,
                                          const std::stop_token& stop) const {
    const Call call = read_call(request);
    auto half = std::dynamic_pointer_cast<PrimaryHalf>(half_());
    if (!half) {
        const std::string primary = primary_();
        throw Refused{
            409,
            config_.site + " is not the primary" + (primary.empty() ? "" : "; that is " + primary),
            primary.empty() || primary == config_.site ? "antipode status" : "call on " + primary};
    }
    const auto waiting = begin(config_, *half, call);
    // Whoever keeps the half keeps it from ending.
    half.reset();
    const std::chrono::duration<double> timeout(call.timeout);
    if (const auto answer =
            waiting->wait(std::chrono::ceil<std::chrono::milliseconds>(timeout), stop)) {
        return told(call, *answer);
    }
    half = std::dynamic_pointer_cast<PrimaryHalf>(half_());
    const std::string problem = half ? half->publishing_problem(call.store) : "";
    return http::error_response(
        504, "not stored in time: " + (problem.empty() ? waiting->waits_for() : problem),
        "antipode status; the file itself is safe here and is published later");
}

}  // namespace antipode
