#include "apps/antipode/debug_bundle.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "apps/antipode/config_command.hpp"
#include "apps/antipode/format.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Shorter words stand everywhere.
constexpr size_t least_secret = 4;
constexpr size_t most_part_bytes = 64U << 20;
constexpr size_t most_secret_file = 1U << 20;
constexpr size_t most_listed = 5000;
constexpr std::string_view left_out = "***";

std::string read_file(const std::filesystem::path& file, size_t most) {
    std::ifstream in(file, std::ios::binary);
    std::string text(most, '\0');
    in.read(text.data(), static_cast<std::streamsize>(most));
    text.resize(static_cast<size_t>(in.gcount()));
    return text;
}

void add(std::set<std::string>& secrets, const std::string& secret) {
    if (secret.size() >= least_secret) {
        secrets.insert(secret);
    }
}

std::string percent_decoded(const std::string& text) {
    static const std::regex escape("%([0-9A-Fa-f]{2})");
    std::string decoded;
    auto from = text.cbegin();
    for (std::sregex_iterator at(text.begin(), text.end(), escape), end; at != end; ++at) {
        decoded.append(from, (*at)[0].first);
        decoded += static_cast<char>(std::stoi((*at)[1], nullptr, 16));
        from = (*at)[0].second;
    }
    return decoded.append(from, text.cend());
}

/// As it is written there, and as it is meant.
void add_passwords_of(std::set<std::string>& secrets, const std::string& url) {
    // The second is a token of NATS.
    static const std::array<std::regex, 4> places = {
        std::regex(R"(://[^:/@]*:([^@/]*)@)"), std::regex(R"(^(?:nats|tls)://([^:/@]+)@)"),
        std::regex(R"([?&](?:ssl)?password=([^&]*))", std::regex::icase),
        std::regex(R"(\b(?:ssl)?password\s*=\s*('(?:[^'\\]|\\.)*'|[^'\s]\S*))", std::regex::icase)};
    static const std::regex quoting(R"(\\(.))");
    for (const std::regex& place : places) {
        for (std::sregex_iterator at(url.begin(), url.end(), place), end; at != end; ++at) {
            std::string password = (*at)[1];
            add(secrets, password);
            if (password.size() > 1 && password.front() == '\'') {
                password =
                    std::regex_replace(password.substr(1, password.size() - 2), quoting, "$1");
                add(secrets, password);
            }
            add(secrets, percent_decoded(password));
        }
    }
}

/// Each line, and each word of it: "secret_access_key = ...".
void add_file(std::set<std::string>& secrets, const std::filesystem::path& file) {
    if (file.empty()) {
        return;
    }
    std::istringstream lines(read_file(file, most_secret_file));
    for (std::string line; std::getline(lines, line);) {
        const bool armour = line.starts_with("-----") || line.starts_with("[");
        const size_t value = line.find_first_of("=:");
        if (armour || line.empty()) {
            continue;
        }
        std::string word = value == std::string::npos ? line : line.substr(value + 1);
        const auto blank = [](char c) { return c == ' ' || c == '"' || c == '\t' || c == '\r'; };
        while (!word.empty() && blank(word.front())) {
            word.erase(word.begin());
        }
        while (!word.empty() && blank(word.back())) {
            word.pop_back();
        }
        // Of "key = value" the value; a line of one word may have such a sign in it, too.
        add(secrets, word);
        add(secrets, line.substr(0, line.find_last_not_of(" \t\r") + 1));
    }
}

std::string escaped(const std::string& secret) {
    const std::string quoted = Json(secret).dump(-1, ' ', false, Json::error_handler_t::replace);
    return quoted.substr(1, quoted.size() - 2);
}

void replace_all(std::string& text, const std::string& what) {
    for (size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + left_out.size())) {
        text.replace(at, what.size(), left_out);
    }
}

/// The arguments of its commands may be secrets: only the programs are named.
std::string config_text(const BundleOptions& options) {
    std::ostringstream out;
    show_config(options.config_file, {out, out, Format::Json, false});
    Json document = Json::parse(out.str());
    for (auto& [key, value] : document["config"]["failover"].items()) {
        if (value.is_array() && value.size() > 1) {
            value = Json::array({value[0], counted(value.size() - 1, "argument", "arguments")});
        }
    }
    return document.dump(2) + "\n";
}

std::string machine_text(const Config& config) {
    std::ostringstream out;
    utsname name{};
    if (uname(&name) == 0) {
        out << name.sysname << " " << name.release << " " << name.version << " " << name.machine
            << "\n";
    }
    out << "load: " << read_file("/proc/loadavg", 200)
        << "uptime, s: " << read_file("/proc/uptime", 200) << read_file("/proc/meminfo", 400)
        << "\n";
    std::vector<std::filesystem::path> places = {config.state_dir};
    for (const auto& store : config.repositories) {
        places.push_back(store.root);
    }
    for (const auto& store : config.blobs) {
        places.push_back(store.root);
    }
    for (const auto& place : places) {
        struct statvfs room {};
        if (!place.empty() && statvfs(place.c_str(), &room) == 0) {
            out << place.string() << ": " << format_bytes(room.f_bavail * room.f_frsize)
                << " free of " << format_bytes(room.f_blocks * room.f_frsize) << ", "
                << room.f_favail << " of " << room.f_files << " inodes free\n";
        }
    }
    return out.str();
}

/// Names and sizes, not what is in them.
std::string state_text(const Config& config) {
    std::ostringstream out;
    size_t listed = 0;
    for (auto at = std::filesystem::recursive_directory_iterator(
             config.state_dir, std::filesystem::directory_options::skip_permission_denied);
         at != std::filesystem::recursive_directory_iterator(); ++at) {
        if (at.depth() >= 2) {
            at.disable_recursion_pending();
        }
        if (++listed > most_listed) {
            out << "...\n";
            break;
        }
        std::error_code ignored;
        const auto size = at->is_regular_file(ignored) ? at->file_size(ignored) : 0;
        out << at->path().string() << (at->is_directory(ignored) ? "/" : "\t") << size << "\n";
    }
    return out.str();
}

std::string ask(const Fetch& fetch, const std::string& url) {
    const Answer answer = fetch(url, daemon_timeout);
    return answer.status == 200
               ? answer.body
               : "answered with " + std::to_string(answer.status) + "\n" + answer.body;
}

std::string text_of(const BundlePart& part, const std::set<std::string>& secrets) {
    std::string text;
    try {
        text = part.read();
    } catch (const std::exception& error) {
        text = std::string("this could not be read: ") + error.what() + "\n";
    }
    if (text.size() > most_part_bytes) {
        text.resize(most_part_bytes);
    }
    return without_secrets(std::move(text), secrets);
}

/// POSIX.1-1988's format of archives ("ustar"), of which one file needs 512 bytes and its own.
std::string tar_entry(const std::string& name, const std::string& text, TimePoint time) {
    constexpr size_t block = 512;
    std::string header(block, '\0');
    const auto put = [&](size_t at, const std::string& value) {
        header.replace(at, value.size(), value);
    };
    const auto octal = [](uint64_t number, size_t digits) {
        std::string digits_of(digits, '0');
        for (size_t i = digits; i > 0 && number > 0; --i, number /= 8) {
            digits_of[i - 1] = static_cast<char>('0' + number % 8);
        }
        return digits_of;
    };
    put(0, name.substr(0, 99));
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, octal(text.size(), 11));
    put(136, octal(static_cast<uint64_t>(to_microseconds(time) / 1'000'000), 11));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    uint64_t sum = 0;
    for (const char c : header) {
        sum += static_cast<unsigned char>(c);
    }
    put(148, octal(sum, 6) + '\0');
    std::string entry = header + text;
    entry.resize((entry.size() + block - 1) / block * block, '\0');
    return entry;
}

std::string compact(TimePoint time) {
    std::string text;
    for (const char c : to_iso8601(time)) {
        text += c == '-' || c == ':' ? "" : std::string(1, c);
    }
    const size_t dot = text.find('.');
    return dot == std::string::npos ? text : text.substr(0, dot) + "Z";
}

void write_new(const std::filesystem::path& file, const std::string& bytes) {
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const auto failed = [&](ExitCode code) {
        return CommandError(code, file.string() + ": " + std::strerror(errno),
                            "antipode debug bundle --file ANOTHER");
    };
    if (fd < 0) {
        throw failed(errno == EEXIST ? ExitCode::Conflict : ExitCode::Failed);
    }
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t wrote = write(fd, bytes.data() + done, bytes.size() - done);
        if (wrote < 0 && errno != EINTR) {
            const CommandError error = failed(ExitCode::Failed);
            close(fd);
            throw error;
        }
        done += wrote > 0 ? static_cast<size_t>(wrote) : 0;
    }
    close(fd);
}

}  // namespace

std::set<std::string> secrets_of(const Config& config) {
    std::set<std::string> secrets;
    add_passwords_of(secrets, config.nats.url);
    for (const Config::Site& site : config.sites) {
        add_passwords_of(secrets, site.nats);
        add_passwords_of(secrets, site.http);
    }
    for (const Config::Database& store : config.databases) {
        add_passwords_of(secrets, store.url);
        add_passwords_of(secrets, store.write_check_url);
    }
    for (const Config::Blobs& store : config.blobs) {
        if (store.bucket) {
            add_passwords_of(secrets, store.bucket->endpoint);
            add_file(secrets, store.bucket->credentials_file);
        }
    }
    add_file(secrets, config.nats.credentials_file);
    add_file(secrets, config.http.token_file);
    for (const auto* const command :
         {&config.failover.fence_command, &config.failover.unfence_command,
          &config.failover.write_check_command, &config.failover.before_open_command,
          &config.failover.after_open_command, &config.failover.secondary_command}) {
        for (size_t i = 1; i < command->size(); ++i) {
            static const std::regex given(R"((?:password|token|secret|key)[^=]*=(.+))",
                                          std::regex::icase);
            static const std::regex named(R"(-.*(?:password|token|secret|key))", std::regex::icase);
            std::smatch found;
            if (std::regex_search((*command)[i], found, given)) {
                add(secrets, found[1]);
            } else if (std::regex_match((*command)[i - 1], named)) {
                add(secrets, (*command)[i]);
            }
        }
    }
    if (const char* const password = std::getenv("PGPASSWORD")) {
        add(secrets, password);
    }
    return secrets;
}

std::string without_secrets(std::string text, const std::set<std::string>& secrets) {
    // The longest first: one may be a part of another.
    std::vector<std::string> all(secrets.begin(), secrets.end());
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.size() > b.size(); });
    for (const std::string& secret : all) {
        replace_all(text, secret);
        replace_all(text, escaped(secret));
    }
    static const std::regex in_url(R"((://[^:/@\s"']{0,200}):[^@/\s"']{1,200}@)");
    std::ostringstream clean;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        clean << (line.find("://") == std::string::npos
                      ? line
                      : std::regex_replace(line, in_url, "$1:***@"))
              << "\n";
    }
    return clean.str();
}

std::vector<BundlePart> bundle_parts(const Config& config, const Fetch& fetch,
                                     const BundleOptions& options, std::vector<BundlePart> more) {
    const std::string here = local_daemon(config);
    std::vector<BundlePart> parts = {
        {"version.txt", [options] { return "antipode " + options.version + "\n"; }},
        {"config.json", [options] { return config_text(options); }},
        {"machine.txt", [config] { return machine_text(config); }},
        {"state.txt", [config] { return state_text(config); }}};
    for (const auto& [name, path] :
         std::map<std::string, std::string>{{"status.json", "/v1/status"},
                                            {"events.json", "/v1/events"},
                                            {"journal.json", "/v1/journal"},
                                            {"drills.json", "/v1/drills"},
                                            {"metrics.txt", "/metrics"}}) {
        parts.push_back({name, [fetch, url = here + path] { return ask(fetch, url); }});
    }
    for (const Config::Site& site : config.sites) {
        if (site.name != config.site) {
            parts.push_back({"sites/" + site.name + "/status.json",
                             [fetch, url = site.http + "/v1/status"] { return ask(fetch, url); }});
        }
    }
    for (BundlePart& part : more) {
        parts.push_back(std::move(part));
    }
    return parts;
}

ExitCode write_bundle(const Config& config, const Clock& clock, const Output& output,
                      const BundleOptions& options, const std::vector<BundlePart>& parts) {
    const std::set<std::string> secrets = secrets_of(config);
    const TimePoint now = clock.now();
    const std::string name = "antipode-debug-" + config.site + "-" + compact(now);
    const auto file = options.file.empty() ? std::filesystem::path(name + ".tar") : options.file;
    std::string archive;
    for (const BundlePart& part : parts) {
        archive += tar_entry(name + "/" + part.name, text_of(part, secrets), now);
    }
    archive.append(1024, '\0');  // its end
    write_new(file, archive);
    if (output.json()) {
        Json document = {{"schema", "antipode.debug-bundle/1"},
                         {"file", file.string()},
                         {"size_bytes", archive.size()},
                         {"parts", Json::array()}};
        for (const BundlePart& part : parts) {
            document["parts"].push_back(part.name);
        }
        output.out << document.dump() << "\n";
        return ExitCode::Ok;
    }
    output.out << file.string() << ": " << counted(parts.size(), "file", "files") << ", "
               << format_bytes(archive.size())
               << ". Passwords, tokens and keys are left out; names of tables, repositories and "
                  "files are not. Look at it before you hand it on: tar xf "
               << file.string() << "\n";
    return ExitCode::Ok;
}

}  // namespace antipode::cli
