#include "bench/repositories_tool.hpp"

#include <sstream>
#include <stdexcept>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tests/support/git_program.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr std::chrono::minutes patience(30);
/// Servers that are not on loopback need one.
constexpr const char* token = "5f1d0c9e8a7b6c5d4e3f2a1b0c9d8e7f";

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
    HookTool(Ground ground, bool fetches)
        : RepositoriesTool(std::move(ground)), fetches_(fetches), port_(test::free_port()) {
        const std::vector<std::string> command = {"git",
                                                  "daemon",
                                                  "--export-all",
                                                  "--enable=receive-pack",
                                                  "--reuseaddr",
                                                  "--listen=" + host(),
                                                  "--port=" + std::to_string(port_),
                                                  "--base-path=" + directory_.string(),
                                                  directory_.string()};
        daemon_ = test::Process(fetches_ ? command : ground_.on_mirror(command), {});
    }
    std::string name() const override { return fetches_ ? "fetch" : "push"; }
    void copy(const RepositoriesLoad& load) override {
        for (size_t i = 0; i < load.repositories(); ++i) {
            const std::string repository = RepositoriesLoad::name(i);
            wait_until("git clone", [&] {
                return test::run(
                           calling({"git", "clone", "--quiet", "--mirror",
                                    url("source", repository), (mirror() / repository).string()}))
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
    /// Who answers; the other calls.
    std::string host() const { return fetches_ ? ground_.primary_host() : ground_.mirror_host(); }
    std::string url(const std::string& root, const std::string& repository) const {
        return "git://" + host() + ":" + std::to_string(port_) + "/" + root + "/" + repository;
    }
    std::vector<std::string> calling(const std::vector<std::string>& command) const {
        return fetches_ ? ground_.on_mirror(command) : command;
    }
    std::string command(const std::string& repository) const {
        std::string before;
        for (const std::string& word : calling({})) {
            before += word + " ";
        }
        return before + (fetches_ ? "git --git-dir=" + (mirror() / repository).string() +
                                        " fetch --quiet --prune " + url("source", repository) +
                                        " '+refs/*:refs/*'"
                                  : "git --git-dir=" + (source() / repository).string() +
                                        " push --quiet --mirror " + url("mirror", repository));
    }
    const bool fetches_;
    const int port_;
    test::Process daemon_;
};

class RsyncTool final : public RepositoriesTool {
  public:
    explicit RsyncTool(Ground ground)
        : RepositoriesTool(std::move(ground)), port_(test::free_port()) {
        test::write_file(directory_ / "rsyncd.conf",
                         "use chroot = no\n[source]\npath = " + source().string() +
                             "\nread only = yes\nuid = " + std::to_string(getuid()) +
                             "\ngid = " + std::to_string(getgid()) + "\n");
        daemon_ =
            test::Process({"rsync", "--daemon", "--no-detach",
                           "--address=" + ground_.primary_host(), "--port=" + std::to_string(port_),
                           "--config=" + (directory_ / "rsyncd.conf").string()},
                          {});
    }
    std::string name() const override { return "rsync"; }
    void copy(const RepositoriesLoad& load) override {
        wait_until("rsync", [&] {
            return test::run(ground_.on_mirror({"sh", "-c", command()})).status == 0;
        });
        resume(load);
    }
    void pause() override { loop_.stop(); }
    void resume(const RepositoriesLoad&) override {
        loop_ = test::Process(
            ground_.on_mirror(
                {"sh", "-c", "trap 'exit 0' TERM; while :; do " + command() + "; done"}),
            {});
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
        return "rsync -a -@-1 --delete rsync://" + ground_.primary_host() + ":" +
               std::to_string(port_) + "/source/ " + mirror().string() + "/";
    }
    const int port_;
    test::Process daemon_;
    test::Process loop_;
};

/// A site with nothing but a root of repositories.
class RepositoriesSite {
  public:
    /// `before`: words before its commands.
    RepositoriesSite(std::filesystem::path directory, std::string name, std::filesystem::path root,
                     std::string host, std::vector<std::string> before)
        : host_(std::move(host)),
          before_(std::move(before)),
          http_port(test::free_port()),
          nats(directory / "nats", host_, before_),
          directory_(std::move(directory)),
          name_(std::move(name)),
          root_(std::move(root)) {}

    void configure(const std::vector<const RepositoriesSite*>& sites) {
        std::ostringstream text;
        text << "cluster = \"bench\"\nsite = \"" << name_ << "\"\nstate_dir = \""
             << (directory_ / "state").string() << "\"\n";
        for (const RepositoriesSite* site : sites) {
            text << "[[sites]]\nname = \"" << site->name_ << "\"\nnats = \"" << site->nats.url()
                 << "\"\nhttp = \"" << site->http() << "\"\n";
        }
        text << "[nats]\nstore_dir = \"" << (directory_ / "nats").string() << "\"\n[http]\n"
             << "listen = \"" << host_ << ":" << http_port << "\"\ntoken_file = \""
             << (directory_ / "token").string() << "\"\n"
             << "[[repositories]]\nname = \"git\"\nroot = \"" << root_.string() << "\"\n";
        test::write_file(config(), text.str());
        test::write_file(directory_ / "token", token);
        std::filesystem::permissions(directory_ / "token", std::filesystem::perms(0600));
    }
    void antipode(const std::string& arguments) const {
        test::must_run(
            {"sh", "-c",
             std::string(ANTIPODE) + " --config " + config().string() + " " + arguments});
    }
    void start() {
        std::vector<std::string> command = before_;
        command.insert(command.end(), {ANTIPODED, "--config", config().string()});
        daemon = test::Process(command, {.log = directory_ / "antipoded.log",
                                         .directory = {},
                                         .environment = {},
                                         .as_unprivileged_user = false});
    }
    /// The store's items that are here with the primary's digest, and those of them whose objects
    /// were read.
    struct Items {
        size_t here = 0;
        size_t verified = 0;
    };
    Items items() const {
        const auto answer =
            test::run({"curl", "-sf", "-H", std::string("Authorization: Bearer ") + token,
                       http() + "/v1/status"});
        if (answer.status != 0) {
            return {};
        }
        const auto status = nlohmann::json::parse(answer.output);
        for (const auto& store : status["stores"]) {
            if (store["verified"].is_number() && store["waiting"] == 0) {
                const auto verified = store["verified"].get<size_t>();
                return {verified + store["content_check"].value("unproven", size_t{0}), verified};
            }
        }
        return {};
    }

  private:
    std::string http() const { return "http://" + host_ + ":" + std::to_string(http_port); }
    const std::string host_;
    const std::vector<std::string> before_;

  public:
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
    explicit AntipodeSites(Ground ground)
        : RepositoriesTool(std::move(ground)),
          primary_(directory_ / "london", "london", source(), ground_.primary_host(), {}),
          secondary_(directory_ / "sydney", "sydney", mirror(), ground_.mirror_host(),
                     ground_.on_mirror({})) {
        primary_.configure({&primary_, &secondary_});
        secondary_.configure({&primary_, &secondary_});
        primary_.antipode("sites init --primary london");
    }
    std::string name() const override { return "antipode"; }
    void copy(const RepositoriesLoad& load) override {
        primary_.antipode("hooks install");
        primary_.start();
        secondary_.start();
        await([&] { return secondary_.items().here >= load.repositories(); });
    }
    void prove(const RepositoriesLoad& load) override {
        await([&] { return secondary_.items().verified >= load.repositories(); });
    }
    void pause() override { secondary_.daemon.stop(std::chrono::seconds(60)); }
    void resume(const RepositoriesLoad&) override { secondary_.start(); }
    std::vector<BlobsTool::Running> processes() const override {
        return {{"daemon london", primary_.daemon.pid()},
                {"nats-server london", primary_.nats.process().pid(), true},
                {"daemon sydney", secondary_.daemon.pid()},
                {"nats-server sydney", secondary_.nats.process().pid(), true}};
    }

  private:
    /// Asking costs CPU: twenty times a second, not two hundred times.
    static void await(const std::function<bool()>& condition) {
        wait_until("the secondary has everything", [&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            return condition();
        });
    }
    mutable RepositoriesSite primary_;
    mutable RepositoriesSite secondary_;
};

}  // namespace

std::vector<std::string> Ground::on_mirror(const std::vector<std::string>& command) const {
    std::vector<std::string> words = wire ? wire->on_mirror() : std::vector<std::string>();
    words.insert(words.end(), command.begin(), command.end());
    return words;
}

RepositoriesTool::RepositoriesTool(Ground ground) : ground_(std::move(ground)) {
    std::filesystem::create_directories(source());
    std::filesystem::create_directories(mirror());
}

std::unique_ptr<RepositoriesTool> make_repositories_tool(const std::string& name, Ground ground) {
    if (name == "none") {
        return std::make_unique<Nothing>(std::move(ground));
    }
    if (name == "rsync") {
        return std::make_unique<RsyncTool>(std::move(ground));
    }
    if (name == "antipode") {
        return std::make_unique<AntipodeSites>(std::move(ground));
    }
    return std::make_unique<HookTool>(std::move(ground), name == "fetch");
}

}  // namespace antipode::bench
