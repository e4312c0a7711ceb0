#include "adapters/postgres/schema_dump.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <vector>

#include <fcntl.h>
#include <libpq-fe.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode::postgres {
namespace {

using Conninfo = Handle<PQconninfoOption, PQconninfoFree>;

class Fd {
  public:
    explicit Fd(int fd = -1) : fd_(fd) {}
    ~Fd() { reset(); }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    int get() const { return fd_; }
    void reset(int fd = -1) {
        if (fd_ >= 0) {
            close(fd_);
        }
        fd_ = fd;
    }

  private:
    int fd_;
};

/// This process's environment, with libpq's variables from the connection string.
std::vector<std::string> environment_for(const std::string& url) {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const size_t equals = text.find('=');
        variables[text.substr(0, equals)] =
            equals == std::string::npos ? "" : text.substr(equals + 1);
    }
    const Conninfo options(PQconninfoParse(url.c_str(), nullptr));
    if (!options) {
        throw Error(Reaction::Stop, "the store's url is no libpq connection string");
    }
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->envvar != nullptr && option->val != nullptr) {
            variables[option->envvar] = option->val;
        }
    }
    // A limit of milliseconds, set on the role or the database, would end its first query: it lifts
    // the limit with its second.
    variables["PGOPTIONS"] += " -c statement_timeout=0";
    std::vector<std::string> environment;
    environment.reserve(variables.size());
    for (const auto& [name, value] : variables) {
        environment.push_back(name + "=" + value);
    }
    return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings) {
        result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
}

/// The child, its output and what it says on stderr.
class DumpReader final : public ByteReader {
  public:
    DumpReader(const std::string& url, const std::string& pg_dump, SchemaSection section,
               const std::optional<TableName>& only, std::string more)
        : filter_(section), more_(std::move(more)) {
        std::vector<std::string> command = {
            pg_dump,
            "--schema-only",
            "--no-password",
            "--no-publications",
            "--no-subscriptions",
            "--no-tablespaces",
            "--no-security-labels",
            "--exclude-schema=antipode",
            "--encoding=UTF8",
            section == SchemaSection::Before ? "--section=pre-data" : "--section=post-data"};
        if (only) {
            // Quoted, a pattern is a name.
            command.push_back("--table=" + quote_identifier(only->schema) + "." +
                              quote_identifier(only->table));
        }
        start(command, environment_for(url));
    }
    ~DumpReader() override {
        output_.reset();
        if (pid_ > 0) {
            kill(pid_, SIGTERM);
            waitpid(pid_, nullptr, 0);
        }
    }

    size_t read(std::span<char> buffer) override {
        while (ready_.empty() && !ended_) {
            fill();
        }
        const size_t size = std::min(buffer.size(), ready_.size());
        std::copy_n(ready_.begin(), size, buffer.begin());
        ready_.erase(0, size);
        return size;
    }

  private:
    void start(std::vector<std::string>& command, std::vector<std::string> environment) {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) {
            throw Error(Reaction::Retry, "starting pg_dump: no pipe");
        }
        output_.reset(ends[0]);
        const Fd input(ends[1]);
        errors_.reset(memfd_create("pg_dump-stderr", MFD_CLOEXEC));
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, input.get(), 1);
        posix_spawn_file_actions_adddup2(&actions, errors_.get(), 2);
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        sigset_t none;
        sigemptyset(&none);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        const int status = posix_spawnp(&pid_, command[0].c_str(), &actions, &attributes,
                                        pointers(command).data(), pointers(environment).data());
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        if (status != 0) {
            pid_ = -1;
            throw Error(Reaction::Stop, "starting " + command[0] + ": " + std::strerror(status),
                        "install the PostgreSQL client programs of the server's version");
        }
    }

    void fill() {
        std::array<char, 65536> chunk{};
        const ssize_t size = ::read(output_.get(), chunk.data(), chunk.size());
        if (size < 0 && errno == EINTR) {
            return;
        }
        if (size > 0) {
            line_.append(chunk.data(), static_cast<size_t>(size));
        } else {
            finish();
        }
        size_t begin = 0;
        for (size_t end = line_.find('\n'); end != std::string::npos;
             end = line_.find('\n', begin)) {
            const auto line = std::string_view(line_).substr(begin, end + 1 - begin);
            if (filter_.keep(line)) {
                ready_ += line;
            }
            begin = end + 1;
        }
        line_.erase(0, begin);
        if (ended_) {
            ready_ += more_;
        }
    }

    void finish() {
        int status = 0;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            std::array<char, 1001> text{};  // with a NUL at its end
            const ssize_t size = pread(errors_.get(), text.data(), text.size() - 1, 0);
            throw Error(Reaction::Retry,
                        "pg_dump failed: " + (size > 0 ? one_line(text.data()) : "it is silent"),
                        "the role needs to read every table (GRANT pg_read_all_data TO role)");
        }
        ended_ = true;
    }

    SectionFilter filter_;
    std::string more_;
    pid_t pid_ = -1;
    Fd output_;
    Fd errors_;
    std::string line_;  ///< what came and is not a whole line yet
    std::string ready_;
    bool ended_ = false;
};

}  // namespace

bool SectionFilter::keep(std::string_view line) {
    constexpr std::string_view header = "-- Name: ";
    constexpr std::string_view type_mark = "; Type: ";
    if (line.starts_with(header)) {
        const size_t type_at = line.rfind(type_mark);
        if (type_at != std::string_view::npos) {
            const std::string_view type = line.substr(type_at + type_mark.size());
            in_entry_ = true;
            // They tell of the primary's DDL; `antipode database setup` makes them.
            const std::string_view name = line.substr(header.size());
            own_ = type.starts_with("EVENT TRIGGER;") && name.starts_with("antipode_");
            own_rights_ =
                type.starts_with("ACL;") && name.starts_with("FUNCTION pg_logical_emit_message(");
            in_foreign_key_ = type.starts_with("FK CONSTRAINT;") ||
                              (type.starts_with("COMMENT;") &&
                               line.substr(header.size()).starts_with("CONSTRAINT "));
        }
    }
    if (line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ")) {
        return false;
    }
    // The primary's daemon may be a role that is not here. That nobody else may write messages
    // holds here, too.
    if (own_rights_ && line.starts_with("GRANT ")) {
        return false;
    }
    switch (section_) {
        case SchemaSection::Before:
            return !own_;
        case SchemaSection::After:
            return !in_foreign_key_ && !own_;
        case SchemaSection::Finish:
            return !in_entry_ || in_foreign_key_;
    }
    return false;
}

std::unique_ptr<ByteReader> dump_schema(const std::string& url, const std::string& pg_dump,
                                        SchemaSection section, const std::optional<TableName>& only,
                                        std::string more) {
    return std::make_unique<DumpReader>(url, pg_dump, section, only, std::move(more));
}

std::string find_pg_dump(int server_version) {
    const std::filesystem::path debian =
        "/usr/lib/postgresql/" + std::to_string(server_version / 10000) + "/bin/pg_dump";
    std::error_code ignored;
    return std::filesystem::exists(debian, ignored) ? debian.string() : "pg_dump";
}

}  // namespace antipode::postgres
