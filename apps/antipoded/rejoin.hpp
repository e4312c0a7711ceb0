#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "adapters/http/client.hpp"
#include "apps/antipoded/primary_stores.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/synchronized.hpp"
#include "failover/lost_items.hpp"
#include "failover/lost_rows.hpp"
#include "failover/machine.hpp"
#include "failover/quarantine.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// Of a quarantine that runs, any thread.
struct QuarantineProgress {
    struct Unreadable {
        std::string name;   ///< of all items that were found to be; empty: none is left
        std::string shown;  ///< those that are left, for people
    };
    Synchronized<Unreadable> unreadable;
    Synchronized<std::string> without;  ///< an operator's word: the name of what it need not have
};

/// Brings an old primary, or a secondary that is ahead, back to the epoch that fenced it (FAILOVER,
/// "Rejoin of A"): keeps what only it has, tells what that was, and makes it a secondary that
/// compares the rest. `record` is the new primary's own: it says where the ended epoch was cut.
/// Nothing writes to the stores, and no half runs. One thread.
class Rejoin {
  public:
    /// `form`: that this site had when it was fenced.
    Rejoin(const Config& config, const v1::EpochRecord& record, failover::Form form,
           const Clock& clock);

    /// Fills the quarantine anew and writes the final loss report. Returns what was kept, for
    /// people. Everything else stays as it is. Items that cannot be read are tried again until all
    /// can be, or until the operator's word. Throws Error: Retry; Stop (an operator is needed).
    std::string quarantine(QuarantineProgress& progress, const std::stop_token& stop);
    /// Nothing was written since, as far as this site remembers.
    bool is_kept(const std::stop_token& stop);
    /// Each store is a replica that compares what it has with the new primary's. May run again.
    /// Throws Error{Stop} when what it has is not known any more.
    void rewind();
    /// The way back has ended, or was none: deletes what it remembered.
    static void forget(const Config& config);

  private:
    struct Report {
        std::string operation;
        std::string text;
    };
    Report preliminary_report();
    /// This site was no primary of the ended epoch, but a secondary that got more than the new one.
    bool was_secondary() const;
    /// The epoch that it followed, as its registry says.
    uint64_t followed() const;
    using AddLoss = std::function<void(const failover::Loss&)>;
    /// Of parts that came here as a secondary.
    void read_own_streams(const StoreId& store, const std::vector<failover::LostPart>& parts,
                          std::ostream& out, const AddLoss& add, const std::stop_token& stop);
    /// What this site had when its own epoch began, and the new primary has not: it never followed
    /// that epoch, or has claimed the same one.
    void keep_rows_from_before(const StoreId& store, std::ostream& out, const AddLoss& add,
                               const std::stop_token& stop);
    /// Where the lane stood then.
    Position began_at(const StoreId& store) const;
    std::unique_ptr<primary::Inventory> known_before(const PrimaryStores& stores) const;
    void keep_rows(const Config::Database& store, failover::CutSource& cut,
                   failover::Quarantine& quarantine, const std::string& preliminary,
                   const std::stop_token& stop);
    void read_slot(const Config::Database& store, Lsn applied, const v1::LaneCut& end,
                   failover::LostRows& rows, const std::stop_token& stop);
    void read_rows(const Config::Database& store, failover::LostRows& rows,
                   const std::function<void(Lsn from)>& begins, const std::stop_token& stop);
    void keep_items(failover::CutSource& cut, failover::Quarantine& quarantine,
                    QuarantineProgress& progress, const std::stop_token& stop);
    void note_let_go(const StoreId& store, const std::string& preliminary,
                     const std::set<std::string>& found, failover::Quarantine& quarantine) const;
    /// nullopt: it was not looked at.
    std::optional<Lsn> kept_through(const Config::Database& store) const;
    /// here() is whole.
    bool remembers() const;
    /// What is here, as the quarantine was made.
    std::shared_ptr<primary::Inventory> here() const;

    const Config& config_;
    const v1::EpochRecord record_;
    const failover::Form form_;
    const Clock& clock_;
    http::HttpBulkSource bulk_;
};

}  // namespace antipode
