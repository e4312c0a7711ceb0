#pragma once

#include <chrono>
#include <string>

#include "apps/antipoded/quiet.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"

namespace antipode {

/// A site that is promoted first takes in what can be had of the epoch that ends. It comes to an
/// end whatever the old primary does: one that lives goes on publishing markers, directly or by way
/// of a third site, and one that nobody has fenced, writes. Passive; one thread.
class LastIntake {
  public:
    /// Nothing more comes when nothing has moved for so long.
    static constexpr std::chrono::seconds quiet_time{2};
    /// What still moves then has had its time.
    static constexpr std::chrono::seconds settling_time{20};
    /// What another site has more does not come if none of it has come for so long.
    static constexpr std::chrono::seconds fetching_time{20};

    /// The same of large content that somebody was not asked for yet, or has not answered for.
    static constexpr std::chrono::seconds pulling_time{15};

    explicit LastIntake(const Clock& clock)
        : clock_(clock), of_work_(clock), of_places_(clock), since_(clock.steady_now()) {}

    struct Seen {
        std::string work;         ///< what was applied, and what waits
        std::string places;       ///< where the lanes stand, which each marker changes
        bool at_work = false;     ///< something is being applied
        uint64_t to_pull = 0;     ///< bytes of large content that are not here yet
        bool pulls_more = false;  ///< of some of it nobody has said yet that it cannot be had
        Position came;            ///< the newest message that has come here
        Position taken;           ///< the newest that is taken in
    };
    enum class Step {
        Wait,
        Look,  ///< who has more? Then found().
        End,   ///< takes in nothing more from now on. Then end_at().
        Cut,   ///< all that can be applied is
    };
    /// Of `operation`: another one begins anew.
    Step next(const std::string& operation, const Seen& seen);
    /// Nothing is applied, and nothing waits for more than what cannot come.
    bool rests() const { return rests_; }
    /// Another site has messages up to there, which are fetched. Once.
    void found(const Position& further);
    /// Nobody has more.
    void found_nothing() { enter(Stage::Settling); }
    /// Nothing behind it is taken in.
    void end_at(const Position& end);

  private:
    enum class Stage { Coming, Fetching, Settling, Ended };
    void enter(Stage stage);
    bool is_fetched(const Seen& seen);
    bool is_pulling(const Seen& seen);

    const Clock& clock_;
    Quiet of_work_;
    Quiet of_places_;
    std::string operation_;
    Stage stage_ = Stage::Coming;
    SteadyTime since_;
    bool rests_ = false;
    Position further_;
    Position came_;
    Position end_;
    uint64_t to_pull_ = UINT64_MAX;  ///< the least that was seen in this stage
    SteadyTime pulled_at_;           ///< when that was
};

}  // namespace antipode
