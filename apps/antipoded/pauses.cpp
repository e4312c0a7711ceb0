#include "apps/antipoded/pauses.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"

namespace antipode {
namespace {

const std::string fact = "pauses";

std::map<StoreId, Pause> read(const std::string& text) {
    std::map<StoreId, Pause> pauses;
    const auto document = nlohmann::json::parse(text, nullptr, false);
    if (!document.is_object()) {
        return pauses;
    }
    for (const auto& [name, row] : document.items()) {
        if (const auto store = StoreId::parse(name)) {
            pauses[*store] = {from_microseconds(row.value("since_us", int64_t{0})),
                              from_microseconds(row.value("until_us", int64_t{0})),
                              row.value("operator", ""), row.value("reason", "")};
        }
    }
    return pauses;
}

}  // namespace

Pauses::Pauses(secondary::Registry& registry, const Clock& clock)
    : registry_(registry), clock_(clock) {
    pauses_.with([&](auto& pauses) { pauses = read(registry_.fact(fact).value_or("")); });
}

void Pauses::save(const std::map<StoreId, Pause>& pauses) {
    nlohmann::json document = nlohmann::json::object();
    for (const auto& [store, pause] : pauses) {
        document[store.to_string()] = {{"since_us", to_microseconds(pause.since)},
                                       {"until_us", to_microseconds(pause.until)},
                                       {"operator", pause.operator_name},
                                       {"reason", pause.reason}};
    }
    registry_.set_fact(fact, dump(document));
}

void Pauses::pause(const StoreId& store, const Pause& pause) {
    pauses_.with([&](auto& pauses) {
        pauses[store] = pause;
        save(pauses);
    });
}

void Pauses::resume(const StoreId& store) {
    pauses_.with([&](auto& pauses) {
        pauses.erase(store);
        save(pauses);
    });
}

void Pauses::resume_all() {
    pauses_.with([&](auto& pauses) {
        pauses.clear();
        save(pauses);
    });
}

std::map<StoreId, Pause> Pauses::current() const {
    auto pauses = pauses_.copy();
    const TimePoint now = clock_.now();
    std::erase_if(pauses, [&](const auto& pause) { return pause.second.until <= now; });
    return pauses;
}

std::set<StoreId> Pauses::stores() const {
    std::set<StoreId> stores;
    for (const auto& [store, pause] : current()) {
        stores.insert(store);
    }
    return stores;
}

}  // namespace antipode
