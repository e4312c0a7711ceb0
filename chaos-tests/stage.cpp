#include "chaos-tests/stage.hpp"

#include <algorithm>
#include <stdexcept>

#include "chaos-tests/insister.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds most_recovery = 60s;
constexpr milliseconds most_hold = 4s;
/// Longer than a lease (15 s), the patience of a switchover (20 s), and what a broker waits.
constexpr milliseconds longest_wait = 22s;

size_t descriptors_of(Site& site) {
    const std::filesystem::path all = "/proc/" + std::to_string(site.daemon().pid()) + "/fd";
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(all), {}));
}

/// What was to become a file, or a pack.
std::vector<std::string> half_contents(const Site& site) {
    std::vector<std::string> names;
    for (const auto& root : {site.files_root, site.git_root}) {
        const auto incoming = root / ".antipode" / "incoming";
        if (std::filesystem::exists(incoming)) {
            for (const auto& entry : std::filesystem::directory_iterator(incoming)) {
                names.push_back(entry.path().string());
            }
        }
    }
    return names;
}

void append(Violations& to, Violations more) {
    to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

Stage::Stage(uint64_t seed, const Ground& ground)
    : chance(seed),
      history([this](const std::string& site) { return sites.clock_us(site); }),
      sites(writers, ground),
      workload(sites, history, writers, seed),
      seed_(seed) {
    note_ballast();
    // For a change of the primary.
    for (const Site* site : mirrors()) {
        site->antipode({"database", "setup"});
    }
    {
        // Changes of it can make the copy fail.
        const auto structure = workload.hold_structure();
        workload.start();
        load(writers * 2);
        for (const Site* site : mirrors()) {
            if (!sites.caught_up(*site, most_recovery)) {
                throw std::runtime_error("the initial copy does not end: " + describe());
            }
        }
    }
    for (Site* site : sites.all()) {
        descriptors_[site->name] = descriptors_of(*site);
        readers_.push_back(std::make_unique<Reader>(sites, history, *site));
        readers_.back()->start();
    }
}

void Stage::note_ballast() {
    for (int number = 0; number < Sites::ballast; ++number) {
        Operation operation;
        operation.kind = Operation::Kind::Overwrite;
        operation.writer = -1;
        operation.number = number;
        operation.site = sites.london().name;
        operation.path = Sites::ballast_file(number);
        operation.sha256 =
            test::must_run({"sha256sum", (sites.london().files_root / operation.path).string()})
                .substr(0, 64);
        operation.outcome = Operation::Outcome::Ok;
        history.end(history.begin(operation), operation);
    }
}

Site& Stage::primary() {
    Site* open = nullptr;
    if (!test::eventually([&] { return (open = sites.primary()) != nullptr; }, most_recovery)) {
        throw std::runtime_error("no site takes writes");
    }
    return *open;
}

Site& Stage::any() {
    if (chance.one_in(2)) {
        return primary();
    }
    const auto all = mirrors();
    return *all[chance.below(all.size())];
}

Site& Stage::mirror() {
    const auto all = mirrors();
    return *all[seed_ % all.size()];
}

void Stage::load(int count) {
    if (!workload.go_on(count, most_recovery)) {
        throw std::runtime_error("the application cannot write for a minute");
    }
}

void Stage::hold(int count) {
    const int acknowledged = workload.acknowledged() + count;
    const int attempted = workload.attempted() + 3 * count;
    test::eventually(
        [&] {
            return workload.acknowledged() >= acknowledged || workload.attempted() >= attempted;
        },
        most_hold);
}

void Stage::hold_or_outlast(int count) {
    if (chance.one_in(6)) {
        const auto end = std::chrono::steady_clock::now() + longest_wait;
        test::eventually([&] { return std::chrono::steady_clock::now() >= end; }, 2 * longest_wait);
    } else {
        hold(count);
    }
}

Violations Stage::take() {
    for (const auto& reader : readers_) {
        append(found_, reader->take());
    }
    return std::exchange(found_, {});
}

void Stage::expect(bool holds, Invariant invariant, const std::string& text) {
    ask(invariant);
    if (!holds) {
        found_.push_back({invariant, text});
    }
}

void Stage::expect(const Violations& none, const std::vector<Invariant>& asked) {
    for (const Invariant invariant : asked) {
        ask(invariant);
    }
    append(found_, none);
}

void Stage::expect_refusal(const Site& site) {
    const Attempt attempt = try_to_write(site, sites.pair.temporary / "refused");
    expect(attempt.is_refused() && !std::filesystem::exists(test::Pair::opened(site)),
           Invariant::OneWriter, site.name + " does not refuse writes: " + text_of(attempt));
}

std::unique_lock<std::mutex> Stage::hold_structure() {
    auto held = workload.hold_structure();
    for (const Site* follower : mirrors()) {
        if (!sites.caught_up(*follower, most_recovery)) {
            throw std::runtime_error(follower->name + " does not catch up: " + describe());
        }
    }
    return held;
}

void Stage::without_readers(const std::function<void()>& work) {
    for (const auto& reader : readers_) {
        reader->stop();
    }
    work();
    for (const auto& reader : readers_) {
        reader->start();
    }
}

void Stage::forgive(Invariant invariant, const std::string& name) {
    found_ = take();
    std::erase_if(found_, [&](const Violation& one) {
        return one.invariant == invariant && one.text.find(name) != std::string::npos;
    });
}

milliseconds Stage::recover() {
    ++recoveries_;
    const auto begun = std::chrono::steady_clock::now();
    const auto taken = [&] {
        return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun);
    };
    load(writers);
    for (const Site* follower : mirrors()) {
        const bool caught_up =
            sites.caught_up(*follower, std::max(most_recovery - taken(), milliseconds(0)));
        expect(caught_up, Invariant::Recovers,
               follower->name + " does not catch up within a minute: " +
                   (caught_up ? "" : follower->antipode({"status"}).output));
    }
    return taken();
}

/// Which of what is looked at once, at the end, the trial has given a chance to fail.
void Stage::ask_of_history() {
    for (const Operation& operation : history.operations()) {
        if (operation.outcome == Operation::Outcome::Ok) {
            ask(operation.kind == Operation::Kind::Remove ? Invariant::NothingResurrected
                                                          : Invariant::NothingLost);
        }
    }
    ask(Invariant::NothingInvented);
    if (!history.losses().empty()) {
        ask(Invariant::WholePrefix);
    }
    if (!history.losses().empty() || !stopped.empty()) {
        ask(Invariant::NumbersOnce);
    }
}

/// Who never looked has seen nothing wrong, either.
Violations Stage::look_of_readers() const {
    const Reader::Seen all = seen();
    if (all.looks >= recoveries_) {
        return {};
    }
    return {{Invariant::References, "the readers could look " + std::to_string(all.looks) +
                                        " times only, and failed " + std::to_string(all.failed) +
                                        " times"}};
}

Violations Stage::compare_at_the_end() {
    workload.stop();
    const auto stopped_at = std::chrono::steady_clock::now();
    Site& open = primary();
    const Checker checker(history.operations(), Sites::total, history.losses());
    ask_of_history();
    Violations found = checker.check_one_writer();
    append(found, checker.check_numbers());
    const View here = look(open);
    for (const Site* follower : mirrors()) {
        append(found, compare_with(*follower, here, checker));
        equal.push_back(std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() -
                                                                 stopped_at));
        expect_refusal(*follower);
    }
    append(found, checker.check_kept(here));
    append(found, Checker::check_references(here));
    append(found, checker.check_transactions(here));
    for (Site* site : sites.all()) {
        expect_clean(*site);
    }
    append(found, take());
    for (const auto& reader : readers_) {
        reader->stop();
    }
    append(found, look_of_readers());
    return found;
}

Violations Stage::compare_with(const Site& follower, const View& here, const Checker& checker) {
    Violations found;
    if (!sites.caught_up(follower, most_recovery)) {
        found.push_back({Invariant::Recovers, follower.name + " does not catch up: " +
                                                  follower.antipode({"status"}).output});
    }
    View there = look(follower);
    for (const Invariant invariant : {Invariant::Recovers, Invariant::Equal, Invariant::References,
                                      Invariant::Transactions, Invariant::RecoveryPoint}) {
        ask(invariant);
    }
    append(found, Checker::check_equal(here, there));
    append(found, Checker::check_references(there));
    append(found, checker.check_recovery_point(there, sites.clock_us(primary().name)));
    append(found, verify(follower));
    look_at_large_objects(follower, there);
    append(found, Checker::check_large_objects(here, there));
    return found;
}

/// Everything is right now: whoever says otherwise is wrong. The check of the database also brings
/// large objects, which a mirror may lack until then.
Violations Stage::verify(const Site& follower) {
    ask(Invariant::NoFalseAlarm);
    Violations found;
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"verify", "--timeout", "60"},
          std::vector<std::string>{"database", "check", "--timeout", "60"}}) {
        const test::CommandResult done = follower.antipode(command);
        if (done.status != 0) {
            found.push_back({Invariant::NoFalseAlarm, command.front() + " ended with " +
                                                          std::to_string(done.status) + ": " +
                                                          done.output + done.error});
        }
    }
    const std::string failures = follower.antipode({"failures"}).output;
    if (failures.find("nothing failed") == std::string::npos) {
        found.push_back({Invariant::NoFalseAlarm, failures});
    }
    return found;
}

void Stage::expect_clean(Site& site) {
    constexpr size_t most_more = 40;  // what it has at hand differs from moment to moment
    const auto is_clean = [&] {
        return half_contents(site).empty() &&
               descriptors_of(site) <= descriptors_.at(site.name) + most_more;
    };
    const bool clean = test::eventually(is_clean, most_recovery);
    std::string left;
    for (const std::string& name : clean ? std::vector<std::string>{} : half_contents(site)) {
        left += " " + name;
    }
    expect(clean, Invariant::Clean,
           site.name + " has " + std::to_string(descriptors_of(site)) + " descriptors, " +
               std::to_string(descriptors_.at(site.name)) + " at first; left:" + left);
    const auto token = site.directory / "token";
    if (std::filesystem::exists(token)) {
        const std::string secret = test::read_file(token);
        for (const char* name : {"antipoded.log", "fencer.log"}) {
            const auto file = site.directory / name;
            const std::string log = std::filesystem::exists(file) ? test::read_file(file) : "";
            expect(log.find(secret.substr(0, secret.find('\n'))) == std::string::npos,
                   Invariant::Clean, "the " + file.string() + " shows the site's token");
        }
    }
}

Reader::Seen Stage::seen() const {
    Reader::Seen all;
    for (const auto& reader : readers_) {
        all += reader->seen();
    }
    return all;
}

}  // namespace antipode::chaos
