#include "apps/antipoded/saved_status.hpp"

#include <fstream>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "base/error.hpp"
#include "base/places.hpp"

namespace antipode {

void save_status(const std::filesystem::path& state_dir, const nlohmann::json& status) {
    const std::filesystem::path file = saved_status(state_dir);
    const std::filesystem::path beside = file.string() + ".new";
    std::ofstream stream(beside, std::ios::trunc);
    stream << dump(status) << "\n";
    stream.close();
    std::error_code problem;
    if (stream) {
        std::filesystem::rename(beside, file, problem);
    }
    if (!stream || problem) {
        throw Error(Reaction::Retry, "cannot write " + file.string(),
                    "check free space and permissions of the state directory");
    }
}

}  // namespace antipode
