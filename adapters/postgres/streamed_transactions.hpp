#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace antipode::postgres {

/// Large transactions, which the server sends while they run (pgoutput's protocol version 2 with
/// streaming): each is kept in an unlinked file until it commits, and is then read back as the
/// messages that it would consist of if it had been sent as a whole at its commit (version 1, from
/// Begin to Commit). What was rolled back, a subtransaction too, is left out. Memory: 256 KiB and a
/// file descriptor for each that is open, tens of bytes for each of its subtransactions. One
/// thread. Errors: Retry when the disk refuses, has little room left, or a subtransaction is rolled
/// back of which cannot be told what belongs to it; then let the server keep them on its own.
class StreamedTransactions {
  public:
    explicit StreamedTransactions(std::filesystem::path directory);
    ~StreamedTransactions();

    /// True: the message belongs to such a transaction and was taken in. Throws Error{Stop} when
    /// its bytes break the layout.
    bool take(std::string_view message);

    /// The next message of one that committed, valid until the next call. nullopt: there is none,
    /// and the server's next message may be taken.
    std::optional<std::string_view> next();

    /// The server will send everything again.
    void forget();

  private:
    class Spool;
    void begin_segment(std::string_view fields);
    void commit(std::string_view fields);
    void abort(std::string_view fields);

    const std::filesystem::path directory_;
    std::unordered_map<uint32_t, std::unique_ptr<Spool>> open_;  ///< by transaction
    Spool* segment_ = nullptr;                                   ///< of which messages come now
    std::unique_ptr<Spool> committed_;                           ///< is being read back
    std::string begin_;                                          ///< not read yet
    std::string end_;                                            ///< comes behind the spool
    std::string handed_;
};

}  // namespace antipode::postgres
