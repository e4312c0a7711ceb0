#include "apps/antipoded/runtime_limits.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "apps/antipoded/json.hpp"
#include "base/digest.hpp"
#include "failover/durable.hpp"

namespace antipode {
namespace {

constexpr uint64_t most_bytes_per_second = INT64_MAX;
constexpr uint64_t most_workers = 64;

}  // namespace

RuntimeLimits::RuntimeLimits(const Config::Tuning& tuning, std::filesystem::path file,
                             const Clock& clock)
    : file_(std::move(file)),
      clock_(clock),
      pulls_(std::make_shared<http::RateLimit>(0)),
      serves_(std::make_shared<http::RateLimit>(0)),
      limits_(Limits{
          {"bulk_bytes_per_second", {tuning.bulk_bytes_per_second, 0, most_bytes_per_second}},
          {"bulk_serve_bytes_per_second",
           {tuning.bulk_serve_bytes_per_second, 0, most_bytes_per_second}},
          {"check_bytes_per_second", {tuning.check_bytes_per_second, 0, most_bytes_per_second}},
          {"pull_workers", {tuning.pull_workers, 1, most_workers}}}) {
    read();
    limits_.with([&](const Limits& limits) { use(limits); });
}

uint64_t RuntimeLimits::value(const std::string& name) const {
    return limits_.with([&](const Limits& limits) { return limits.at(name).value(); });
}

void RuntimeLimits::read() {
    const auto text = failover::read_whole(file_);
    if (!text) {
        return;
    }
    const auto document = nlohmann::json::parse(*text, nullptr, false);
    if (!document.is_object()) {
        spdlog::error("{} cannot be understood; the limits are those of the configuration",
                      file_.string());
        return;
    }
    limits_.with([&](Limits& limits) {
        for (auto& [name, limit] : limits) {
            const auto row = document.find(name);
            if (row != document.end() && row->is_object() && row->contains("value") &&
                (*row)["value"].is_number_unsigned()) {
                const auto value = (*row)["value"].get<uint64_t>();
                limit.changed =
                    Change{std::clamp(value, limit.least, limit.most), row->value("operator", ""),
                           from_microseconds(row->value("at_us", int64_t{0}))};
            }
        }
    });
}

void RuntimeLimits::save(const Limits& limits) const {
    nlohmann::json document = nlohmann::json::object();
    for (const auto& [name, limit] : limits) {
        if (limit.changed) {
            document[name] = {{"value", limit.changed->value},
                              {"operator", limit.changed->operator_name},
                              {"at_us", to_microseconds(limit.changed->at)}};
        }
    }
    failover::replace_durably(file_, dump(document) + "\n");
}

void RuntimeLimits::use(const Limits& limits) {
    pulls_->set(limits.at("bulk_bytes_per_second").value());
    serves_->set(limits.at("bulk_serve_bytes_per_second").value());
}

std::string RuntimeLimits::objection(const Limits& limits, const v1::SiteRequest& request) {
    for (const v1::SiteRequest::Limit& asked : request.limits()) {
        const auto known = limits.find(asked.name());
        if (known == limits.end()) {
            std::string names;
            for (const auto& [name, limit] : limits) {
                names += (names.empty() ? "" : ", ") + name;
            }
            return printable(asked.name()) + " is none of " + names;
        }
        const Limit& limit = known->second;
        if (!asked.configured() && (asked.value() < limit.least || asked.value() > limit.most)) {
            return asked.name() + " must be from " + std::to_string(limit.least) + " to " +
                   std::to_string(limit.most);
        }
    }
    return request.limits().empty() ? "no limit is named" : "";
}

v1::SiteAnswer RuntimeLimits::fulfil(const v1::SiteRequest& request) {
    v1::SiteAnswer answer;
    Limits limits = limits_.copy();
    answer.set_problem(objection(limits, request));
    if (!answer.problem().empty()) {
        answer.set_next_step("antipode limits");
        return answer;
    }
    for (const v1::SiteRequest::Limit& asked : request.limits()) {
        Limit& limit = limits.at(asked.name());
        limit.changed.reset();
        if (!asked.configured()) {
            limit.changed = Change{asked.value(), printable(request.operator_name()), clock_.now()};
        }
        spdlog::warn("{} is {} now, says {}", asked.name(), limit.value(),
                     printable(request.operator_name()));
    }
    save(limits);
    use(limits);
    limits_.with([&](Limits& shared) { shared = std::move(limits); });
    answer.set_items(static_cast<uint64_t>(request.limits_size()));
    return answer;
}

nlohmann::json RuntimeLimits::show() const {
    nlohmann::json shown = nlohmann::json::object();
    for (const auto& [name, limit] : limits_.copy()) {
        shown[name] = {{"value", limit.value()},
                       {"configured", limit.configured},
                       {"changed_us", nullptr},
                       {"operator", nullptr}};
        if (limit.changed) {
            shown[name]["changed_us"] = to_microseconds(limit.changed->at);
            shown[name]["operator"] = limit.changed->operator_name;
        }
    }
    return shown;
}

}  // namespace antipode
