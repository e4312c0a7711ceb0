#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"
#include "base/synchronized.hpp"

namespace antipode::primary {

/// The part of a database's bulk service that secondaries compare rows with. Texts are those of
/// protocol/chunk_text.hpp.
///
///     check/open?id=[&cut_as=][&structure=1][&recipes=1]   the tables; a header names the snapshot
///     check/structure?id=                        object =definition   (a line each; if asked for)
///     check/recipes?id=                          object =facet =make =drop   (likewise)
///     check/large_objects?id=                    oid owner digest     (a line each)
///     check/large_object?id=&oid=                offset<TAB>hex       (a line for each page)
///     check/digests?id=&schema=&table=[&chunks=]
///     check/keys?id=&schema=&table=&chunks=
///     check/copy?id=&schema=&table=&chunks=      COPY's text format, columns as in the digests
///     check/keep?id=                             empty; it is still wanted
///     check/close?id=
///
/// A check holds a snapshot, and with it what vacuum would remove, until it is closed; one that is
/// not used for some minutes ends by itself. Throws Error{Retry} where as many as may be are open.
/// Thread-safe.
class CheckBulk {
  public:
    CheckBulk(SourceChecks& source, const Clock& clock) : source_(source), clock_(clock) {}

    /// `what`: the path behind "check/". nullptr: no such check (any more), table or path.
    std::unique_ptr<BulkBody> open(const std::string& what, const BulkRequest& request);

  private:
    std::unique_ptr<BulkBody> open_table(const std::string& what, const BulkRequest& request,
                                         const std::shared_ptr<SourceCheck>& check);
    std::unique_ptr<BulkBody> begin(const std::string& id, const BulkRequest& request);
    std::shared_ptr<SourceCheck> find(const std::string& id);
    void reserve(const std::string& id);

    struct Open {
        std::shared_ptr<SourceCheck> check;  ///< nullptr: it is being opened
        SteadyTime used;
    };
    SourceChecks& source_;
    const Clock& clock_;
    Synchronized<std::map<std::string, Open>> checks_;
};

}  // namespace antipode::primary
