#include "apps/antipoded/quiet.hpp"

#include <algorithm>

namespace antipode {

bool Quiet::look(const std::string& seen, bool at_work, Time time) {
    const SteadyTime now = clock_.steady_now();
    const bool stands = !at_work && seen == seen_;
    still_ = stands ? still_ + std::min(now - looked_at_, unseen_) : Time{};
    seen_ = seen;
    looked_at_ = now;
    return still_ >= time;
}

}  // namespace antipode
