#include "base/seams/chunks.hpp"

#include "base/digest.hpp"

namespace antipode {

std::string ChunkPlan::describe(uint32_t chunk) const {
    if (chunks() == 1) {
        return "the whole table";
    }
    if (!range_type.empty()) {
        const std::string column = printable(key.front());
        const std::string from = chunk > 0 ? column + " >= " + bounds[chunk - 1] : "";
        const std::string to = chunk < bounds.size() ? column + " < " + bounds[chunk] : "";
        return from + (from.empty() || to.empty() ? "" : " and ") + to;
    }
    std::string names;
    for (const std::string& column : key) {
        names += (names.empty() ? "" : ", ") + printable(column);
    }
    return "bucket " + std::to_string(chunk) + " of " + std::to_string(buckets) + " by hash of (" +
           (whole_row ? "the whole row" : names) + ")";
}

}  // namespace antipode
