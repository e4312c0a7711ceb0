#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/doorbell.hpp"
#include "base/seams/key_value.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// The box in the site's bucket through which operators ask something of its daemon
/// (v1::SiteRequest). One thread.
class SiteRequests {
  public:
    /// Does what is asked and says what it did.
    using Fulfil = std::function<v1::SiteAnswer(const v1::SiteRequest& request)>;
    /// `bucket`: the site's own.
    SiteRequests(std::string site, std::unique_ptr<KeyValue> bucket, Fulfil fulfil,
                 const Clock& clock);

    /// Looks for a request, has it done and answers.
    void step();
    /// Until somebody has asked something, but no more than a few seconds. True: it was stopped.
    bool wait(const std::stop_token& stop);
    /// Ends wait(). Any thread.
    void wake() { asked_.ring(); }

    /// The answer to what this daemon does not know.
    static v1::SiteAnswer unknown_action(const v1::SiteRequest& request);
    /// The answer when the site has no such store.
    static v1::SiteAnswer unknown_store(const v1::SiteRequest& request);

  private:
    const std::string site_;
    Doorbell asked_;
    const std::unique_ptr<KeyValue> bucket_;
    const Fulfil fulfil_;
    v1::SiteAnswer last_;  ///< should telling it fail, it is told again and not done again
    const Clock& clock_;
};

}  // namespace antipode
