#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "adapters/postgres/transaction_spool.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"

namespace antipode::postgres {

/// Large transactions, which the server sends while they run (pgoutput's protocol version 2 with
/// streaming): each is kept in a TransactionSpool until it commits, and is then read back as the
/// messages that it would consist of if it had been sent as a whole at its commit (version 1, from
/// Begin to Commit). What was rolled back, a subtransaction too, is left out. One that is known to
/// have committed can be read before the server has come to its commit. One thread. Errors: Retry
/// when a spool refuses; then let the server keep them on its own.
class StreamedTransactions {
  public:
    explicit StreamedTransactions(std::filesystem::path directory);
    ~StreamedTransactions();

    /// True: the message belongs to such a transaction and was taken in. `at`: where in the log the
    /// server was with it. Throws Error{Stop} when its bytes break the layout.
    bool take(std::string_view message, Lsn at);

    /// The next message of one that committed, valid until the next call. nullopt: there is none,
    /// and the server's next message may be taken.
    std::optional<std::string_view> next();

    /// Those that could be read before the server says that they committed, if they did: the server
    /// has come to `beyond` in them, and some of it cannot be rolled back alone.
    std::vector<uint32_t> may_go_ahead(Lsn beyond) const;
    /// One of these has committed: next() reads it now. Its commit's place is not known yet; Begin
    /// and Commit give one instead behind which nothing else has committed before it, right behind
    /// `passed`, which decoding has passed, or a later change of its own: no record begins there.
    /// For its time Begin gives `now`.
    void go_ahead(uint32_t xid, Lsn passed, TimePoint now);
    /// How far the server has come in one of them.
    Lsn reached(uint32_t xid) const { return open_.at(xid)->reached; }
    bool is_ahead() const { return ahead_ != nullptr; }
    /// Whether this message shows that another one has committed before the one that went ahead: at
    /// a Begin, if there is anything in it. Then call break_off() before it is taken. What next()
    /// gave of it comes again, once the server says that it committed.
    bool is_of_another(std::string_view message) const;
    void break_off();

    /// The server will send everything again.
    void forget();

  private:
    struct Open {
        Open(const std::filesystem::path& directory, uint32_t xid) : spool(directory, xid) {}
        TransactionSpool spool;
        Lsn reached;  ///< the server, with its changes
        bool was_ahead = false;
    };
    void begin_segment(std::string_view fields);
    void commit(std::string_view fields);
    void abort(std::string_view fields);

    const std::filesystem::path directory_;
    std::unordered_map<uint32_t, std::unique_ptr<Open>> open_;  ///< by transaction
    Open* segment_ = nullptr;                                   ///< of which messages come now
    Open* ahead_ = nullptr;                                     ///< is being read, and runs still
    uint32_t ahead_xid_ = 0;
    std::string ahead_as_;             ///< the place that stands for its commit's
    std::unique_ptr<Open> committed_;  ///< is being read back
    std::string begin_;                ///< not read yet
    std::string end_;                  ///< comes behind the spool
    std::string handed_;
};

}  // namespace antipode::postgres
