#include "apps/antipode/help_commands.hpp"

#include <sstream>

#include <CLI/CLI.hpp>

#include "apps/antipode/debug_bundle.hpp"
#include "apps/antipode/doctor.hpp"
#include "apps/antipode/hooks.hpp"
#include "apps/antipode/nats_greeting.hpp"
#include "apps/antipode/shell.hpp"
#include "apps/antipode/sites.hpp"

namespace antipode::cli {
namespace {

std::vector<Check> all_checks(const Config& config, const Clock& clock) {
    std::vector<Check> checks = local_checks();
    for (Check& check : server_checks(fetch_over_http, greet_nats, clock)) {
        checks.push_back(std::move(check));
    }
    checks.push_back(database_check(look_at_database, nats_buckets(config)));
    checks.push_back(bucket_check(clock));
    checks.push_back(replica_check(look_at_replica, look_at_fence, nats_buckets(config)));
    checks.push_back(hooks_check(nats_buckets(config)));
    return checks;
}

/// What a command would print.
template <typename Use>
std::string printed(Use use) {
    std::ostringstream out;
    use(Output{out, out, Format::Json, false});
    return out.str();
}

ExitCode bundle(const Config& config, const Clock& clock, const Output& output,
                const HelpOptions& help) {
    const BundleOptions options{help.config_file, help.bundle, help.version};
    const auto parts = bundle_parts(config, fetch_over_http, options,
                                    {{"doctor.json",
                                      [&] {
                                          return printed([&](const Output& to) {
                                              run_doctor(config, all_checks(config, clock), to);
                                          });
                                      }},
                                     {"sites.json", [&] {
                                          return printed([&](const Output& to) {
                                              list_sites(config, nats_buckets(config), to);
                                          });
                                      }}});
    return write_bundle(config, clock, output, options, parts);
}

}  // namespace

void add_help(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
              const Clock& clock, const Output& output, HelpOptions& options) {
    add(app, "doctor", "looks for what is wrong, with the remedy", [=, &clock, &output] {
        const Config loaded = config();
        return run_doctor(loaded, all_checks(loaded, clock), output);
    });
    CLI::App* const debug = add(app, "debug", "for whoever is asked to help", {});
    add(*debug, "bundle", "status, events, settings, metrics in one archive, without secrets",
        [=, &clock, &output, &options] { return bundle(config(), clock, output, options); })
        ->add_option("--file", options.bundle, "to be made; default: antipode-debug-... here");
}

}  // namespace antipode::cli
