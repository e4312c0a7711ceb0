#include "adapters/postgres/connection.hpp"
#include "tests/contract/lane_under_test.hpp"
#include "tests/support/database_lane.hpp"
#include "verify/database/table_digest.hpp"

namespace antipode::contract {
namespace {

class Database final : public LaneUnderTest {
  public:
    Database() : a_(servers().a), b_(servers().b) {
        make_anew(a_);
        make_anew(b_);
        on_a_.emplace(a_.url("app"), "application");
        on_b_.emplace(b_.url("app"), "reader");
        run("CREATE TABLE public.items (id int PRIMARY KEY, what text, size bigint); "
            "CREATE TABLE public.log (at bigserial, what text)");
    }

    const StoreId& store() const override { return test::store; }

    void change(Chance& chance) override {
        const std::string id = std::to_string(chance.below(20));
        const std::string text = "'" + std::to_string(chance.next()) + "'";
        const std::string insert = "INSERT INTO public.items VALUES (" + id + ", " + text +
                                   ") ON CONFLICT (id) DO UPDATE SET what = excluded.what;";
        const std::string log = "INSERT INTO public.log (what) VALUES (" + text + ");";
        switch (chance.below(9)) {
            case 0:
                run("DELETE FROM public.items WHERE id = " + id);
                return;
            case 1:
                run("UPDATE public.items SET size = coalesce(size, 0) + 1, what = repeat(" + text +
                    ", 500) WHERE id < " + id);
                return;
            case 2:
                run("DELETE FROM public.log WHERE at % 3 = 0; UPDATE public.log SET what = " +
                    text + " WHERE at % 5 = 0");
                return;
            case 3:
                run(chance.one_in(4) ? "TRUNCATE public.log" : insert + log);
                return;
            case 4:  // in several parts
                run("INSERT INTO public.log (what) SELECT i || repeat(" + text +
                    ", 40) FROM generate_series(1, 1500) i;"
                    "DELETE FROM public.log WHERE length(what) > 100 AND at % 2 = 0");
                return;
            default:
                run(insert + log);
        }
    }

    Digests digests_of_a() override { return digests(*on_a_); }
    Digests digests_of_b() override { return copied() ? digests(*on_b_) : Digests(); }

    void start_a(const primary::Inventory&) override {
        primary_.reset();
        primary_.emplace(a_);
    }
    void start_b() override {
        secondary_.reset();
        secondary_.emplace(b_);
    }
    primary::DatabaseCapture* database_capture() override { return &primary_->capture; }
    secondary::DatabaseApply* database_apply() override { return &secondary_->apply; }
    BulkHandler& bulk() override { return primary_->bulk; }

    std::string* carried(v1::Payload& payload) override {
        return payload.transaction().change_count() > 0
                   ? payload.mutable_transaction()->mutable_changes()
                   : nullptr;
    }

  private:
    struct Servers {
        test::TemporaryDirectory directory;
        test::PostgresServer a{directory / "a"};
        test::PostgresServer b{directory / "b"};
    };
    /// They are what takes long to make.
    static const Servers& servers() {
        static const Servers servers;
        return servers;
    }
    static void make_anew(const test::PostgresServer& server) {
        const bool done = test::eventually([&] {
            try {
                server.psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
                return true;
            } catch (const std::runtime_error&) {
                return false;  // the connection of the test before is just ending
            }
        });
        EXPECT_TRUE(done);
        server.psql("DROP DATABASE IF EXISTS app WITH (FORCE)");
        server.psql("CREATE DATABASE app");
    }

    void run(const std::string& sql) { on_a_->execute("changing the database", sql); }

    bool copied() const { return secondary_ && secondary_->apply.position().copied; }

    static Digests digests(postgres::Connection& connection) {
        Digests digests;
        for (const std::string table : {"items", "log"}) {
            digests[table] = verify::table_digest(connection, {"public", table}).digest.to_string();
        }
        return digests;
    }

    const test::PostgresServer& a_;
    const test::PostgresServer& b_;
    std::optional<postgres::Connection> on_a_;
    std::optional<postgres::Connection> on_b_;
    std::optional<test::Primary> primary_;
    mutable std::optional<test::Secondary> secondary_;
};

}  // namespace

std::unique_ptr<LaneUnderTest> make_database(const std::filesystem::path&) {
    return std::make_unique<Database>();
}

}  // namespace antipode::contract
