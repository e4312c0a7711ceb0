#include "apps/antipode/site_commands.hpp"

#include <CLI/CLI.hpp>

#include "apps/antipode/config_command.hpp"
#include "apps/antipode/shell.hpp"

namespace antipode::cli {
namespace {

void add_editing(CLI::App& sites, const AddCommand& add, const std::function<Config()>& config,
                 const Output& output, SitesOptions& options) {
    CLI::App* const more =
        add(sites, "add", "one more in this machine's configuration", [=, &output, &options] {
            return add_site(options.config_file, nats_buckets(config()), output, options.edit);
        });
    more->add_option("SITE", options.edit.site.name, "its name")->required();
    more->add_option("--nats", options.edit.site.nats, "URL of its nats-server")->required();
    more->add_option("--http", options.edit.site.http, "URL of its antipoded")->required();
    CLI::App* const less = add(
        sites, "remove", "takes one out of this machine's configuration", [=, &output, &options] {
            return remove_site(options.config_file, nats_buckets(config()), output, options.edit);
        });
    less->add_option("SITE", options.edit.name, "its name")->required();
    less->add_flag("--yes", options.edit.yes, "do not ask");
    less->add_option("--confirm", options.edit.confirmed, "the site's name, instead of typing it");
    for (CLI::App* const command : {more, less}) {
        command->add_flag("--dry-run", options.edit.dry_run, "only print what the file would be");
    }
}

}  // namespace

void add_sites(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
               const Clock& clock, const Output& output, SitesOptions& options) {
    CLI::App* const sites = add(app, "sites", "the cluster's sites, and who is primary", {});
    add(*sites, "list", "all sites", [=, &output] {
        const Config loaded = config();
        return list_sites(loaded, nats_buckets(loaded), output);
    });
    add(*sites, "show", "one site",
        [=, &output, &options] {
            const Config loaded = config();
            return show_site(loaded, nats_buckets(loaded), fetch_over_http, output, options.name);
        })
        ->add_option("SITE", options.name)
        ->required();
    add(*sites, "init", "names the primary, once in a cluster's life",
        [=, &clock, &output, &options] {
            const Config loaded = config();
            return init_sites(loaded, nats_buckets(loaded), clock, output, options.name);
        })
        ->add_option("--primary", options.name, "the site that serves writes")
        ->required();
    add_editing(*sites, add, config, output, options);
}

}  // namespace antipode::cli
