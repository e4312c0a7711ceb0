#include "apps/antipoded/mirror_watching.hpp"

#include "base/background.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds interval(250);
constexpr std::chrono::milliseconds try_again(5000);

}  // namespace

MirrorWatching::MirrorWatching(SecondaryItems& store, secondary::Registry& registry,
                               secondary::MirrorWatch::Unknown unknown,
                               secondary::MirrorWatch::Applying applying, const Clock& clock)
    : store_(store),
      registry_(registry),
      unknown_(std::move(unknown)),
      applying_(std::move(applying)),
      clock_(clock),
      tree_(store.root()) {}

void MirrorWatching::run(const std::stop_token& stop, Worker::Progress progress) {
    be_nice();
    std::chrono::milliseconds rest{};
    while (!sleep_unless_stopped(rest, stop)) {
        try {
            begin();
            mirror_->step(stop);
            rest = interval;
            problem_.with([&](std::string& problem) { problem = mirror_->problem(); });
        } catch (const Error& error) {
            rest = try_again;
            problem_.with([&](std::string& problem) { problem = error.describe(); });
        }
        progress.healthy();
    }
}

void MirrorWatching::begin() {
    if (mirror_) {
        return;
    }
    places_ = store_.places(tree_, registry_);
    inotify_ = std::make_unique<files::InotifyWatch>(tree_.root(), clock_);
    mirror_ = std::make_unique<secondary::MirrorWatch>(
        store_.apply().store(), tree_, *inotify_, *places_, registry_, unknown_, applying_, clock_);
}

std::string MirrorWatching::problem() const {
    return problem_.copy();
}

}  // namespace antipode
