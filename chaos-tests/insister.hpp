#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "tests/end_to_end/site.hpp"

namespace antipode::chaos {

using test::Site;

/// What a site says to somebody who does not look whether it is open.
struct Attempt {
    test::CommandResult row;   ///< a statement of the application; it changes no row
    test::CommandResult push;  ///< of a commit that nobody has, to a branch that nobody uses

    bool is_acknowledged() const { return row.status == 0 || push.status == 0; }
    /// Both, and each says why.
    bool is_refused() const;
};
std::string text_of(const Attempt& attempt);
/// `clone`: a place for the commit. From the site's network.
Attempt try_to_write(const Site& site, const std::filesystem::path& clone);
/// A row alone, which changes nothing at all.
test::CommandResult try_to_write_row(const Site& site);

/// A client that tries to write to its site again and again, whatever that says. One thread of its
/// own.
class Insister {
  public:
    /// By the machine's clock. An acknowledgement ends what was refused before it.
    struct Seen {
        std::optional<int64_t> first_begun_us{};   ///< of what was acknowledged
        std::optional<int64_t> acknowledged_us{};  ///< the last one
        std::optional<int64_t> refused_us{};       ///< since then nothing else
        std::string last;                          ///< what the site said
    };
    /// `clone`: as above; empty: it tries rows alone.
    Insister(const Site& site, std::filesystem::path clone);
    ~Insister() { stop(); }
    Insister(const Insister&) = delete;
    Insister& operator=(const Insister&) = delete;

    void stop();
    Seen seen() const;
    /// What was seen before is forgotten.
    void look_anew();

  private:
    void try_once();

    const Site& site_;
    const std::filesystem::path clone_;
    mutable std::mutex mutex_;
    Seen seen_;
    std::jthread thread_;
};

}  // namespace antipode::chaos
