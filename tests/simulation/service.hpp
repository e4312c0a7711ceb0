#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"

namespace antipode::simulation {

inline const StoreId rows_id{StoreKind::Database, "app"};
inline const StoreId blobs_id{StoreKind::Blobs, "files"};
inline const StoreId repositories_id{StoreKind::Repositories, "git"};

/// A row names a blob and a commit, in the state that they had when it was written.
struct Row {
    std::string blob;
    uint64_t blob_change = 0;
    std::string repository;
    std::string commit;
    bool operator==(const Row&) const = default;
};

/// A change of one row; nullopt: it is deleted.
struct RowChange {
    uint64_t id = 0;
    std::optional<Row> row;
};
std::string encode(const std::vector<RowChange>& changes);
std::vector<RowChange> decode_rows(const std::string& bytes);

struct Commit {
    std::string id;
    std::string parent;  ///< empty: none
};
std::string encode(const std::vector<Commit>& commits);
std::vector<Commit> decode_commits(const std::string& bytes);

using Refs = std::map<std::string, std::string>;  ///< name to commit
using Objects = std::map<std::string, Commit>;
Digest digest_of(const Refs& refs);
Digest digest_of_blob(const std::string& content);
/// What the refs lead to, as far as it is there; `missing`: something is not.
Objects reachable(const Refs& refs, const Objects& objects, bool* missing = nullptr);

struct Repository {
    Refs refs;
    Objects objects;
};

/// Which change of a blob a content is: every content says so.
uint64_t change_of(const std::string& content);

/// The service on the primary site: what the application has written, and everything that a
/// checker must know of how it came about. It outlives the daemons.
class Service {
  public:
    explicit Service(const ManualClock& clock) : clock_(clock) {}

    /// Who is told of changes while he watches; may be empty.
    std::function<void(const StoreId& store, const std::string& item)> on_change;

    // As an application writes. Each is one change.

    void put_blob(const std::string& path, bool large);
    void remove_blob(const std::string& path);
    void create_repository(const std::string& name);
    void remove_repository(const std::string& name);
    /// A commit on top of what the ref points to; `force`: beside it.
    void push(const std::string& name, const std::string& ref, bool force);
    void commit(std::vector<RowChange> changes);

    std::map<std::string, std::string> blobs;
    std::map<std::string, Repository> repositories;
    std::map<uint64_t, Row> rows;

    struct Transaction {
        Lsn commit;
        Lsn end;
        TimePoint at;
        std::vector<RowChange> changes;
    };
    std::vector<Transaction> log;  ///< the write-ahead log's commits
    Lsn wal_end{100};
    Lsn confirmed{100};  ///< the slot's

    /// One state of an item, from `at` on.
    struct State {
        uint64_t change = 0;
        TimePoint at;
        Digest digest;  ///< empty: removed
    };
    const std::vector<State>& history(const StoreId& store, const std::string& item) const;
    const std::map<std::string, std::vector<State>>& histories(const StoreId& store) const;
    TimePoint last_change() const { return last_change_; }
    /// When the commit was no longer to be had from the repository; nullopt: it still is.
    std::optional<TimePoint> commit_vanished(const std::string& name,
                                             const std::string& commit) const;

  private:
    void note_vanished(const std::string& name);
    void changed(const StoreId& store, const std::string& item, const Digest& digest);

    const ManualClock& clock_;
    uint64_t changes_ = 0;
    TimePoint last_change_{};
    std::map<StoreId, std::map<std::string, std::vector<State>>> histories_;
    std::map<std::string, Objects> reachable_;
    std::map<std::string, std::map<std::string, TimePoint>> vanished_;
};

}  // namespace antipode::simulation
