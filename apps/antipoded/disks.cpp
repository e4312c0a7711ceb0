#include "apps/antipoded/disks.hpp"

#include <set>

#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/digest.hpp"

namespace antipode {
namespace {

constexpr std::chrono::seconds interval(2);
constexpr uint64_t least_share = 20;             ///< one part in so many is to be free
constexpr uint64_t least_share_of_inodes = 100;  ///< the same

std::string in_units(uint64_t bytes) {
    constexpr uint64_t mega = 1'000'000;
    return bytes < 10'000 * mega ? std::to_string(bytes / mega) + " MB"
                                 : std::to_string(bytes / (1000 * mega)) + " GB";
}

}  // namespace

Disks::Disks(const Config& config) {
    paths_.push_back(config.state_dir);
    for (const Config::Repositories& store : config.repositories) {
        paths_.push_back(store.root);
    }
    for (const Config::Blobs& store : config.blobs) {
        if (!store.bucket) {
            paths_.push_back(store.root);
        }
    }
    if (!config.nats.store_dir.empty()) {
        paths_.push_back(config.nats.store_dir);
    }
}

void Disks::run(const std::stop_token& stop, Worker::Progress progress) {
    do {
        look();
        progress.healthy();
    } while (!sleep_unless_stopped(interval, stop));
}

void Disks::look() {
    std::vector<Disk> disks;
    std::set<uint64_t> seen;
    for (const std::filesystem::path& path : paths_) {
        struct stat place {};
        struct statvfs space {};
        if (stat(path.c_str(), &place) != 0 || statvfs(path.c_str(), &space) != 0 ||
            !seen.insert(place.st_dev).second) {
            continue;  // a root that is missing is told by its store
        }
        Disk disk{.path = printable(path.native()),
                  .available_bytes = uint64_t{space.f_bavail} * space.f_frsize,
                  .size_bytes = uint64_t{space.f_blocks} * space.f_frsize};
        if (disk.available_bytes < disk.size_bytes / least_share) {
            disk.problem = "the disk of " + disk.path +
                           " is nearly full: " + in_units(disk.available_bytes) + " of " +
                           in_units(disk.size_bytes) + " are free";
            disk.next_step = "make room: du -xh --max-depth=1 " + disk.path;
        } else if (space.f_favail < space.f_files / least_share_of_inodes) {
            disk.problem = "less than 1 % of the inodes of " + disk.path + " are free";
            disk.next_step = "make room: df -i " + disk.path;
        }
        disks.push_back(std::move(disk));
    }
    disks_.with([&](auto& known) { known = std::move(disks); });
}

nlohmann::json Disks::show() const {
    nlohmann::json rows = nlohmann::json::array();
    for (const Disk& disk : disks_.copy()) {
        rows.push_back({{"path", disk.path},
                        {"available_bytes", disk.available_bytes},
                        {"size_bytes", disk.size_bytes},
                        {"problem", disk.problem},
                        {"next_step", disk.next_step}});
    }
    return rows;
}

}  // namespace antipode
