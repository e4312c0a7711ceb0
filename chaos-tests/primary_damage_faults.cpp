// What a disk or a hand does to the primary's content: no mirror is mended from it.
#include <stdexcept>

#include "chaos-tests/damage.hpp"
#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

std::string failures_of(const Site& site) {
    return site.antipode({"failures"}).output;
}

/// By its failures, within a minute.
bool await_named(const Site& site, const std::string& name) {
    return test::eventually([&] { return failures_of(site).find(name) != std::string::npos; }, 60s);
}

/// Under load, for as long as it is broken: its name is told, and no other.
void expect_repository_named(Stage& stage, const Site& site, const std::string& name) {
    const bool named = await_named(site, name);
    const std::string failures = failures_of(site);
    stage.expect(named, Invariant::Named,
                 site.name + " does not name its broken " + name + ": " + failures);
    for (int writer = 0; writer < Stage::writers; ++writer) {
        const std::string other = Sites::repository(writer);
        stage.expect(other == name || failures.find(other) == std::string::npos,
                     Invariant::NoFalseAlarm, site.name + " names " + other + ", too: " + failures);
    }
}

/// It reads all of a store again and again, and not once in a week only, until it starts anew.
void check_often(Site& site, const std::string& store) {
    const std::string name = "name = \"" + store + "\"\n";
    const OtherSettings often(site, name, name + "check_every = \"1s\"\n");
    site.daemon().stop();
    site.start();
}

/// Of a mirror whose primary is broken, too: it says so, unless it finds elsewhere what it lacks.
void damage_mirror(Stage& stage, const Site& mirror, const std::string& name) {
    const fs::path there = mirror.git_root / name;
    fs::remove(any_objects(stage.chance, there));
    mirror.antipode({"verify", "repositories/git", "--no-wait"});
    const bool told = test::eventually(
        [&] { return failures_of(mirror).find(name) != std::string::npos || is_sound(there); },
        60s);
    stage.expect(told, Invariant::Named,
                 mirror.name + " does not name its broken " + name + ": " + failures_of(mirror));
}

/// A primary reads all of its repositories every check_every, and says what is broken. What the
/// mirrors have stays; and what is damaged there, too, does not come from it.
void damage_repository(Stage& stage) {
    Site& primary = stage.primary();
    Site& mirror = stage.mirror();
    const std::string name =
        Sites::repository(static_cast<int>(stage.chance.below(Stage::writers)));
    const fs::path here = primary.git_root / name;
    const fs::path there = mirror.git_root / name;
    check_often(primary, "git");
    const fs::path file = any_objects(stage.chance, here);
    flip(file);
    if (is_sound(here)) {
        flip(file);
        stage.miss("nothing leads to " + file.filename().string() + ", or it is there twice");
    } else {
        stage.hold(stage.some(8));
        expect_repository_named(stage, primary, name);
        stage.expect(is_sound(there), Invariant::Named, name + " is broken on the mirror, too");
        if (stage.chance.one_in(2)) {
            damage_mirror(stage, mirror, name);
        }
        stage.expect(!is_sound(here), Invariant::Named, "somebody has mended " + file.string());
        flip(file);
        const bool mended = test::eventually(
            [&] { return failures_of(primary).find(name) == std::string::npos && is_sound(there); },
            60s);
        stage.expect(mended, Invariant::Named,
                     name + " is mended, and still named, or broken on the mirror: " +
                         failures_of(primary) + failures_of(mirror));
        // It was the fault that took away what rows name.
        stage.forgive(Invariant::References, name);
    }
    primary.daemon().stop();
    primary.start();
}

/// As somebody does who edits a file: it is a change like any other, and so is its undoing.
void change_file(Stage& stage) {
    const Site& primary = stage.primary();
    const std::string name =
        Sites::ballast_file(static_cast<int>(stage.chance.below(Sites::ballast)));
    const fs::path file = primary.files_root / name;
    const auto await_everywhere = [&](const std::string& sum) {
        for (const Site* mirror : stage.mirrors()) {
            const bool here =
                test::eventually([&] { return sum_of(mirror->files_root / name) == sum; }, 60s);
            stage.expect(here, Invariant::Recovers,
                         name + " is not on " + mirror->name + " as it is on the primary");
        }
    };
    const std::string right = sum_of(file);
    flip(file);
    await_everywhere(sum_of(file));
    stage.hold(stage.some(8));
    flip(file);
    stage.expect(sum_of(file) == right, Invariant::Recovers, name + " is not as it was");
    await_everywhere(right);
}

void damage_primary(Stage& stage) {
    if (stage.chance.one_in(3)) {
        change_file(stage);
    } else {
        damage_repository(stage);
    }
}

/// The primary's check finds it. What a mirror has is right, and when it is damaged, too, the
/// rotten file does not come in its place.
void rot_primary(Stage& stage) {
    Site& primary = stage.primary();
    Site& mirror = stage.mirror();
    const std::string name =
        Sites::ballast_file(static_cast<int>(stage.chance.below(Sites::ballast)));
    const fs::path here = primary.files_root / name;
    const fs::path there = mirror.files_root / name;
    const std::string right = sum_of(here);
    const std::string content = test::read_file(here);
    check_often(primary, "uploads");
    stage.sites.disk(primary, "files").rot(here);
    const std::string rotten = sum_of(here);
    if (rotten == right) {
        throw std::runtime_error(here.string() + " has not rotted");
    }
    stage.expect(await_named(primary, name), Invariant::Named,
                 primary.name + " does not name the rotten " + name);
    stage.expect(sum_of(there) == right, Invariant::Named,
                 mirror.name + " has not any more what was right");
    const size_t half = content.size() / 2;
    fs::resize_file(there, half);
    mirror.antipode({"verify", "blobs/uploads", "--no-wait"});
    stage.expect(await_named(mirror, name), Invariant::Named,
                 mirror.name + " does not say that " + name + " cannot be mended");
    stage.hold(stage.some(8));
    const auto is_rotten = [&] { return sum_of(there) == rotten; };
    stage.expect(!is_rotten(), Invariant::Named, mirror.name + " was mended with what rotted");
    // From a backup.
    test::write_file(here.string() + ".restored", content);
    fs::rename(here.string() + ".restored", here);
    const bool mended = test::eventually([&] { return sum_of(there) == right; }, 60s);
    stage.expect(mended, Invariant::Named, name + " is not mended: " + failures_of(mirror));
    primary.daemon().stop();
    primary.start();
}

}  // namespace

std::vector<Fault> primary_damage_faults() {
    return {
        {"damage-primary", "an object of the primary is flipped, or a file of it by hand",
         Need::Nothing, damage_primary},
        {"rot-primary", "a file of the primary rots beneath the file system, then a mirror's, too",
         Need::Power, rot_primary},
    };
}

}  // namespace antipode::chaos
