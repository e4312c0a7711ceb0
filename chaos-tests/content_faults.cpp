// What a disk or a hand does to a mirror's content: it must be named, and brought again.
#include <algorithm>

#include "chaos-tests/damage.hpp"
#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

namespace fs = std::filesystem;

constexpr int equal = 0;
constexpr int findings = 3;

/// The daemon's log, from a place on.
std::string said_since(const Site& site, size_t place) {
    return test::read_file(site.directory / "antipoded.log").substr(place);
}

size_t log_size(const Site& site) {
    return fs::file_size(site.directory / "antipoded.log");
}

void damage_file(Stage& stage) {
    Site& mirror = stage.mirror();
    const int chosen = static_cast<int>(stage.chance.below(Sites::ballast));
    const std::string name = Sites::ballast_file(chosen);
    const fs::path file = mirror.files_root / name;
    const std::string right = sum_of(file);
    const size_t before = log_size(mirror);
    const auto verify = [&] {
        return mirror.antipode({"verify", "blobs/uploads", "--timeout", "60"});
    };
    switch (stage.chance.below(3)) {
        case 0:
            flip(file);
            break;
        case 1:
            fs::resize_file(file, 100);
            break;
        default:
            fs::remove(file);
            break;
    }
    const test::CommandResult found = verify();
    stage.expect(
        found.status == findings, Invariant::Named,
        "verify does not find the damaged file " + name + ": " + found.output + found.error);
    const std::string said = said_since(mirror, before);
    stage.expect(said.find(name) != std::string::npos, Invariant::Named,
                 "the log does not name " + name);
    for (int other = 0; other < Sites::ballast; ++other) {
        const std::string innocent = Sites::ballast_file(other) + ": found by a check";
        stage.expect(other == chosen || said.find(innocent) == std::string::npos,
                     Invariant::NoFalseAlarm, "the log names " + innocent);
    }
    stage.expect(sum_of(file) == right, Invariant::Named, name + " is not mended");
    const test::CommandResult again = verify();
    stage.expect(again.status == equal, Invariant::NoFalseAlarm,
                 "verify finds more after the repair: " + again.output + again.error);
}

/// The load goes on in it.
void damage_repository(Stage& stage) {
    Site& mirror = stage.mirror();
    const std::string name =
        Sites::repository(static_cast<int>(stage.chance.below(Stage::writers)));
    const fs::path repository = mirror.git_root / name;
    const size_t before = log_size(mirror);
    const fs::path file = any_objects(stage.chance, repository);
    if (stage.chance.one_in(2)) {
        flip(file);
    } else {
        fs::remove(file);
    }
    if (is_sound(repository)) {
        stage.miss("nothing leads to " + file.filename().string() + ", or it is there twice");
        return;
    }
    const auto verify = [&] {
        return mirror.antipode({"verify", "repositories/git", "--timeout", "60"});
    };
    const test::CommandResult found = verify();
    // An update that stumbles over it may be faster than the check, and then it is right already.
    const bool named = said_since(mirror, before).find(name) != std::string::npos ||
                       found.output.find("is brought again") != std::string::npos ||
                       is_sound(repository);
    stage.expect(named, Invariant::Named,
                 "verify does not find " + file.string() + ": " + found.output + found.error);
    const bool mended =
        test::eventually([&] { return is_sound(repository); }, std::chrono::seconds(60));
    stage.expect(mended, Invariant::Named, name + " is not mended");
    const test::CommandResult again = verify();
    stage.expect(again.status == equal, Invariant::NoFalseAlarm,
                 "verify finds more after the repair: " + again.output + again.error);
    // It was the fault that took away what rows name.
    stage.forgive(Invariant::References, name);
}

/// Whoever reads from that broker, or writes to it.
bool say_to_move_stream(Stage& stage) {
    const auto sites = stage.sites.all();
    return std::any_of(sites.begin(), sites.end(), [](const Site* site) {
        return site->antipode({"status", "-o", "json"})
                   .output.find("move the stream's directory") != std::string::npos;
    });
}

void remove_streams(const Site& site) {
    std::vector<fs::path> streams;
    for (const auto& entry : fs::recursive_directory_iterator(site.nats.store_directory())) {
        if (entry.is_directory() && entry.path().parent_path().filename() == "streams" &&
            !entry.path().filename().string().starts_with("KV_")) {
            streams.push_back(entry.path());
        }
    }
    for (const fs::path& stream : streams) {
        fs::remove_all(stream);
    }
}

/// nats-server is down meanwhile. It drops what is damaged when it starts, or does not know any
/// more what it holds: then somebody says so, and what is said is done.
void damage_stream(Stage& stage) {
    Site& site = stage.any();
    site.nats.kill();
    int damaged = 0;
    for (const auto& entry : fs::recursive_directory_iterator(site.nats.store_directory())) {
        const bool is_block = entry.path().extension() == ".blk" && entry.file_size() > 0 &&
                              entry.path().string().find("/KV_") == std::string::npos;
        if (is_block) {
            flip(entry.path());
            ++damaged;
        }
    }
    stage.expect(damaged > 0, Invariant::Recovers, "no stream was damaged");
    stage.hold(stage.some(4));
    try {
        site.nats.start();
    } catch (const std::exception&) {
        // It ends as it reads them, and its log says where; so does status.
        site.nats.kill();
        remove_streams(site);
        site.nats.start();
    }
    bool told = false;
    test::eventually(
        [&] {
            told = say_to_move_stream(stage);
            return told || stage.sites.caught_up(stage.mirror(), std::chrono::seconds(0));
        },
        std::chrono::seconds(30));
    if (told) {
        site.nats.kill();
        remove_streams(site);
        site.nats.start();
    }
}

void damage_row(Stage& stage) {
    Site& mirror = stage.mirror();
    const std::string id = std::to_string(stage.chance.below(Sites::ballast));
    const std::string content = "SELECT content FROM ballast WHERE id = " + id;
    const std::string right = mirror.sql(content);
    const std::string damage = stage.chance.one_in(2)
                                   ? "UPDATE ballast SET content = 'damaged' WHERE id = " + id
                                   : "DELETE FROM ballast WHERE id = " + id;
    mirror.sql("SET session_replication_role = replica; SET default_transaction_read_only = off; " +
               damage);
    const auto check = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"database", "check", "--timeout", "60"});
        return mirror.antipode(more);
    };
    const test::CommandResult found = check({});
    stage.expect(found.status == findings && found.output.find("ballast") != std::string::npos,
                 Invariant::Named,
                 "the check does not name the damaged row: " + found.output + found.error);
    stage.expect(found.output.find("public.accounts") == std::string::npos &&
                     found.output.find("public.writes") == std::string::npos,
                 Invariant::NoFalseAlarm, "the check names more: " + found.output);
    const test::CommandResult mended = check({"--mend", "--table", "public.ballast"});
    stage.expect(mirror.sql(content) == right, Invariant::Named,
                 "the row is not mended: " + mended.output + mended.error);
}

}  // namespace

std::vector<Fault> content_faults() {
    return {
        {"damage-file", "a mirror's file is flipped, cut or removed; antipode verify",
         Need::Nothing, damage_file},
        {"damage-repository", "a mirror's pack or object is flipped or removed; antipode verify",
         Need::Nothing, damage_repository},
        losing({"damage-stream", "bits of what either broker keeps of its events are flipped",
                Need::Nothing, damage_stream}),
        {"damage-row", "a mirror's row is changed or deleted; antipode database check",
         Need::Nothing, damage_row},
    };
}

}  // namespace antipode::chaos
