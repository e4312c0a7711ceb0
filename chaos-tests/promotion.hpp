#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "chaos-tests/stage.hpp"

namespace antipode::chaos {

/// The end of one site's primaryship, and its return.
struct Promotion {
    Site& old;
    Site& to;
    std::string operation;
    size_t loss;                    ///< its place in the history
    std::vector<Operation> before;  ///< all that was tried before it was lost
    View cut;                       ///< the new primary before anybody wrote there
    std::filesystem::path clones;   ///< of its repositories, then
};

/// That another site is to become the primary, as it was given.
struct Word {
    int64_t given_us;
    int64_t lost_us;    ///< nothing that the old primary acknowledged since need be kept
    int64_t fenced_us;  ///< it has acknowledged nothing since
    std::chrono::milliseconds most = std::chrono::seconds(30);  ///< until it is obeyed
};

/// Waits until preflight lets `to` become the primary; throws when it does not. `mode`: as in
/// preflight --mode.
void must_be_ready(Site& to, const std::string& mode);
/// Throws when its part in changes of the primary does not become that within a minute.
void await_state(Stage& stage, const Site& site, const std::string& state);

/// How many steps of changes of the primary it has journaled.
size_t journal_lines(const Site& site);

/// One site serves, and the others follow it, whichever; else it is held against the stage.
void await_roles(Stage& stage);
/// It follows by itself, but for what it has that the new primary never got: that takes a word.
void await_following(Stage& stage, const Site& site);

/// All that ran there is gone, with what the other sites have not got; nobody writes anywhere, so
/// that the new primary can be looked at before anybody does.
void lose_primary(Stage& stage, Site& site);
/// The operator's word, and that the old one is off; what it says.
test::CommandResult tell_to_promote(const Site& to);
/// The same when it is ready, until it serves, and the load goes on.
Promotion promote(Stage& stage, Site& old, Site& to);
/// The end of it, and nobody writes yet: what is known of it then.
Promotion note_promotion(Stage& stage, Site& old, Site& to, const Word& word,
                         const std::string& answer);
/// The same, the lines are mended, and the load goes on.
Promotion go_on_after(Stage& stage, Site& old, Site& to, int64_t word_us,
                      const std::string& answer);
/// The old primary comes back, what only it has is compared with its quarantine, and it follows.
/// `tracer`: kills its daemon on the way, once; empty: it may die between two steps.
void return_old_primary(Stage& stage, const Promotion& promotion,
                        const std::vector<std::string>& tracer = {});
/// The same of one that has lived on, cut off, and sees the others again.
void return_isolated_primary(Stage& stage, const Promotion& promotion);
/// The same of a site that was to become the primary: if it never opened it may have nothing.
void return_lost_target(Stage& stage, const Promotion& promotion);

}  // namespace antipode::chaos
