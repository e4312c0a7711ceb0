#include "bench/blobs_tool.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr std::chrono::minutes patience(60);
constexpr std::chrono::seconds start_timeout(30);

void wait_until(const std::string& what, const std::function<bool()>& condition,
                std::chrono::milliseconds timeout = patience) {
    if (!test::eventually(condition, timeout)) {
        throw std::runtime_error(what + ": not in time");
    }
}

/// A plain GET on loopback, as starting curl ten times a second would be measured, too. Empty: no
/// answer.
std::string get(int port, const std::string& path) {
    const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    const std::string request = "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
    if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        send(connection, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size())) {
        std::array<char, 65536> buffer{};
        for (ssize_t count = 1; count > 0;
             answer.append(buffer.data(), static_cast<size_t>(count))) {
            count = std::max<ssize_t>(recv(connection, buffer.data(), buffer.size(), 0), 0);
        }
    }
    close(connection);
    const size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos ? std::string() : answer.substr(body + 4);
}

/// A command that brings over all that differs when it is run.
class LoopedTool final : public BlobsTool {
  public:
    LoopedTool(std::filesystem::path directory, std::string name, std::string command)
        : BlobsTool(std::move(directory)), name_(std::move(name)), command_(std::move(command)) {}
    std::string name() const override { return name_; }
    void copy(size_t) override { test::must_run({"sh", "-c", command_ + " " + places()}); }
    void follow() override {
        // The shell ends when the command that runs has ended.
        loop_ = test::Process(
            {"sh", "-c", "trap 'exit 0' TERM; while :; do " + command_ + " " + places() + "; done"},
            {.log = directory_ / "log",
             .directory = {},
             .environment = {},
             .as_unprivileged_user = false});
    }
    std::vector<Running> processes() const override {
        return loop_.pid() > 0 ? std::vector<Running>{{name_, loop_.pid()}}
                               : std::vector<Running>{};
    }
    ~LoopedTool() override { loop_.stop(); }

  private:
    std::string places() const { return source().string() + "/ " + mirror().string() + "/"; }
    const std::string name_;
    const std::string command_;
    test::Process loop_;
};

class LsyncdTool final : public BlobsTool {
  public:
    using BlobsTool::BlobsTool;
    std::string name() const override { return "lsyncd"; }
    void copy(size_t) override {
        test::must_run({"rsync", "-a", "--delete", source().string() + "/", mirror().string()});
    }
    void follow() override {
        // A second is the shortest delay that it has.
        test::write_file(
            directory_ / "lsyncd.conf",
            "settings { nodaemon = true, logfile = \"" + (directory_ / "log").string() +
                "\" }\nsync { default.rsync, delay = 1, source = \"" + source().string() +
                "\", target = \"" + mirror().string() + "\", rsync = { archive = true } }\n");
        lsyncd_ = test::Process({"lsyncd", (directory_ / "lsyncd.conf").string()}, {});
        wait_until("lsyncd starts", [&] {
            std::ifstream log(directory_ / "log");
            std::stringstream text;
            text << log.rdbuf();
            return text.str().find("Startup of") != std::string::npos;
        });
    }
    std::vector<Running> processes() const override {
        return lsyncd_.pid() > 0 ? std::vector<Running>{{"lsyncd", lsyncd_.pid()}}
                                 : std::vector<Running>{};
    }
    ~LsyncdTool() override { lsyncd_.stop(); }

  private:
    test::Process lsyncd_;
};

/// A site with nothing but a root of files.
class FilesSite {
  public:
    FilesSite(std::filesystem::path directory, std::string name, std::filesystem::path root)
        : directory_(std::move(directory)),
          name_(std::move(name)),
          root_(std::move(root)),
          http_port_(test::free_port()),
          nats_(directory_ / "nats") {}

    void configure(const std::vector<const FilesSite*>& sites) {
        std::ostringstream text;
        text << "cluster = \"bench\"\nsite = \"" << name_ << "\"\nstate_dir = \""
             << (directory_ / "state").string() << "\"\n";
        for (const FilesSite* site : sites) {
            text << "[[sites]]\nname = \"" << site->name_ << "\"\nnats = \"" << site->nats_.url()
                 << "\"\nhttp = \"http://127.0.0.1:" << site->http_port_ << "\"\n";
        }
        text << "[nats]\nstore_dir = \"" << (directory_ / "nats").string() << "\"\n[http]\n"
             << "listen = \"127.0.0.1:" << http_port_ << "\"\n"
             << "[[blobs]]\nname = \"files\"\nroot = \"" << root_.string() << "\"\n";
        test::write_file(config(), text.str());
    }
    void antipode(const std::string& arguments) const {
        test::must_run(
            {"sh", "-c",
             std::string(ANTIPODE) + " --config " + config().string() + " " + arguments});
    }
    void start() {
        test::Process::Options options;
        options.log = directory_ / "antipoded.log";
        daemon_ = test::Process({ANTIPODED, "--config", config().string()}, options);
    }
    void stop() { daemon_.stop(std::chrono::seconds(60)); }
    void await_answer() {
        wait_until(
            "antipoded of " + name_ + " answers", [&] { return !store().is_null(); },
            start_timeout);
    }

    /// The store as the daemon's status shows it; null: it does not answer.
    nlohmann::json store() const {
        const std::string body = get(http_port_, "/v1/status");
        if (body.empty()) {
            return nullptr;
        }
        const auto status = nlohmann::json::parse(body);
        for (const auto& store : status["stores"]) {
            if (store["store"] == "blobs/files") {
                return store;
            }
        }
        return nullptr;
    }
    std::vector<BlobsTool::Running> processes() {
        return {{"daemon " + name_, daemon_.pid()},
                {"nats-server " + name_, nats_.process().pid(), true}};
    }

  private:
    std::filesystem::path config() const { return directory_ / "antipode.toml"; }
    const std::filesystem::path directory_;
    const std::string name_;
    const std::filesystem::path root_;
    const int http_port_;
    test::NatsServer nats_;
    test::Process daemon_;
};

class TwoDaemons final : public AntipodeTool {
  public:
    explicit TwoDaemons(std::filesystem::path directory)
        : AntipodeTool(std::move(directory)),
          primary_(directory_ / "london", "london", source()),
          secondary_(directory_ / "sydney", "sydney", mirror()) {
        primary_.configure({&primary_, &secondary_});
        secondary_.configure({&primary_, &secondary_});
        primary_.antipode("sites init --primary london");
    }
    std::string name() const override { return "antipode"; }
    void copy(size_t files) override {
        primary_.start();
        secondary_.start();
        settle(files);
    }
    /// Recorded in a synced database, after the files were synced.
    void settle(size_t files) override {
        const auto interval = std::chrono::milliseconds(files < 100'000 ? 100 : 1000);
        wait_until("the secondary has everything", [&] {
            const auto store = secondary_.store();
            if (!store.is_null() && store["verified"].is_number() &&
                store["verified"].get<size_t>() >= files && store["waiting"] == 0) {
                return true;
            }
            usleep(static_cast<useconds_t>(interval.count()) * 1000);
            return false;
        });
    }
    /// Both follow from the beginning.
    void follow() override {}
    void restart() override {
        secondary_.stop();
        primary_.stop();
        primary_.start();
        secondary_.start();
        primary_.await_answer();
        secondary_.await_answer();
        wait_until("the primary compares", [&] {
            const auto store = primary_.store();
            return store.is_object() && store["captured_through_us"].is_number() &&
                   store["backlog_events"] == 0;
        });
        wait_until("the secondary streams", [&] {
            const auto store = secondary_.store();
            return store.is_object() && store["state"] == "streaming";
        });
    }
    std::vector<Running> processes() const override {
        auto all = primary_.processes();
        for (Running& process : secondary_.processes()) {
            all.push_back(std::move(process));
        }
        return all;
    }

  private:
    mutable FilesSite primary_;
    mutable FilesSite secondary_;
};

/// The value behind a word in a file of /proc.
double value_of(pid_t process, const std::string& word) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    std::string next;
    while (status >> next && next != word) {
    }
    double value = 0;
    status >> value;
    return value;
}

}  // namespace

BlobsTool::BlobsTool(std::filesystem::path directory) : directory_(std::move(directory)) {
    std::filesystem::create_directories(source());
    std::filesystem::create_directories(mirror());
}

void BlobsTool::settle(size_t) {}

std::unique_ptr<AntipodeTool> make_antipode_tool(const std::filesystem::path& directory) {
    return std::make_unique<TwoDaemons>(directory);
}

std::unique_ptr<BlobsTool> make_blobs_tool(const std::string& name,
                                           const std::filesystem::path& directory) {
    if (name == "rsync") {
        return std::make_unique<LoopedTool>(directory, name, "rsync -a --delete");
    }
    if (name == "rclone") {
        return std::make_unique<LoopedTool>(directory, name, "rclone sync --config /dev/null");
    }
    if (name == "lsyncd") {
        return std::make_unique<LsyncdTool>(directory);
    }
    return make_antipode_tool(directory);
}

double cpu_seconds(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) {
        fields >> skipped;
    }
    double user = 0, system = 0, children_user = 0, children_system = 0;
    fields >> user >> system >> children_user >> children_system;
    return (user + system + children_user + children_system) /
           static_cast<double>(sysconf(_SC_CLK_TCK));
}

double children_cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Cpu::Cpu(const std::vector<BlobsTool::Running>& processes) {
    for (const auto& process : processes) {
        (process.broker ? brokers : own) += cpu_seconds(process.pid);
    }
}

double resident_mib(pid_t process) {
    return value_of(process, "VmRSS:") / 1024;
}

double peak_mib(pid_t process) {
    return value_of(process, "VmHWM:") / 1024;
}

}  // namespace antipode::bench
