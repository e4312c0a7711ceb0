// The command-line interface for operators: reads the arguments, calls one command, turns errors
// into text and exit codes.
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "apps/antipode/change_primary.hpp"
#include "apps/antipode/compare_database.hpp"
#include "apps/antipode/completion.hpp"
#include "apps/antipode/config_command.hpp"
#include "apps/antipode/database.hpp"
#include "apps/antipode/database_skip.hpp"
#include "apps/antipode/deletions.hpp"
#include "apps/antipode/drill.hpp"
#include "apps/antipode/events.hpp"
#include "apps/antipode/help_commands.hpp"
#include "apps/antipode/history.hpp"
#include "apps/antipode/hooks.hpp"
#include "apps/antipode/item_list.hpp"
#include "apps/antipode/items.hpp"
#include "apps/antipode/limits.hpp"
#include "apps/antipode/manual.hpp"
#include "apps/antipode/monitoring.hpp"
#include "apps/antipode/notify.hpp"
#include "apps/antipode/operation.hpp"
#include "apps/antipode/pause.hpp"
#include "apps/antipode/quarantine.hpp"
#include "apps/antipode/rejoin.hpp"
#include "apps/antipode/row_stream.hpp"
#include "apps/antipode/shell.hpp"
#include "apps/antipode/site_commands.hpp"
#include "apps/antipode/status.hpp"
#include "apps/antipode/wait.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

constexpr int64_t most_lines = 1'000'000'000;

/// What the arguments say. Commands are set up with a function each; the last one that CLI11 saw
/// runs after everything is parsed.
class Program {
  public:
    Program() {
        change_.pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
        change_.read_line = [] {
            std::string line;
            std::getline(std::cin, line);
            return line;
        };
        operation_.pause = change_.pause;
        drill_.pause = change_.pause;
        drill_.read_line = change_.read_line;
        compare_.read_line = change_.read_line;
        deletions_.read_line = change_.read_line;
        sites_.edit.read_line = change_.read_line;
        compare_.pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(200)); };
        items_.pause = compare_.pause;
        pause_.pause = compare_.pause;
        deletions_.pause = compare_.pause;
        limits_.pause = compare_.pause;
        wait_.pause = compare_.pause;
        tail_.pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(500)); };
        add_commands();
    }

    int run(int count, char** arguments) {
        output_.format = format_asked_for(count, arguments);
        try {
            app_.parse(count, arguments);
        } catch (const CLI::Success& asked) {  // --help, --version
            return app_.exit(asked);
        } catch (const CLI::ParseError& error) {
            const CLI::App* used = &app_;
            while (!used->get_subcommands().empty()) {
                used = used->get_subcommands().front();
            }
            const std::string name = used == &app_ ? "antipode" : "antipode " + path_of(*used);
            const std::vector<std::string> unknown_words = app_.remaining(true);
            const std::string problem =
                unknown_words.empty()
                    ? error.what()
                    : "\"" + unknown_words.front() + "\" is no command or option of " + name;
            return name.starts_with("antipode check")
                       ? static_cast<int>(report_unchecked(output_, "CHECK", problem))
                       : report(output_, CommandError(ExitCode::Usage, problem, name + " --help"));
        }
        return run_command();
    }

  private:
    using Command = std::function<ExitCode()>;

    int run_command() {
        try {
            const Rows rows(output_.format, std::cout);
            return static_cast<int>(command_());
        } catch (const CommandError& error) {
            return report(output_, error);
        } catch (const Error& error) {
            const std::string next = error.next_step();
            return report(output_, CommandError(code_of(error), error.what(),
                                                next.empty() ? "antipode doctor" : next));
        } catch (const std::exception& error) {
            return report(output_, CommandError(ExitCode::Failed, error.what(), "antipode doctor"));
        }
    }

    Config config() const { return load_config(config_file_); }

    CLI::App* add(CLI::App& parent, const std::string& name, const std::string& help,
                  Command command) {
        CLI::App* const child = parent.add_subcommand(name, help);
        child->fallthrough();
        if (command) {
            child->callback([this, command = std::move(command)] { command_ = command; });
        } else {
            child->require_subcommand(1);
        }
        return child;
    }

    void add_commands() {
        app_.name("antipode");
        app_.require_subcommand(1);
        app_.set_version_flag("--version", std::string("antipode ") + ANTIPODE_VERSION,
                              "the same as antipode version");
        app_.add_option("--config", config_file_, "configuration file, also $ANTIPODE_CONFIG")
            ->capture_default_str();
        app_.add_option_function<std::string>(
                "-o,--output",
                [this](const std::string& format) { output_.format = format_of(format); },
                "table, wide, json, jsonl (a row a line) or csv")
            ->check(CLI::IsMember({"table", "wide", "json", "jsonl", "csv"}));
        add_seeing();
        add_sites(
            app_, [this](auto&&... with) { return add(with...); }, [this] { return config(); },
            clock_, output_, sites_);
        add_changes();
        add_items();
        add_monitoring(
            app_, [this](auto&&... with) { return add(with...); }, [this] { return config(); },
            output_, monitoring_);
        add_item_list();
        add_pauses();
        add_deletions();
        add_limits();
        add_wait();
        add_notify();
        add_hooks();
        add_database();
        add_helpers();
    }

    void add_compare(CLI::App& database) {
        CLI::App* const check =
            add(database, "check", "on a secondary: compares with the primary's database",
                [this] { return compare_database(config(), fetch_over_http, output_, compare_); });
        check->add_option("--store,STORE", compare_.store, "which, when there are several");
        check->add_option("--table", compare_.tables, "schema.table: only this one; repeatable")
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        check->add_flag("--mend", compare_.mend, "makes what differs as it is on the primary");
        check
            ->add_flag("--drop-extra", compare_.drop_extra,
                       "also what is only here and holds data: tables, columns, schemas, ...")
            ->needs("--mend")
            ->excludes("--table");
        check->add_option("--confirm", compare_.confirmed, "the site's name, instead of typing it");
        check->add_flag("--wait,!--no-wait", compare_.wait, "until it is done; the default");
        check->add_option("--timeout", compare_.timeout_seconds, "seconds to wait at most");
        check->add_flag("--cancel", compare_.take_back, "takes back what was asked for instead")
            ->excludes("--table", "--mend", "--timeout");
    }

    void add_seeing() {
        add(app_, "status", "sites, recovery point, and what holds it back", [this] {
            return show_status(config(), fetch_over_http, clock_, output_, site_);
        })->add_option("SITE", site_, "only this site");
        add(app_, "lag", "where each store's lag comes from", [this] {
            return show_lag(config(), fetch_over_http, output_, site_);
        })->add_option("SITE", site_, "asked instead of this one");
        CLI::App* const events = add(app_, "events", "what the daemon did lately", {});
        CLI::App* const tail = add(*events, "tail", "follows the events", [this] {
            return tail_events(config(), fetch_over_http, output_, tail_);
        });
        tail->add_option("--after", tail_.after, "begin behind this event");
        // Read as a signed number: an unsigned one would take "-3" for a very large one.
        tail->add_option_function<int64_t>(
                "-n,--lines", [this](int64_t lines) { tail_.lines = static_cast<size_t>(lines); },
                "begin with so many of the newest")
            ->check(CLI::Range(int64_t{0}, most_lines));
        tail->add_flag("!--no-follow", tail_.follow, "end when there is nothing more");
        add(*events, "show", "everything known of one event",
            [this] { return show_event(config(), fetch_over_http, output_, sequence_); })
            ->add_option("EVENT", sequence_, "its number")
            ->required();
    }

    void add_changes() {
        CLI::App* const preflight =
            add(app_, "preflight", "what stands in the way of another primary", [this] {
                return show_preflight(
                    config(), fetch_over_http, output_, change_.to,
                    failover_mode_ ? PreflightMode::Failover : PreflightMode::Switchover);
            });
        preflight->add_option("--to,SITE", change_.to, "that would be primary")->required();
        preflight
            ->add_option_function<std::string>(
                "--mode", [this](const std::string& mode) { failover_mode_ = mode == "failover"; },
                "switchover: the primary hands over; failover: it is off")
            ->check(CLI::IsMember({"switchover", "failover"}));
        CLI::App* const planned =
            add(app_, "switchover", "makes another site the primary, and loses nothing", [this] {
                const Config loaded = config();
                return switchover(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                                  change_);
            });
        planned->add_option("--to", change_.to, "the site to be primary")->required();
        planned->add_flag("--abort", change_.abort, "gives up one that runs");
        add_confirmation(*planned);
        CLI::App* const unplanned =
            add(app_, "promote", "makes a site the primary when the old one is off", [this] {
                const Config loaded = config();
                return promote(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                               change_);
            });
        unplanned->add_option("SITE", change_.to, "the site to be primary")->required();
        unplanned->add_option("--fenced-by", change_.fenced_by,
                              "how you know that the old primary takes no writes");
        unplanned->add_option("--accept-loss", change_.accepted_loss,
                              "60s: not when more of the last writes may be lost");
        add_confirmation(*unplanned, "does not answer for what may be lost: --confirm does");
        add_return();
        add_operations();
    }

    void add_operations() {
        add(app_, "history", "changes of the primary that the sites remember",
            [this] { return show_history(config(), fetch_over_http, output_); });
        CLI::App* const op = add(app_, "op", "changes of the primary, one by one", {});
        add(*op, "list", "all that the sites remember, and what came of them",
            [this] { return list_operations(config(), fetch_over_http, output_); });
        add(*op, "show", "each of its steps on each site", [this] {
            return show_operation(config(), fetch_over_http, output_, operation_.operation);
        })->add_option("OPERATION", operation_.operation, "default: the newest");
        const auto add_action = [&](const char* name, const char* help, auto action) {
            CLI::App* const command = add(*op, name, help, [this, action] {
                const Config loaded = config();
                return action(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                              operation_);
            });
            command->add_option("OPERATION", operation_.operation, "default: the one that runs");
            command->add_option("--timeout", operation_.timeout_seconds, "seconds to watch at most")
                ->check(CLI::NonNegativeNumber)
                ->capture_default_str();
        };
        add_action("wait", "until it is over", wait_for_operation);
        add_action("resume", "tries a step that has failed again at once, and waits",
                   resume_operation);
        add_action("abort", "gives it up, until the point of no return", abort_operation);
        add_drill();
    }

    void add_drill() {
        CLI::App* const command =
            add(app_, "drill", "a secondary rehearses its promotion; nothing is promoted", [this] {
                const Config loaded = config();
                return run_drill(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                                 drill_);
            });
        command->add_option("SITE", drill_.site, "default: this one");
        command->add_flag("--with-commands", drill_.with_commands,
                          "also runs its commands, which must heed ANTIPODE_REHEARSAL=1");
        command->add_option("--confirm", drill_.confirmed, "the site's name, instead of typing it");
        command->add_option("--timeout", drill_.timeout_seconds, "seconds to watch at most")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
    }

    void add_return() {
        CLI::App* const back =
            add(app_, "rejoin", "an old primary that was fenced follows the new one", [this] {
                const Config loaded = config();
                return rejoin(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                              change_);
            });
        back->add_option("SITE", change_.to, "that comes back; default: this one");
        back->add_flag("--without-unreadable", change_.without_unreadable,
                       "do not wait for what cannot be read there: it is given up, on record");
        add_confirmation(*back);
        CLI::App* const quarantine =
            add(app_, "quarantine", "what an old primary had and the new one never got", {});
        add(*quarantine, "list", "all of this site",
            [this] { return list_quarantines(config(), output_); });
        add(*quarantine, "show", "what is in one, and where", [this] {
            return show_quarantine(config(), output_, name_);
        })->add_option("OPERATION", name_, "the promotion's; default: the only one");
        CLI::App* const copy = add(*quarantine, "export", "copies one into a directory", [this] {
            return export_quarantine(config(), output_, *path_, name_);
        });
        copy->add_option("DIR", path_, "that is not there, or empty")->required();
        copy->add_option("OPERATION", name_, "the promotion's; default: the only one");
        CLI::App* const drop = add(*quarantine, "drop", "deletes one for good", [this] {
            return drop_quarantine(config(), fetch_over_http, output_, name_, change_);
        });
        drop->add_option("OPERATION", name_, "the promotion's")->required();
        drop->add_flag("--yes", change_.yes, "do not ask for one that is older than 30 days");
        drop->add_option("--confirm", change_.confirmed, "the operation, instead of typing it");
        CLI::App* const loss = add(app_, "loss", "what a promotion has lost", [this] {
            return show_loss(config(), fetch_over_http, output_, name_, site_);
        });
        loss->add_option("OPERATION", name_, "default: the newest promotion");
        loss->add_option("--site", site_, "default: this one");
    }

    void add_confirmation(CLI::App& command, const char* yes = "do not ask") {
        command.add_flag("--yes", change_.yes, yes);
        command.add_option("--confirm", change_.confirmed, "the site's name, instead of typing it");
        command.add_flag("--dry-run", change_.dry_run, "only say what would be done");
    }

    void add_items() {
        add(app_, "failures", "items of a site that failed, and why", [this] {
            return show_failures(config(), fetch_over_http, output_, site_);
        })->add_option("SITE", site_, "default: this one");
        CLI::App* const verify = add(
            app_, "verify", "reads content again and compares it with what was applied", [this] {
                const Config loaded = config();
                return verify_items(loaded, nats_buckets(loaded), fetch_over_http, clock_, output_,
                                    items_);
            });
        verify->add_option("STORE", items_.store, "blobs/uploads; default: all files and git");
        verify->add_option("ITEM", items_.items, "only these; of a database: schema.table");
        verify->add_flag("--wait,!--no-wait", items_.wait, "until it is done; the default");
        verify->add_option("--timeout", items_.timeout_seconds, "seconds to wait at most");
        CLI::App* const resync = add(app_, "resync", "has the primary send items again", [this] {
            const Config loaded = config();
            return resync_items(loaded, nats_buckets(loaded), clock_, output_, items_);
        });
        resync->add_option("ITEM", items_.items, "files or repositories");
        resync->add_option("--store", items_.store, "whose, when there are several");
        resync->add_flag("--failed", items_.failed, "what failed, now instead of later");
        resync->add_flag("--all", items_.all, "everything that is not here as on the primary");
        for (CLI::App* const command : {verify, resync}) {
            command->add_option("--site", items_.site, "default: this one");
        }
    }

    void add_item_list() {
        CLI::App* const list = add(app_, "items", "what a site knows of each item", [this] {
            const Config loaded = config();
            return list_items(loaded, fetch_with_token(loaded), clock_, output_, item_list_);
        });
        list->add_option("STORE|ITEM", item_list_.subject, "all of a store, or one item");
        list->add_option("--store", item_list_.store, "whose, when there are several");
        list->add_option("--prefix", item_list_.prefix, "of the items' names");
        list->add_flag("--failed", item_list_.failed, "only those that are not as they should be");
        list->add_flag("--differing", item_list_.differing, "only those with another content");
        list->add_option("--site", item_list_.site, "default: this one");
        list->add_option("-n,--most", item_list_.most, "of each store")
            ->check(CLI::Range(1, 1000))
            ->capture_default_str();
        list->add_option("--after", item_list_.after, "go on where an earlier answer ended");
    }

    void add_wait() {
        CLI::App* const wait =
            add(app_, "wait", "until a site has what was written on the primary", [this] {
                const Config loaded = config();
                return wait_for_site(loaded, fetch_with_token(loaded), clock_, output_, wait_);
            });
        wait->add_option("LSN|REPOSITORY|FILE", wait_.what, "only this; default: everything");
        wait->add_option("--site", wait_.site, "default: this one");
        wait->add_option("--store", wait_.store, "whose that is, when there are several");
        wait->add_option("--timeout", wait_.timeout_seconds, "seconds to wait at most");
    }

    void add_notify() {
        CLI::App* const command =
            add(app_, "notify", "on the primary: until what was written is durable in its stream",
                [this] { return notify(config(), post_to_socket, output_, notify_); });
        command->add_option("STORE", notify_.store, "blobs/uploads, repositories/git")->required();
        command->add_option("PATH", notify_.items, "below its root, or absolute")->required();
        command->add_option("--timeout", notify_.timeout_seconds, "seconds to wait at most")
            ->capture_default_str();
    }

    void add_pauses() {
        CLI::App* const pause =
            add(app_, "pause", "has a secondary apply nothing for a while", [this] {
                const Config loaded = config();
                return pause_site(loaded, nats_buckets(loaded), clock_, output_, pause_);
            });
        pause->add_option("--reason", pause_.reason, "what others are told")->required();
        pause->add_option("--for", pause_.lasts, "how long: 30m, 2h, 7d")->capture_default_str();
        CLI::App* const resume = add(app_, "resume", "ends a pause", [this] {
            const Config loaded = config();
            return resume_site(loaded, nats_buckets(loaded), clock_, output_, pause_);
        });
        for (CLI::App* const command : {pause, resume}) {
            command->add_option("STORE", pause_.store, "blobs/uploads; default: all");
            command->add_option("--site", pause_.site, "default: this one");
        }
    }

    void add_limits() {
        CLI::App* const limits =
            add(app_, "limits", "of bandwidth and concurrency, as they run", {});
        limits->require_subcommand(0, 1);
        const Command show = [this] {
            return show_limits(config(), fetch_over_http, output_, limits_);
        };
        limits->callback([this, limits, show] {
            if (limits->get_subcommands().empty()) {
                command_ = show;
            }
        });
        limits->add_option("--site", limits_.site, "default: this one");
        add(*limits, "show", "what counts, what is configured, who changed it", show);
        add(*limits, "set", "changes them while the daemon runs; kept over restarts",
            [this] {
                const Config loaded = config();
                return set_limits(loaded, nats_buckets(loaded), clock_, output_, limits_);
            })
            ->add_option("NAME=VALUE", limits_.values, "20M, none, default: as it is configured")
            ->required();
    }

    void add_deletions() {
        CLI::App* const deletions =
            add(app_, "deletions", "that the primary holds, so many at once may be a mistake", {});
        deletions->require_subcommand(0, 1);
        deletions->callback([this, deletions] {
            if (deletions->get_subcommands().empty()) {
                command_ = [this] {
                    return show_deletions(config(), fetch_over_http, output_, deletions_);
                };
            }
        });
        deletions->add_option("--site", deletions_.site, "default: the primary");
        CLI::App* const release =
            add(*deletions, "release", "they are meant: secondaries delete, too", [this] {
                const Config loaded = config();
                return release_deletions(loaded, nats_buckets(loaded), fetch_over_http, clock_,
                                         output_, deletions_);
            });
        CLI::App* const discard =
            add(*deletions, "discard", "secondaries keep what is gone on the primary", [this] {
                const Config loaded = config();
                return discard_deletions(loaded, nats_buckets(loaded), fetch_over_http, clock_,
                                         output_, deletions_);
            });
        for (CLI::App* const command : {release, discard}) {
            command->add_option("STORE", deletions_.store, "blobs/uploads")->required();
            command->add_flag("--yes", deletions_.yes, "do not ask");
            command->add_option("--confirm", deletions_.confirmed,
                                "the store's name, instead of typing it");
        }
    }

    void add_hooks() {
        CLI::App* const hooks = add(app_, "hooks", "the git hooks that notice pushes at once", {});
        const auto add_action = [&](const std::string& name, const std::string& help,
                                    HooksAction action) {
            CLI::App* const command = add(*hooks, name, help, [this, action] {
                const Config loaded = config();
                return template_ ? install_hook_template(loaded, output_, *template_, path_)
                                 : run_hooks(loaded, nats_buckets(loaded), output_, action, path_);
            });
            command->add_option("ROOT|REPO", path_, "only these; default: all roots configured");
            return command;
        };
        add_action("install", "in every repository that has none yet", HooksAction::Install)
            ->add_option("--template", template_, "into this git template directory instead");
        add_action("status", "where they are, and where not", HooksAction::Status);
        add_action("remove", "puts back what was there before", HooksAction::Remove);
    }

    void add_database() {
        CLI::App* const database = add(app_, "database", "a store's PostgreSQL", {});
        CLI::App* const setup =
            add(*database, "setup", "what a superuser does once on each site", [this] {
                const Config loaded = config();
                return setup_database(loaded, nats_buckets(loaded), output_, setup_);
            });
        setup->add_option("--as", setup_.role, "primary or secondary; default: this site's role")
            ->check(CLI::IsMember({"primary", "secondary"}));
        setup->add_option("--owner", setup_.owners,
                          "on a secondary: a role that owns something on the primary");
        setup->add_option("--store", setup_.store, "which, when there are several");
        setup->add_option("--url", setup_.url, "as a superuser; default: the store's own url");
        CLI::App* const skip =
            add(*database, "skip", "leaves out the transaction at which apply stands stopped",
                [this] { return skip_transaction(config(), output_, skip_); });
        skip->add_option("--lsn", skip_.lsn, "of the transaction, as status says it")->required();
        skip->add_option("--table", skip_.table, "schema.table: only its changes");
        skip->add_option("--store", skip_.store, "which, when there are several");
        skip->add_flag("!--no-repair", skip_.repair, "do not copy its tables again");
        skip->add_flag("--yes", skip_.yes, "it is decided");
        add(*database, "skipped", "what was left out, by whom and why", [this] {
            return list_skipped(config(), output_, skip_.store);
        })->add_option("--store", skip_.store, "which, when there are several");
        add_compare(*database);
        setup->add_flag("--dry-run", setup_.dry_run, "only print the SQL");
        add(*database, "new-slot", "on the primary, when its replication slot is gone", [this] {
            const Config loaded = config();
            return make_new_slot(loaded, nats_buckets(loaded), output_, store_);
        })->add_option("--store", store_, "which, when there are several");
    }

    void add_helpers() {
        add_help(
            app_, [this](auto&&... with) { return add(with...); }, [this] { return config(); },
            clock_, output_, help_);
        CLI::App* const config = add(app_, "config", "the configuration file", {});
        add(*config, "check", "is it valid?",
            [this] { return check_config(config_file_, output_); });
        add(*config, "show", "everything in force, defaults included",
            [this] { return show_config(config_file_, output_); });
        add(app_, "version", "of this program", [this] {
            if (output_.json()) {
                output_.out << R"({"schema":"antipode.version/1","version":")" << ANTIPODE_VERSION
                            << "\"}\n";
            } else {
                output_.out << "antipode " << ANTIPODE_VERSION << "\n";
            }
            return ExitCode::Ok;
        });
        add(app_, "manual", "prints the manual page antipode(1)", [this] {
            output_.out << manual_page(app_, ANTIPODE_VERSION);
            return ExitCode::Ok;
        });
        add(app_, "completion", "prints a script that completes commands",
            [this] {
                output_.out << bash_completion(app_);
                return ExitCode::Ok;
            })
            ->add_option("SHELL", name_, "bash")
            ->required()
            ->check(CLI::IsMember({"bash"}));
    }

    CLI::App app_{"Antipode keeps mirror sites of git repositories, files and PostgreSQL."};
    Command command_;
    SystemClock clock_;
    Output output_{std::cout, std::cerr, Format::Table, wants_colour(), is_live()};
    std::string config_file_ = default_config();
    std::optional<std::string> site_;
    std::optional<std::string> path_;
    std::optional<std::string> template_;
    std::string name_;
    uint64_t sequence_ = 0;
    TailOptions tail_;
    DatabaseSetupOptions setup_;
    SkipOptions skip_;
    CompareOptions compare_;
    ItemsOptions items_;
    ItemListOptions item_list_;
    PauseOptions pause_;
    DeletionsOptions deletions_;
    LimitsOptions limits_;
    WaitOptions wait_;
    NotifyOptions notify_;
    MonitoringOptions monitoring_;
    SitesOptions sites_{config_file_, {}, {}};
    HelpOptions help_{config_file_, ANTIPODE_VERSION, {}};
    std::optional<std::string> store_;
    ChangeOptions change_;
    OperationOptions operation_;
    DrillOptions drill_;
    bool failover_mode_ = false;
};

}  // namespace
}  // namespace antipode::cli

int main(int count, char** arguments) {
    return antipode::cli::Program().run(count, arguments);
}
