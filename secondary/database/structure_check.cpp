#include "secondary/database/structure_check.hpp"

#include "base/error.hpp"

namespace antipode::secondary {

StructureCheck::StructureCheck(Options options, BulkSource& primary, ReplicaReader& reader,
                               Barriers& barriers)
    : options_(std::move(options)),
      primary_(options_.store, primary),
      reader_(reader),
      barriers_(barriers) {}

StructureReport StructureCheck::run(const std::stop_token& stop) {
    StructureReport report;
    std::vector<StructureDifference> before;
    for (unsigned round = 0; round < options_.rounds; ++round) {
        Structure there;
        Structure here;
        if (!read(there, here, report.undecided, stop)) {
            continue;
        }
        report.objects = there.size();
        report.differences = compare_structures(there, here);
        if (report.differences.empty() || report.differences == before) {
            report.undecided.clear();
            return report;
        }
        report.undecided = "the structure was changed all the time";
        before = std::exchange(report.differences, {});
    }
    return report;
}

bool StructureCheck::read(Structure& there, Structure& here, std::string& problem,
                          const std::stop_token& stop) {
    const std::string check = new_check_id();
    reader_.connect();
    barriers_.expect(check, [&](const Touched&, ReplicaSession&) {
        reader_.take_snapshot();
        here = reader_.structure();
    });
    try {
        primary_.open(check, {}, stop, CheckRequests::Of::Structure);
        if (!barriers_.wait(options_.wait, stop, problem)) {
            primary_.close(check, stop);
            return false;
        }
    } catch (...) {
        barriers_.forget();
        throw;
    }
    auto answer = primary_.structure(check, stop);
    primary_.close(check, stop);
    if (!answer) {
        problem = "the primary does not tell its structure: it runs an older version";
        return false;
    }
    there = std::move(*answer);
    return true;
}

std::vector<StructureDifference> compare_structures(const Structure& there, const Structure& here) {
    using Kind = StructureDifference::Kind;
    std::vector<StructureDifference> differences;
    for (const auto& [object, theirs] : there) {
        const auto ours = here.find(object);
        if (ours == here.end()) {
            differences.push_back({Kind::Missing, object, theirs, {}});
        } else if (ours->second != theirs) {
            differences.push_back({Kind::Changed, object, theirs, ours->second});
        }
    }
    for (const auto& [object, ours] : here) {
        if (!there.contains(object)) {
            differences.push_back({Kind::Extra, object, {}, ours});
        }
    }
    return differences;
}

}  // namespace antipode::secondary
