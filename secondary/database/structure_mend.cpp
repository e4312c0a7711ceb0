#include "secondary/database/structure_mend.hpp"

#include <future>

#include <spdlog/spdlog.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::secondary {
namespace {

struct Primary {
    Structure structure;
    Recipes recipes;
};

void open(PrimaryCheck& check, std::promise<void>& opened) {
    try {
        check.open(PrimaryCheck::Of::Recipes);
        opened.set_value();
    } catch (...) {
        opened.set_exception(std::make_exception_ptr(
            Error(Reaction::Retry, "the primary did not say that the check is open")));
        throw;
    }
}

/// nullopt with the reason in `problem`.
std::optional<Primary> ask(const PrimaryCheck& check, std::string& problem) {
    auto structure = check.structure();
    auto recipes = check.recipes();
    if (!structure || !recipes) {
        problem = "the primary does not tell how its structure is made: it runs an older version";
        return std::nullopt;
    }
    return Primary{std::move(*structure), std::move(*recipes)};
}

/// The transaction is one: it is done whole, or not at all.
EditedStructure edit(ReplicaSession& session, const Primary& primary,
                     const std::vector<StructureDifference>& found,
                     const std::set<std::string>& may_drop) {
    EditedStructure edited;
    try {
        session.begin();
        session.edit_structure([&](StructureEditor& editor) {
            if (compare_structures(primary.structure, editor.structure()) != found) {
                throw Error(Reaction::Retry, "what differs has changed since it was found");
            }
            edited = edit_structure(editor, primary.structure, primary.recipes, may_drop);
        });
        session.commit();
    } catch (...) {
        session.rollback();
        throw;
    }
    return edited;
}

}  // namespace

StructureMend::StructureMend(Options options, BulkSource& primary, Barriers& barriers)
    : options_(std::move(options)), primary_(primary), barriers_(barriers) {}

StructureMended StructureMend::run(const std::vector<StructureDifference>& found,
                                   const std::stop_token& stop) {
    StructureMended mended;
    for (unsigned i = 0; i < options_.tries && !mend(found, mended, stop); ++i) {
        spdlog::debug("{}: the structure: {}", options_.store.to_string(), mended.problem);
    }
    for (const std::string& object : mended.edited.done) {
        spdlog::warn("{}: {} differed from the primary's and is made as it is there",
                     options_.store.to_string(), printable(object));
    }
    for (const auto& [object, left] : mended.edited.left) {
        spdlog::error("{}: {} still differs: {}", options_.store.to_string(), printable(object),
                      printable(left.reason));
    }
    return mended;
}

bool StructureMend::mend(const std::vector<StructureDifference>& found, StructureMended& mended,
                         const std::stop_token& stop) {
    PrimaryCheck check(options_.store, primary_, stop);
    // The barrier may be here before the primary's answer is.
    std::promise<void> opened;
    auto is_open = opened.get_future();
    std::string unable;
    mended.problem.clear();
    barriers_.expect(
        check.id(),
        [&](const Touched&, ReplicaSession& session) {
            is_open.get();
            if (const auto primary = ask(check, unable)) {
                mended.edited = edit(session, *primary, found, options_.may_drop);
            }
        },
        Barriers::Session::Restructured);
    try {
        open(check, opened);
        if (!barriers_.wait(options_.wait, stop, mended.problem)) {
            return false;
        }
    } catch (...) {
        barriers_.forget();
        throw;
    }
    mended.problem = unable;
    return true;
}

}  // namespace antipode::secondary
