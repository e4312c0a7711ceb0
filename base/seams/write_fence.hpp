#pragma once

#include <string>
#include <vector>

/// Keeps everybody but the daemon from writing to a replicated database.
namespace antipode {

struct FenceState {
    int server_version = 0;  ///< 150004
    bool set_up = false;     ///< `antipode database setup` was run
    bool closed = false;
    struct Writer {
        std::string role;
        std::string why;  ///< "may write to public.items"
    };
    /// May connect, and write: nobody while it is closed. Superusers and the daemon aside.
    std::vector<Writer> writers;
    /// Of those that shall read, the ones that are kept out because they may write.
    std::vector<Writer> kept_out;
    /// Functions that run with their owner's rights and that a reader may call.
    std::vector<std::string> definers;
};

/// Errors: Retry when the server is away; Stop with the next step when it refuses, or nothing was
/// set up. One thread.
class WriteFence {
  public:
    virtual ~WriteFence() = default;
    virtual FenceState look() = 0;
    /// Lets in readers only, those that may not write, and ends the sessions of all others. Changes
    /// nothing when it is so already. May be repeated.
    virtual void close_for_writes() = 0;
    /// Puts back who could connect before it was closed first. No effect when it is open.
    virtual void open_for_writes() = 0;
};

}  // namespace antipode
