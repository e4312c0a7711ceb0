#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "failover/epoch.hpp"

namespace antipode::failover {

/// The epoch records of all sites as one site sees them: its own bucket, which it writes, the
/// others', which it reads, and its journal of the latest record. One thread. Errors: Retry when
/// this site's own server does not answer; other sites that do not answer are no error.
class Records {
  public:
    using OpenBucket = std::function<std::unique_ptr<KeyValue>(const std::string& site)>;
    struct Options {
        std::string cluster;
        std::string site;
        std::vector<std::string> others;
        std::filesystem::path journal;  ///< EpochJournal's file
        /// Called on any thread when a site's record may have changed; changes may be missed.
        std::function<void()> changed = [] {};
    };
    Records(Options options, const OpenBucket& open, const Clock& clock);

    /// Reads everything anew. A later record of another site is copied here: of a later epoch from
    /// any site, of the same epoch from its primary only.
    void refresh();
    /// nullopt: this site knows of no primary yet.
    const std::optional<Epoch>& own() const { return own_; }
    /// nullopt: it did not answer the last time, or has none.
    std::optional<v1::EpochRecord> of(const std::string& site) const;
    /// This site and every other one said the last time what their record is.
    bool are_complete() const;
    /// Another site's record says that this epoch has another primary: two claims to one epoch.
    std::optional<v1::EpochRecord> contradiction() const;
    /// Another site's record says that it is to be promoted, as own() says of this one. Of several:
    /// the one that was asked first.
    std::optional<v1::EpochRecord> rival() const;

    /// Puts `record` in the place of own(), durably. False: somebody else was faster; refresh().
    bool change(const v1::EpochRecord& record);
    /// An operator has put this epoch, which has fenced this site, under `key` (see epoch.hpp).
    bool is_asked(const char* key, uint64_t epoch);
    /// The same, followed by a space and what is returned. Empty: nobody has.
    std::string asked_for(const char* key, uint64_t epoch);
    /// What the site last reported to this one's bucket.
    std::optional<v1::SiteReport> report_of(const std::string& site);

  private:
    struct Other {
        std::unique_ptr<KeyValue> bucket;
        std::optional<v1::EpochRecord> record;
        SteadyTime ask_at{};
    };
    void read_own();
    void read(const std::string& site, Other& other);
    void adopt(const v1::EpochRecord& record);

    Options options_;
    const Clock& clock_;
    EpochJournal journal_;
    std::unique_ptr<KeyValue> bucket_;
    std::map<std::string, Other> others_;
    std::optional<Epoch> own_;
};

}  // namespace antipode::failover
