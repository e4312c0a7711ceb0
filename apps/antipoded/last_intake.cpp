#include "apps/antipoded/last_intake.hpp"

namespace antipode {

void LastIntake::enter(Stage stage) {
    stage_ = stage;
    since_ = clock_.steady_now();
    to_pull_ = UINT64_MAX;
}

/// Only what there is less of than ever before counts: what is begun anew again and again does not.
bool LastIntake::is_pulling(const Seen& seen) {
    if (seen.to_pull < to_pull_) {
        to_pull_ = seen.to_pull;
        pulled_at_ = clock_.steady_now();
    }
    return seen.pulls_more && clock_.steady_now() - pulled_at_ < pulling_time;
}

void LastIntake::found(const Position& further) {
    further_ = further;
    came_ = {};
    enter(Stage::Fetching);
}

void LastIntake::end_at(const Position& end) {
    end_ = end;
    enter(Stage::Ended);
}

/// The end of it was fixed when it was found: what its site gets later is another matter.
bool LastIntake::is_fetched(const Seen& seen) {
    if (seen.came > came_) {
        came_ = seen.came;
        since_ = clock_.steady_now();
    }
    return came_ >= further_ || clock_.steady_now() - since_ >= fetching_time;
}

LastIntake::Step LastIntake::next(const std::string& operation, const Seen& seen) {
    if (operation != operation_) {
        operation_ = operation;
        of_work_.forget();
        of_places_.forget();
        enter(Stage::Coming);
    }
    const bool pulls = is_pulling(seen);
    const std::string to_pull = std::to_string(to_pull_) + "\n";
    rests_ = of_work_.look(seen.work + to_pull, seen.at_work, quiet_time);
    const bool stands = of_places_.look(seen.places + to_pull, seen.at_work || pulls, quiet_time);
    const auto time = clock_.steady_now() - since_;
    switch (stage_) {
        case Stage::Coming:
            return rests_ || time >= settling_time ? Step::Look : Step::Wait;
        case Stage::Fetching:
            if (is_fetched(seen)) {
                of_work_.forget();  // what has come is yet to be applied
                enter(Stage::Settling);
            }
            return Step::Wait;
        case Stage::Settling:
            return rests_ || time >= settling_time ? Step::End : Step::Wait;
        case Stage::Ended:
            // What came last may not have been read yet.
            return stands && (seen.taken >= end_ || time >= quiet_time) ? Step::Cut : Step::Wait;
    }
    return Step::Wait;
}

}  // namespace antipode
