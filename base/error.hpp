#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace antipode {

/// What the caller should do about an error.
enum class Reaction {
    Retry,   ///< the same call may work later: back off and try again
    Resync,  ///< this item's state cannot be trusted: fetch it again from the side that is right
    Stop,    ///< this lane or program cannot go on without an operator
};

/// The one exception type that crosses module borders. A foreign library's codes become an Error at
/// its adapter: what was being done, the library's own text, and the operator's next step.
class Error : public std::runtime_error {
  public:
    /// `what`: "opening repository x: <library's text>". `next_step`: a command or an action for
    /// the operator, printed as "Try: ..."; may be empty when waiting is all there is to do.
    Error(Reaction reaction, const std::string& what, std::string next_step = {})
        : std::runtime_error(what), reaction_(reaction), next_step_(std::move(next_step)) {}

    Reaction reaction() const noexcept { return reaction_; }
    const std::string& next_step() const noexcept { return next_step_; }

    /// "what. Try: next step", for people.
    std::string describe() const {
        return next_step_.empty() ? what() : std::string(what()) + ". Try: " + next_step_;
    }

  private:
    Reaction reaction_;
    std::string next_step_;
};

/// Thrown out of a wait whose stop token fired. Not an error: the worker ends quietly.
struct Stopped {};

}  // namespace antipode
