#include "bench/database_pair.hpp"

#include <stdexcept>

#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

const test::PostgresServer::Options server_options = {
    .fsync = true,
    .settings = {{"shared_buffers", "256MB"},
                 {"max_wal_size", "8GB"},
                 {"checkpoint_timeout", "30min"},
                 {"log_min_messages", "warning"}}};

class NativePair : public Pair {
  public:
    NativePair()
        : source_(directory_ / "source", server_options),
          mirror_(directory_ / "mirror", server_options) {
        source_.psql("CREATE DATABASE app");
        mirror_.psql("CREATE DATABASE app");
    }
    std::string name() const override { return "native"; }
    test::PostgresServer& source() override { return source_; }
    test::PostgresServer& mirror() override { return mirror_; }
    void connect() override {
        mirror_.psql(source_.dump("app", {"--schema-only"}), "app");
        source_.psql("CREATE PUBLICATION bench FOR ALL TABLES", "app");
        mirror_.psql(
            "CREATE SUBSCRIPTION bench CONNECTION '" + source_.url("app") + "' PUBLICATION bench",
            "app");
    }
    void halt() override { mirror_.psql("ALTER SUBSCRIPTION bench DISABLE", "app"); }
    void resume() override { mirror_.psql("ALTER SUBSCRIPTION bench ENABLE", "app"); }

  private:
    test::TemporaryDirectory directory_;
    test::PostgresServer source_;
    test::PostgresServer mirror_;
};

class AntipodePair : public Pair {
  public:
    AntipodePair()
        : london_(directory_.path(), "london", server_options),
          sydney_(directory_.path(), "sydney", server_options) {
        london_.configure({&london_, &sydney_});
        sydney_.configure({&london_, &sydney_});
        const auto init = london_.antipode({"sites", "init", "--primary", "london"});
        if (init.status != 0) {
            throw std::runtime_error("antipode sites init: " + init.error);
        }
    }
    std::string name() const override { return "antipode"; }
    test::PostgresServer& source() override { return london_.postgres; }
    test::PostgresServer& mirror() override { return sydney_.postgres; }
    void connect() override { resume(); }
    void halt() override {
        sydney_.daemon().stop();
        london_.daemon().stop();
    }
    void resume() override {
        london_.start();
        sydney_.start();
    }
    std::vector<Daemon> daemons() override {
        return {{"the primary's daemon", london_.daemon().pid()},
                {"the secondary's daemon", sydney_.daemon().pid()}};
    }

  private:
    test::TemporaryDirectory directory_;
    test::Site london_;
    test::Site sydney_;
};

}  // namespace

std::unique_ptr<Pair> native_pair() {
    return std::make_unique<NativePair>();
}
std::unique_ptr<Pair> antipode_pair() {
    return std::make_unique<AntipodePair>();
}

}  // namespace antipode::bench
