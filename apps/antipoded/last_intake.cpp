#include "apps/antipoded/last_intake.hpp"

namespace antipode {

void LastIntake::enter(Stage stage) {
    stage_ = stage;
    since_ = clock_.steady_now();
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
    rests_ = of_work_.look(seen.work, seen.at_work, quiet_time);
    const bool stands = of_places_.look(seen.places, seen.at_work, quiet_time);
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
