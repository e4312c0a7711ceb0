#include "bench/repositories_tool.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

#include <net/if.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/git_program.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr std::chrono::minutes patience(30);

void wait_until(const std::string& what, const std::function<bool()>& condition) {
    if (!test::eventually(condition, patience)) {
        throw std::runtime_error(what + ": not in time");
    }
}

class Nothing final : public RepositoriesTool {
  public:
    using RepositoriesTool::RepositoriesTool;
    std::string name() const override { return "none"; }
    void copy(const RepositoriesLoad&) override {}
    void pause() override {}
    void resume(const RepositoriesLoad&) override {}
    std::vector<BlobsTool::Running> processes() const override { return {}; }
};

/// git from a post-receive hook, over git's own protocol: the mirror fetches, or the primary
/// pushes.
class HookTool final : public RepositoriesTool {
  public:
    HookTool(std::filesystem::path directory, bool fetches)
        : RepositoriesTool(std::move(directory)), fetches_(fetches), port_(test::free_port()) {
        daemon_ =
            test::Process({"git", "daemon", "--export-all", "--enable=receive-pack", "--reuseaddr",
                           "--listen=127.0.0.1", "--port=" + std::to_string(port_),
                           "--base-path=" + directory_.string(), directory_.string()},
                          {});
    }
    std::string name() const override { return fetches_ ? "fetch" : "push"; }
    void copy(const RepositoriesLoad& load) override {
        for (size_t i = 0; i < load.repositories(); ++i) {
            const std::string repository = RepositoriesLoad::name(i);
            wait_until("git clone", [&] {
                return test::run({"git", "clone", "--quiet", "--mirror", url("source", repository),
                                  (mirror() / repository).string()})
                           .status == 0;
            });
            const auto hook = source() / repository / "hooks/post-receive";
            test::write_file(hook, "#!/bin/sh\nunset $(git rev-parse --local-env-vars)\n[ -e " +
                                       flag() + " ] && exit 0\nexec " + command(repository) +
                                       " >/dev/null 2>&1\n");
            std::filesystem::permissions(hook, std::filesystem::perms(0755));
        }
    }
    void pause() override { test::write_file(flag(), ""); }
    void resume(const RepositoriesLoad& load) override {
        std::filesystem::remove(flag());
        for (size_t i = 0; i < load.repositories(); ++i) {
            test::must_run({"sh", "-c", command(RepositoriesLoad::name(i))});
        }
    }
    std::vector<BlobsTool::Running> processes() const override {
        return {{"git daemon", daemon_.pid()}};
    }
    ~HookTool() override { daemon_.stop(); }

  private:
    std::string flag() const { return (directory_ / "away").string(); }
    std::string url(const std::string& root, const std::string& repository) const {
        return "git://127.0.0.1:" + std::to_string(port_) + "/" + root + "/" + repository;
    }
    std::string command(const std::string& repository) const {
        return fetches_
                   ? "git --git-dir=" + (mirror() / repository).string() +
                         " fetch --quiet --prune " + url("source", repository) + " '+refs/*:refs/*'"
                   : "git --git-dir=" + (source() / repository).string() +
                         " push --quiet --mirror " + url("mirror", repository);
    }
    const bool fetches_;
    const int port_;
    test::Process daemon_;
};

class RsyncTool final : public RepositoriesTool {
  public:
    explicit RsyncTool(std::filesystem::path directory)
        : RepositoriesTool(std::move(directory)), port_(test::free_port()) {
        test::write_file(directory_ / "rsyncd.conf",
                         "use chroot = no\n[source]\npath = " + source().string() +
                             "\nread only = yes\nuid = " + std::to_string(getuid()) +
                             "\ngid = " + std::to_string(getgid()) + "\n");
        daemon_ = test::Process({"rsync", "--daemon", "--no-detach", "--address=127.0.0.1",
                                 "--port=" + std::to_string(port_),
                                 "--config=" + (directory_ / "rsyncd.conf").string()},
                                {});
    }
    std::string name() const override { return "rsync"; }
    void copy(const RepositoriesLoad& load) override {
        wait_until("rsync", [&] { return test::run({"sh", "-c", command()}).status == 0; });
        resume(load);
    }
    void pause() override { loop_.stop(); }
    void resume(const RepositoriesLoad&) override {
        loop_ = test::Process(
            {"sh", "-c", "trap 'exit 0' TERM; while :; do " + command() + "; done"}, {});
    }
    std::vector<BlobsTool::Running> processes() const override {
        return {{"rsync", loop_.pid()}, {"rsync --daemon", daemon_.pid()}};
    }
    ~RsyncTool() override {
        loop_.stop();
        daemon_.stop();
    }

  private:
    std::string command() const {
        return "rsync -a -@-1 --delete rsync://127.0.0.1:" + std::to_string(port_) + "/source/ " +
               mirror().string() + "/";
    }
    const int port_;
    test::Process daemon_;
    test::Process loop_;
};

/// A site with nothing but a root of repositories.
class RepositoriesSite {
  public:
    RepositoriesSite(std::filesystem::path directory, std::string name, std::filesystem::path root)
        : http_port(test::free_port()),
          nats(directory / "nats"),
          directory_(std::move(directory)),
          name_(std::move(name)),
          root_(std::move(root)) {}

    void configure(const std::vector<const RepositoriesSite*>& sites) {
        std::ostringstream text;
        text << "cluster = \"bench\"\nsite = \"" << name_ << "\"\nstate_dir = \""
             << (directory_ / "state").string() << "\"\n";
        for (const RepositoriesSite* site : sites) {
            text << "[[sites]]\nname = \"" << site->name_ << "\"\nnats = \"" << site->nats.url()
                 << "\"\nhttp = \"http://127.0.0.1:" << site->http_port << "\"\n";
        }
        text << "[nats]\nstore_dir = \"" << (directory_ / "nats").string() << "\"\n[http]\n"
             << "listen = \"127.0.0.1:" << http_port << "\"\n"
             << "[[repositories]]\nname = \"git\"\nroot = \"" << root_.string() << "\"\n";
        test::write_file(config(), text.str());
    }
    void antipode(const std::string& arguments) const {
        test::must_run(
            {"sh", "-c",
             std::string(ANTIPODE) + " --config " + config().string() + " " + arguments});
    }
    void start() {
        daemon = test::Process({ANTIPODED, "--config", config().string()},
                               {.log = directory_ / "antipoded.log",
                                .directory = {},
                                .environment = {},
                                .as_unprivileged_user = false});
    }
    /// The store's items that are here, as the primary computed them.
    size_t verified() const {
        const auto answer = test::run(
            {"curl", "-sf", "http://127.0.0.1:" + std::to_string(http_port) + "/v1/status"});
        if (answer.status != 0) {
            return 0;
        }
        const auto status = nlohmann::json::parse(answer.output);
        for (const auto& store : status["stores"]) {
            if (store["verified"].is_number() && store["waiting"] == 0) {
                return store["verified"].get<size_t>();
            }
        }
        return 0;
    }

    const int http_port;
    test::NatsServer nats;
    test::Process daemon;

  private:
    std::filesystem::path config() const { return directory_ / "antipode.toml"; }
    const std::filesystem::path directory_;
    const std::string name_;
    const std::filesystem::path root_;
};

class AntipodeSites final : public RepositoriesTool {
  public:
    explicit AntipodeSites(std::filesystem::path directory)
        : RepositoriesTool(std::move(directory)),
          primary_(directory_ / "london", "london", source()),
          secondary_(directory_ / "sydney", "sydney", mirror()) {
        primary_.configure({&primary_, &secondary_});
        secondary_.configure({&primary_, &secondary_});
        primary_.antipode("sites init --primary london");
    }
    std::string name() const override { return "antipode"; }
    void copy(const RepositoriesLoad& load) override {
        primary_.antipode("hooks install");
        primary_.start();
        secondary_.start();
        // Asking costs CPU: ten times a second, not two hundred times.
        wait_until("the secondary has everything", [&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            return secondary_.verified() >= load.repositories();
        });
    }
    void pause() override { secondary_.daemon.stop(std::chrono::seconds(60)); }
    void resume(const RepositoriesLoad&) override { secondary_.start(); }
    std::vector<BlobsTool::Running> processes() const override {
        return {{"daemon london", primary_.daemon.pid()},
                {"nats-server london", primary_.nats.process().pid(), true},
                {"daemon sydney", secondary_.daemon.pid()},
                {"nats-server sydney", secondary_.nats.process().pid(), true}};
    }
    /// Of the secondary's connections to the primary's servers: what each site says to itself does
    /// not go over the wire.
    double wire_bytes() const override {
        const std::string nats_url = primary_.nats.url();
        const auto sockets =
            test::run({"ss", "-tinpHO", "state", "established",
                       "( dport = :" + nats_url.substr(nats_url.rfind(':') + 1) +
                           " or dport = :" + std::to_string(primary_.http_port) + " )"});
        double bytes = 0;
        std::istringstream lines(sockets.output);
        for (std::string line; std::getline(lines, line);) {
            if (line.find("pid=" + std::to_string(secondary_.daemon.pid()) + ",") ==
                std::string::npos) {
                continue;
            }
            for (const std::string word : {"bytes_sent:", "bytes_received:"}) {
                const size_t at = line.find(word);
                bytes += at == std::string::npos ? 0 : std::stod(line.substr(at + word.size()));
            }
        }
        return bytes;
    }

  private:
    mutable RepositoriesSite primary_;
    mutable RepositoriesSite secondary_;
};

}  // namespace

RepositoriesTool::RepositoriesTool(std::filesystem::path directory)
    : directory_(std::move(directory)) {
    std::filesystem::create_directories(source());
    std::filesystem::create_directories(mirror());
}

/// Nothing else uses this network.
double RepositoriesTool::wire_bytes() const {
    std::ifstream devices("/proc/self/net/dev");
    for (std::string line; std::getline(devices, line);) {
        const size_t colon = line.find("lo:");
        if (colon != std::string::npos) {
            return std::stod(line.substr(colon + 3));
        }
    }
    return 0;
}

std::unique_ptr<RepositoriesTool> make_repositories_tool(const std::string& name,
                                                         const std::filesystem::path& directory) {
    if (name == "none") {
        return std::make_unique<Nothing>(directory);
    }
    if (name == "rsync") {
        return std::make_unique<RsyncTool>(directory);
    }
    if (name == "antipode") {
        return std::make_unique<AntipodeSites>(directory);
    }
    return std::make_unique<HookTool>(directory, name == "fetch");
}

bool enter_own_network() {
    if (unshare(CLONE_NEWNET) != 0) {
        return false;
    }
    const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    request.ifr_name[0] = 'l';
    request.ifr_name[1] = 'o';
    request.ifr_flags = IFF_UP;
    const bool up = ioctl(any, SIOCSIFFLAGS, &request) == 0;
    close(any);
    return up;
}

}  // namespace antipode::bench
