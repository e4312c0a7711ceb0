#include "apps/antipode/notify.hpp"

#include <cerrno>
#include <cmath>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "apps/antipode/format.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

/// The daemon says itself that it was not in time.
constexpr std::chrono::seconds margin(5);

std::filesystem::path root_of(const Config& config, const StoreId& store) {
    for (const Config::Blobs& blobs : config.blobs) {
        if (store == StoreId{StoreKind::Blobs, blobs.name}) {
            return blobs.root;
        }
    }
    for (const Config::Repositories& repositories : config.repositories) {
        if (store == StoreId{StoreKind::Repositories, repositories.name}) {
            return repositories.root;
        }
    }
    throw CommandError(ExitCode::Usage,
                       harmless(store.to_string()) + " is no store of files or repositories here",
                       "antipode config show");
}

std::string item_of(const std::string& path, const std::filesystem::path& root) {
    const std::string above = root.native() + (root.native().ends_with('/') ? "" : "/");
    if (!path.starts_with('/')) {
        return path;
    }
    if (!path.starts_with(above)) {
        throw CommandError(ExitCode::Usage, harmless(path) + " is not below " + root.native(),
                           "name it as it stands below the root");
    }
    return path.substr(above.size());
}

ExitCode code_of(unsigned status) {
    switch (status) {
        case 400:
        case 413:
        case 422:
            return ExitCode::Usage;
        case 404:
            return ExitCode::Unknown;
        case 409:
            return ExitCode::Blocked;
        case 503:
            return ExitCode::Unreachable;
        case 504:
            return ExitCode::TimedOut;
        default:
            return ExitCode::Failed;
    }
}

ExitCode print(const Output& output, const nlohmann::json& answer) {
    if (output.json()) {
        output.out << answer.dump() << "\n";
        return ExitCode::Ok;
    }
    const auto& gone = answer.at("gone");
    const auto items = answer.at("items").get<uint64_t>();
    output.out << answer.at("store").get<std::string>() << ": "
               << counted(items, "item is", "items are") << " stored, at "
               << answer.at("position").get<std::string>() << "\n";
    for (const auto& item : gone) {
        output.out << harmless(item.get<std::string>()) << " is not there\n";
    }
    return ExitCode::Ok;
}

}  // namespace

ExitCode notify(const Config& config, const Post& post, const Output& output,
                const NotifyOptions& options) {
    const auto store = StoreId::parse(options.store);
    if (!store) {
        throw CommandError(ExitCode::Usage, "\"" + harmless(options.store) + "\" names no store",
                           "antipode notify blobs/NAME PATH");
    }
    const std::filesystem::path root = root_of(config, *store);
    std::string body;
    for (const std::string& path : options.items) {
        body += item_of(path, root) + '\0';
    }
    const std::string target = "/v1/changed?store=" + store->to_string() +
                               "&timeout=" + std::to_string(options.timeout_seconds);
    const std::filesystem::path& socket = config.notify.socket;
    Answer answer;
    try {
        const std::chrono::duration<double> timeout(options.timeout_seconds);
        answer = post(socket, target, body,
                      std::chrono::ceil<std::chrono::milliseconds>(timeout) + margin);
    } catch (const Error& error) {
        const bool denied = access(socket.c_str(), W_OK) != 0 && errno == EACCES;
        throw CommandError(
            denied ? ExitCode::Denied : ExitCode::Unreachable, error.what(),
            "systemctl status antipoded; who may call is who may write to " + socket.native());
    }
    return answer.status == 200 ? print(output, nlohmann::json::parse(answer.body))
                                : throw refused(socket.native(), answer, code_of(answer.status));
}

}  // namespace antipode::cli
