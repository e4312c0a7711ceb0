#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/http/client.hpp"
#include "base/clock.hpp"
#include "base/seams/bulk.hpp"
#include "base/synchronized.hpp"

namespace antipode {

/// The parameter of a request to a secondary that knows it to be one (HeldContents).
inline constexpr const char* of_secondary = "held";

/// Where large content comes from: the primary, and, while this site is promoted, first from every
/// other site that has it. A secondary's word is no primary's: what it does not have, or has
/// otherwise than announced, may be had from the next one, and is not gone. Thread-safe.
class PullPlaces final : public BulkSource {
  public:
    /// `primary` must outlive the object; `others`: all sites but this one and the primary, the one
    /// to begin with first; `lost_primary`: how it is asked behind them.
    PullPlaces(http::HttpBulkSource& primary, std::vector<http::HttpBulkSource::Options> others,
               const http::HttpBulkSource::Options& lost_primary, const Clock& clock);

    /// This site is being promoted; counts for a minute. True: it was not until now.
    bool ask_others();
    /// It is, and there are others.
    bool asks_others() const;

    Answer get(const BulkRequest& request, Range range, const Headers& on_headers, const Sink& sink,
               const std::stop_token& stop) override;
    bool doubt(const BulkRequest& request) override;

    http::HttpBulkSource::Traffic traffic() const;

  private:
    struct Place {
        std::string name;
        http::HttpBulkSource* source = nullptr;
        bool is_primary = false;
    };
    using Served = std::pair<std::string, size_t>;  ///< a content's hash, and the number of a place
    bool is_silent(const Place& place) const;
    std::vector<size_t> in_order(const std::string& hash) const;
    std::optional<Answer> get_from(size_t number, BulkRequest request, Range range,
                                   const Headers& on_headers, const Sink& sink,
                                   const std::stop_token& stop);
    void note_failure(size_t number);
    static Answer each_alone(const BulkRequest& request, const Sink& sink);

    const Clock& clock_;
    http::HttpBulkSource& primary_;
    std::vector<std::unique_ptr<http::HttpBulkSource>> others_;
    std::vector<Place> places_;  ///< while this site is promoted; the primary last
    struct State {
        std::optional<SteadyTime> until;
        std::vector<unsigned> failures;          ///< of a place, since it last served
        std::optional<SteadyTime> silent_until;  ///< the primary is not asked again before
        std::set<Served> served;
        std::set<Served> wrong;
    };
    Synchronized<State> state_;
};

}  // namespace antipode
