#include "secondary/database/copy_plan.hpp"

namespace antipode::secondary {

std::vector<KeyRange> outside(const KeyRange& range, const KeyRange& done) {
    const bool below = done.up_to && range.after && *done.up_to <= *range.after;
    const bool above = done.after && range.up_to && *done.after >= *range.up_to;
    if (below || above) {
        return {range};
    }
    std::vector<KeyRange> rest;
    if (done.after && (!range.after || *done.after > *range.after)) {
        rest.push_back({range.column, range.after, done.after});
    }
    if (done.up_to && (!range.up_to || *done.up_to < *range.up_to)) {
        rest.push_back({range.column, done.up_to, range.up_to});
    }
    return rest;
}

std::vector<KeyRange> still_to_copy(std::vector<KeyRange> plan, std::span<const KeyRange> done) {
    if (done.empty()) {
        return plan;
    }
    if (plan.empty() || plan.front().column != done.front().column) {
        plan = {{done.front().column, std::nullopt, std::nullopt}};
    }
    for (const KeyRange& copied : done) {
        std::vector<KeyRange> rest;
        for (const KeyRange& range : plan) {
            for (const KeyRange& part : outside(range, copied)) {
                rest.push_back(part);
            }
        }
        plan = std::move(rest);
    }
    return plan;
}

}  // namespace antipode::secondary
