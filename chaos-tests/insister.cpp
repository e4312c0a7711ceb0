#include "chaos-tests/insister.hpp"

#include <condition_variable>
#include <stdexcept>

#include "chaos-tests/history.hpp"
#include "chaos-tests/sites.hpp"

namespace antipode::chaos {
namespace {

/// Trying costs processes: the machine is for the sites.
constexpr std::chrono::milliseconds between_attempts(100);

bool says(const test::CommandResult& result, const std::string& why) {
    return result.status != 0 && result.error.find(why) != std::string::npos;
}

test::CommandResult try_to_push(const Site& site, const std::filesystem::path& clone) {
    const auto repository = site.git_root / Sites::repository(0);
    std::filesystem::remove_all(clone);
    test::CommandResult push = test::run(
        {"sh", "-c",
         "git init -q \"$1\" && cd \"$1\" && git -c user.name=X -c user.email=x@example.org "
         "commit -q --allow-empty -m refused || exit 99; git push -q -f \"$2\" "
         "HEAD:refs/heads/refused",
         "push", clone.string(), repository.string()});
    if (push.status == 99) {
        throw std::runtime_error("nothing to push was made: " + push.error);
    }
    return push;
}

}  // namespace

bool Attempt::is_refused() const {
    return (says(row, "permission denied") || says(row, "read-only transaction")) &&
           says(push, "antipode: ");
}

std::string text_of(const Attempt& attempt) {
    return "psql ended with " + std::to_string(attempt.row.status) + " (" + attempt.row.error +
           "), git push with " + std::to_string(attempt.push.status) + " (" + attempt.push.error +
           ")";
}

test::CommandResult try_to_write_row(const Site& site) {
    const test::InNetwork inside(site.network);
    // Who may not delete is told so before a row is looked for.
    return test::run({test::PostgresServer::program("psql"), "-Xc",
                      "DELETE FROM accounts WHERE false", site.postgres.url("app", "app")});
}

Attempt try_to_write(const Site& site, const std::filesystem::path& clone) {
    Attempt attempt;
    attempt.row = try_to_write_row(site);
    attempt.push = try_to_push(site, clone);
    return attempt;
}

Insister::Insister(const Site& site, std::filesystem::path clone)
    : site_(site), clone_(std::move(clone)) {
    thread_ = std::jthread([this](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any stopped;
        while (!stop.stop_requested()) {
            try {
                try_once();
            } catch (const std::exception& error) {
                const std::lock_guard lock(mutex_);
                seen_.last = error.what();  // it neither was acknowledged nor refused
            }
            std::unique_lock waiting(mutex);
            stopped.wait_for(waiting, stop, between_attempts, [] { return false; });
        }
    });
}

void Insister::stop() {
    thread_ = {};
}

Insister::Seen Insister::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

void Insister::look_anew() {
    const std::lock_guard lock(mutex_);
    seen_ = {};
}

void Insister::try_once() {
    const int64_t begun_us = now_us();
    Attempt attempt;
    if (clone_.empty()) {
        attempt.row = try_to_write_row(site_);
    } else {
        attempt = try_to_write(site_, clone_);
    }
    const int64_t now = now_us();
    const std::lock_guard lock(mutex_);
    seen_.last = text_of(attempt);
    if (attempt.is_acknowledged()) {
        seen_.first_begun_us = seen_.first_begun_us.value_or(begun_us);
        seen_.acknowledged_us = now;
        seen_.refused_us.reset();
    } else if (attempt.is_refused() && !seen_.refused_us) {
        seen_.refused_us = now;
    }
}

}  // namespace antipode::chaos
