#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

/// `antipode debug bundle`: what somebody else needs to see to help, in one tar archive. Passwords,
/// tokens and keys are not in it: what the configuration calls secret is taken out wherever it
/// stands, and so is what looks like a password in an address. Names are: of tables, repositories,
/// files.
namespace antipode::cli {

/// One file of the archive. What `read` throws becomes its text.
struct BundlePart {
    std::string name;
    std::function<std::string()> read;
};

struct BundleOptions {
    std::filesystem::path config_file;
    std::filesystem::path file;  ///< to be made; empty: antipode-debug-SITE-TIME.tar here
    std::string version;
};

/// What a configuration keeps secret: passwords in its addresses, and what its files of tokens and
/// keys hold. Files that cannot be read are of no danger.
std::set<std::string> secrets_of(const Config& config);
/// `text` without any of them, and without what looks like a password in an address.
std::string without_secrets(std::string text, const std::set<std::string>& secrets);

/// Everything that is looked at: this machine, its daemon, the other sites' daemons. `more`: of the
/// caller, who knows how to look for it.
std::vector<BundlePart> bundle_parts(const Config& config, const Fetch& fetch,
                                     const BundleOptions& options,
                                     std::vector<BundlePart> more = {});

/// Writes the archive, which only its owner may read. Throws CommandError: Conflict when the file
/// is there, Failed when it cannot be written.
ExitCode write_bundle(const Config& config, const Clock& clock, const Output& output,
                      const BundleOptions& options, const std::vector<BundlePart>& parts);

}  // namespace antipode::cli
