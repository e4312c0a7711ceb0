#include "apps/antipoded/pulls_status.hpp"

#include <nlohmann/json.hpp>

#include "base/digest.hpp"

namespace antipode {

nlohmann::json show_pulls(const secondary::Pulls& pulls,
                          const http::HttpBulkSource::Traffic& traffic) {
    const auto [contents, bytes] = pulls.missing();
    nlohmann::json shown = {{"missing", contents},
                            {"missing_bytes", bytes},
                            {"received_bytes", traffic.received_bytes},
                            {"content_bytes", traffic.content_bytes},
                            {"inventory_bytes", traffic.inventory_bytes},
                            {"running", nlohmann::json::array()}};
    for (const auto& [store, pull] : pulls.running()) {
        shown["running"].push_back({{"store", store.to_string()},
                                    {"sha256", to_hex(pull.hash)},
                                    {"bytes", pull.bytes},
                                    {"total", pull.total}});
    }
    return shown;
}

}  // namespace antipode
