#include "apps/antipode/edit_sites.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/antipode/config_command.hpp"
#include "apps/antipode/epoch_view.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
        text += line + "\n";
    }
    return text;
}

bool begins_table(const std::string& line) {
    static const std::regex header(R"(\s*\[.*)");
    return std::regex_match(line, header);
}

bool begins_site(const std::string& line) {
    static const std::regex header(R"(\s*\[\[\s*sites\s*\]\]\s*(#.*)?)");
    return std::regex_match(line, header);
}

bool says_nothing(const std::string& line) {
    static const std::regex nothing(R"(\s*(#.*)?)");
    return std::regex_match(line, nothing);
}

/// Behind the last line of the table that begins at `begin`: what stands before the next one, and
/// says nothing, belongs to that.
size_t end_of_table(const std::vector<std::string>& lines, size_t begin) {
    size_t end = begin + 1;
    while (end < lines.size() && !begins_table(lines[end])) {
        ++end;
    }
    while (end > begin + 1 && says_nothing(lines[end - 1])) {
        --end;
    }
    return end;
}

std::string quoted(const std::string& text) {
    return Json(text).dump();  // a TOML string is written so, too
}

std::string read_text(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

CommandError cannot_write(const std::filesystem::path& file) {
    return {
        errno == EACCES || errno == EPERM || errno == EROFS ? ExitCode::Denied : ExitCode::Failed,
        file.string() + " cannot be written: " + std::strerror(errno),
        "the same command as root, or as the file's owner"};
}

/// A file beside the configuration that takes its place, or is gone.
class Replacement {
  public:
    explicit Replacement(const std::filesystem::path& file)
        : file_(std::filesystem::canonical(file)), fresh_(file_.string() + ".new") {}
    ~Replacement() {
        if (is_ours_) {
            unlink(fresh_.c_str());
        }
    }
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;

    /// With the owner and the mode of the one that it replaces.
    void write(const std::string& text) {
        struct stat before {};
        const int fd =
            open(fresh_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) {
            throw CommandError(ExitCode::Conflict,
                               fresh_.string() + " is there: another command is at work, or was",
                               "look at it and remove it, then the same again");
        }
        is_ours_ = fd >= 0;
        if (fd < 0 || stat(file_.c_str(), &before) != 0) {
            throw cannot_write(file_);
        }
        bool done = fchmod(fd, before.st_mode & 07777) == 0;
        struct stat made {};
        done = done && fstat(fd, &made) == 0;
        if (made.st_uid != before.st_uid || made.st_gid != before.st_gid) {
            done = done && fchown(fd, before.st_uid, before.st_gid) == 0;
        }
        for (size_t at = 0; done && at < text.size();) {
            const ssize_t wrote = ::write(fd, text.data() + at, text.size() - at);
            done = wrote > 0 || errno == EINTR;
            at += wrote > 0 ? static_cast<size_t>(wrote) : 0;
        }
        done = done && fsync(fd) == 0;
        close(fd);
        if (!done) {
            throw cannot_write(file_);
        }
    }
    void take_place() {
        if (std::rename(fresh_.c_str(), file_.c_str()) != 0) {
            throw cannot_write(file_);
        }
        const int directory = open(file_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0) {
            fsync(directory);
            close(directory);
        }
    }

  private:
    std::filesystem::path file_;
    std::filesystem::path fresh_;
    bool is_ours_ = false;
};

std::vector<std::string> names_of(const Config& config) {
    std::vector<std::string> names;
    for (const Config::Site& site : config.sites) {
        names.push_back(site.name);
    }
    return names;
}

Config parsed(const std::string& text, const std::filesystem::path& file) {
    try {
        return Config::parse(text, file.string());
    } catch (const Error& error) {
        throw CommandError(ExitCode::Failed, error.what(), error.next_step());
    }
}

/// Reads what the file would be, and puts it there when its sites are `expected`.
void replace(const std::filesystem::path& file, const std::string& text, const Config& before,
             const std::vector<std::string>& expected, bool dry_run) {
    const Config after = parsed(text, file);
    if (names_of(after) != expected || after.stores() != before.stores() ||
        after.site != before.site) {
        throw CommandError(ExitCode::Failed,
                           file.string() + " is written in a way that this command does not know",
                           "change [[sites]] in it by hand, then antipode config check");
    }
    if (dry_run) {
        return;
    }
    Replacement replacement(file);
    replacement.write(text);
    replacement.take_place();
}

/// What of the lines is new, or gone; the rest may hold passwords.
std::string changed_lines(const std::string& before, const std::string& after) {
    const auto old_lines = lines_of(before);
    const auto new_lines = lines_of(after);
    size_t same = 0;
    while (same < std::min(old_lines.size(), new_lines.size()) &&
           old_lines[same] == new_lines[same]) {
        ++same;
    }
    const bool more = new_lines.size() > old_lines.size();
    const auto& longer = more ? new_lines : old_lines;
    const size_t count = longer.size() - std::min(old_lines.size(), new_lines.size());
    std::string text;
    for (size_t i = same; i < same + count; ++i) {
        text += (more ? "+" : "-") + longer[i] + "\n";
    }
    return text;
}

ExitCode print(const std::filesystem::path& file, const Output& output, const std::string& site,
               const std::string& changed, const std::string& next,
               const EditSitesOptions& options) {
    if (output.json()) {
        output.out << Json{{"schema", "antipode.sites-edit/1"},
                           {"file", file.string()},
                           {"site", site},
                           {"written", !options.dry_run},
                           {"next_step", next}}
                          .dump()
                   << "\n";
    } else if (options.dry_run) {
        output.out << changed;
    } else {
        output.out << file.string() << " is written\nTry: " << next << "\n";
    }
    return ExitCode::Ok;
}

std::string elsewhere(const std::string& command) {
    return command + ", on each other site's machine; then systemctl restart antipoded, on each";
}

}  // namespace

std::string with_site(const std::string& text, const Config::Site& site) {
    auto lines = lines_of(text);
    size_t place = lines.size();
    for (size_t i = 0; i < lines.size(); ++i) {
        if (begins_site(lines[i])) {
            place = end_of_table(lines, i);
        }
    }
    const std::vector<std::string> added = {"", "[[sites]]", "name = " + quoted(site.name),
                                            "nats = " + quoted(site.nats),
                                            "http = " + quoted(site.http)};
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(place), added.begin(), added.end());
    return joined(lines);
}

std::string without_site(const std::string& text, const std::string& name) {
    auto lines = lines_of(text);
    static const std::regex key(R"re(\s*name\s*=\s*["']([^"']*)["']\s*(#.*)?)re");
    for (size_t i = 0; i < lines.size(); ++i) {
        if (!begins_site(lines[i])) {
            continue;
        }
        const size_t end = end_of_table(lines, i);
        for (size_t at = i + 1; at < end; ++at) {
            std::smatch found;
            if (std::regex_match(lines[at], found, key) && found[1] == name) {
                const size_t begin = i > 0 && lines[i - 1].empty() ? i - 1 : i;
                lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(begin),
                            lines.begin() + static_cast<std::ptrdiff_t>(end));
                return joined(lines);
            }
        }
    }
    throw CommandError(ExitCode::Failed, "no [[sites]] of the configuration has the name " + name,
                       "change it by hand, then antipode config check");
}

ExitCode add_site(const std::filesystem::path& file, const OpenBucket& open, const Output& output,
                  const EditSitesOptions& options) {
    const Config before = load_config(file);
    const Config::Site& site = options.site;
    if (before.find_site(site.name) != nullptr) {
        throw CommandError(ExitCode::Conflict, "there is a site " + site.name + " already",
                           "antipode sites show " + site.name);
    }
    if (!is_valid_name(site.name)) {
        throw CommandError(ExitCode::Usage, "\"" + harmless(site.name) + "\" can be no site's name",
                           "letters, digits and '-'");
    }
    auto expected = names_of(before);
    expected.push_back(site.name);
    const std::string was = read_text(file);
    const std::string text = with_site(was, site);
    replace(file, text, before, expected, options.dry_run);
    std::string primary = "PRIMARY";
    try {
        primary = newest_record(before, open).primary();
    } catch (const CommandError&) {
        // Nobody was named yet, or nobody answers.
    }
    return print(file, output, site.name, changed_lines(was, text),
                 elsewhere("antipode sites add " + site.name + " --nats " + site.nats + " --http " +
                           site.http) +
                     "; antipode sites init --primary " + primary + ", which tells " + site.name +
                     " who that is",
                 options);
}

ExitCode remove_site(const std::filesystem::path& file, const OpenBucket& open,
                     const Output& output, const EditSitesOptions& options) {
    const Config before = load_config(file);
    require_site(before, options.name);
    if (options.name == before.site) {
        throw CommandError(ExitCode::Usage, "this is " + options.name + " itself",
                           "antipode sites remove " + options.name + ", on the others' machines");
    }
    if (newest_record(before, open).primary() == options.name) {
        throw CommandError(ExitCode::Conflict, options.name + " is the primary",
                           "antipode switchover --to ANOTHER, then the same again");
    }
    auto expected = names_of(before);
    std::erase(expected, options.name);
    const std::string was = read_text(file);
    const std::string text = without_site(was, options.name);
    if (!options.dry_run && !options.yes && options.confirmed != options.name) {
        output.error << "Nothing is kept for " << options.name
                     << " any more: when it comes back it compares everything. Type its name to go "
                        "on: ";
        output.error.flush();
        if (!options.read_line || options.read_line() != options.name) {
            throw CommandError(ExitCode::Usage, "not confirmed; nothing was changed",
                               "the same command with --confirm " + options.name);
        }
    }
    if (read_text(file) != was) {
        throw CommandError(ExitCode::Conflict, file.string() + " was changed meanwhile",
                           "the same command again");
    }
    replace(file, text, before, expected, options.dry_run);
    return print(file, output, options.name, changed_lines(was, text),
                 elsewhere("antipode sites remove " + options.name), options);
}

}  // namespace antipode::cli
