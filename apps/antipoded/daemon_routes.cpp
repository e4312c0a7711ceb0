#include <nlohmann/json.hpp>

#include "apps/antipoded/daemon.hpp"
#include "apps/antipoded/drill_files.hpp"
#include "apps/antipoded/item_list.hpp"
#include "apps/antipoded/json.hpp"
#include "apps/antipoded/metrics.hpp"
#include "apps/antipoded/page.hpp"
#include "apps/antipoded/probes.hpp"
#include "apps/antipoded/resync.hpp"
#include "apps/antipoded/secondary_half.hpp"

/// What the daemon answers over HTTP.
namespace antipode {
namespace {

constexpr size_t events_at_once = 1000;

uint64_t number_in(const std::map<std::string, std::string>& query, const std::string& name) {
    const auto found = query.find(name);
    return found == query.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

}  // namespace

http::HttpResponse Daemon::loss_report(const std::string& operation, uint64_t epoch) const {
    const auto report = operation.empty() && epoch > 0 ? LossReports::of_epoch(config_, epoch)
                                                       : LossReports::read(config_, operation);
    if (!report) {
        return http::error_response(
            404,
            !operation.empty() ? "there is no loss report of " + printable(operation)
            : epoch > 0 ? "there is no loss report of a promotion to epoch " + std::to_string(epoch)
                        : "there is no loss report: no promotion was made here",
            "antipode status");
    }
    return {.body = *report};
}

void Daemon::add_routes() {
    server_.route("/", [](const http::HttpRequest& request) { return page(request); });
    server_.route("/livez", [](const http::HttpRequest&) {
        return http::HttpResponse{.content_type = "text/plain", .body = "alive\n"};
    });
    server_.route("/readyz", [this](const http::HttpRequest&) { return ready_probe(status()); });
    server_.route("/primary", [this](const http::HttpRequest&) { return primary_probe(status()); });
    server_.route("/secondary", [this](const http::HttpRequest& request) {
        return secondary_probe(status(), request.query);
    });
    server_.route("/v1/status", [this](const http::HttpRequest&) {
        return http::HttpResponse{.body = dump(status()) + "\n"};
    });
    server_.route("/v1/events", [this](const http::HttpRequest& request) {
        std::string lines;
        for (const auto& event : events(number_in(request.query, "after"), events_at_once)) {
            lines += dump(event) + "\n";
        }
        return http::HttpResponse{.content_type = "application/jsonl", .body = lines};
    });
    // The names of everything that is stored are not for everybody.
    server_.route(
        "/v1/items",
        [this](const http::HttpRequest& request) {
            const std::shared_ptr<Half> half = this->half();
            return answer_items(
                request, config_.site, config_.stores(),
                half ? [half](const auto&... asked) { return half->items(asked...); } : AskItems());
        },
        http::HttpServer::Access::Token);
    server_.route("/v1/journal", [this](const http::HttpRequest&) {
        std::string lines;
        for (const failover::JournalEntry& entry : conductor_.status().journal) {
            lines += dump({{"number", entry.number},
                           {"at_us", to_microseconds(entry.at)},
                           {"epoch", entry.epoch},
                           {"operation", entry.operation},
                           {"state", failover::to_string(entry.state)},
                           {"event", entry.event},
                           {"detail", entry.detail}}) +
                     "\n";
        }
        return http::HttpResponse{.content_type = "application/jsonl", .body = lines};
    });
    server_.route("/v1/drills", [this](const http::HttpRequest&) {
        std::string lines;
        for (const nlohmann::json& drill : kept_drills(config_)) {
            lines += dump(drill) + "\n";
        }
        return http::HttpResponse{.content_type = "application/jsonl", .body = lines};
    });
    server_.route("/v1/loss", [this](const http::HttpRequest& request) {
        const auto found = request.query.find("operation");
        return loss_report(found == request.query.end() ? "" : found->second,
                           number_in(request.query, "epoch"));
    });
    server_.route("/v1/expected-loss", [this](const http::HttpRequest&) {
        const auto half = std::dynamic_pointer_cast<SecondaryHalf>(this->half());
        if (half == nullptr) {
            return http::error_response(404, "this site is no secondary", "antipode status");
        }
        const auto found = half->expected_loss();
        return found ? http::HttpResponse{.body = *found}
                     : http::error_response(503, "it is being looked at", "the same again");
    });
    server_.post("/v1/resync", [this](const http::HttpRequest& request, const std::stop_token&) {
        const auto half = std::dynamic_pointer_cast<SecondaryHalf>(this->half());
        return answer_resync(
            request, config_.site, !config_.http.token_file.empty(),
            half ? [half](const v1::SiteRequest& asked) { return half->fulfil(asked); }
                 : AskResync());
    });
    server_.feed("/v1/watch",
                 [this](const http::HttpRequest& request) { return feed_.open(request); });
    server_.route("/metrics", [this](const http::HttpRequest&) {
        nlohmann::json shown = status();
        if (const std::shared_ptr<Half> half = this->half()) {
            half->show_took(shown);
        }
        return http::HttpResponse{.content_type = "text/plain; version=0.0.4",
                                  .body = render_metrics(shown)};
    });
}

std::vector<nlohmann::json> Daemon::events(uint64_t after, size_t most) const {
    const std::shared_ptr<Half> half = this->half();
    std::vector<nlohmann::json> events;
    if (half) {
        for (const protocol::SeenEvent& event : half->events().behind(after, most)) {
            events.push_back(
                {{"sequence", event.sequence},
                 {"at_us", to_microseconds(event.captured_at)},
                 {"kind", event.kind},
                 {"store", event.store},
                 {"item", printable(event.item)},
                 {"position", event.position.is_origin() ? "" : event.position.to_string()},
                 {"text", event.text}});
        }
    }
    return events;
}

}  // namespace antipode
