#include "secondary/database/structure_check.hpp"

#include "base/error.hpp"

namespace antipode::secondary {

StructureCheck::StructureCheck(Options options, BulkSource& primary, ReplicaReader& reader,
                               Barriers& barriers)
    : options_(std::move(options)), primary_(primary), reader_(reader), barriers_(barriers) {}

StructureReport StructureCheck::run(const std::stop_token& stop) {
    StructureReport report;
    std::vector<StructureDifference> before;
    for (unsigned round = 0; round < options_.rounds; ++round) {
        Structure there;
        Structure here;
        const Reading reading = read(there, here, report.undecided, stop);
        if (reading == Reading::Failed) {
            continue;
        }
        if (reading == Reading::Impossible) {
            return report;
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

StructureCheck::Reading StructureCheck::read(Structure& there, Structure& here,
                                             std::string& problem, const std::stop_token& stop) {
    PrimaryCheck check(options_.store, primary_, stop);
    reader_.connect(stop);
    barriers_.expect(check.id(), [&](const Touched&, ReplicaSession&) {
        reader_.take_snapshot();
        here = reader_.structure();
    });
    try {
        check.open(PrimaryCheck::Of::Structure);
        if (!barriers_.wait(options_.wait, stop, problem)) {
            return Reading::Failed;
        }
    } catch (...) {
        barriers_.forget();
        throw;
    }
    try {
        auto answer = check.structure();
        problem = answer ? why_incomparable(*answer, here)
                         : "the primary does not tell its structure: it runs an older version";
        there = answer ? std::move(*answer) : Structure{};
    } catch (const Unreadable& error) {
        problem = error.what();
        return Reading::Failed;
    }
    return problem.empty() ? Reading::Done : Reading::Impossible;
}

std::string why_incomparable(const Structure& there, const Structure& here) {
    const auto theirs = there.find(structure_server);
    const auto ours = here.find(structure_server);
    if (theirs == there.end() || ours == here.end() || theirs->second == ours->second) {
        return {};
    }
    return "the primary is " + theirs->second + ", this site " + ours->second +
           ", and each version writes definitions in its own way";
}

std::vector<StructureDifference> compare_structures(const Structure& there, const Structure& here) {
    using Kind = StructureDifference::Kind;
    std::vector<StructureDifference> differences;
    for (const auto& [object, theirs] : there) {
        if (object == structure_server) {
            continue;  // an older site does not tell it
        }
        const auto ours = here.find(object);
        if (ours == here.end()) {
            differences.push_back({Kind::Missing, object, theirs, {}});
        } else if (ours->second != theirs) {
            differences.push_back({Kind::Changed, object, theirs, ours->second});
        }
    }
    for (const auto& [object, ours] : here) {
        if (object != structure_server && !there.contains(object)) {
            differences.push_back({Kind::Extra, object, {}, ours});
        }
    }
    return differences;
}

}  // namespace antipode::secondary
