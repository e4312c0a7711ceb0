#include "apps/antipoded/endpoints.hpp"

#include <fstream>

#include <sys/stat.h>

#include "base/error.hpp"
#include "protocol/message.hpp"

namespace antipode {

nats::Endpoint own_endpoint(const Config& config, const std::string& purpose) {
    return {config.nats.url, config.nats.credentials_file,
            "antipoded " + config.site + " " + purpose};
}

nats::Endpoint endpoint_of(const Config& config, const std::string& site,
                           const std::string& purpose) {
    if (site == config.site) {
        return own_endpoint(config, purpose);
    }
    const Config::Site* const found = config.find_site(site);
    if (found == nullptr) {
        throw Error(Reaction::Stop,
                    "the epoch record names the site \"" + site +
                        "\", which the configuration does not know",
                    "add a [[sites]] entry for it");
    }
    return {found->nats, config.nats.credentials_file, "antipoded " + config.site + " " + purpose};
}

nats::Endpoint witness_endpoint(const Config& config, const std::string& purpose) {
    return {config.witness->nats, config.witness->credentials_file,
            "antipoded " + config.site + " " + purpose};
}

nats::JetStream::Options own_stream(const Config& config, uint64_t epoch, bool primary,
                                    const std::string& purpose) {
    return {.endpoint = own_endpoint(config, purpose),
            .name = protocol::stream_name(config.cluster, epoch),
            .subjects = protocol::all_subjects(config.cluster, epoch),
            .create = true,
            .max_bytes = config.nats.stream_max_bytes,
            .drop_oldest_when_full = primary,
            .store_dir = config.nats.store_dir};
}

nats::JetStream::Options stream_of(const Config& config, const std::string& site, uint64_t epoch,
                                   const std::string& purpose) {
    return {.endpoint = endpoint_of(config, site, purpose),
            .name = protocol::stream_name(config.cluster, epoch),
            .subjects = protocol::all_subjects(config.cluster, epoch),
            .create = false,
            .max_bytes = 0,
            .drop_oldest_when_full = false,
            .store_dir = {}};
}

std::string read_token(const Config& config) {
    const auto& file = config.http.token_file;
    if (file.empty()) {
        return {};
    }
    struct stat stat {};
    std::ifstream stream(file);
    std::string token;
    if (::stat(file.c_str(), &stat) != 0 || !(stream >> token)) {
        throw Error(Reaction::Stop, "cannot read the token in " + file.string(),
                    "write one line into it, the same on every site");
    }
    if ((stat.st_mode & 077) != 0) {
        throw Error(Reaction::Stop, "others may read the token in " + file.string(),
                    "chmod 600 " + file.string());
    }
    return token;
}

std::string url_of(const Config& config, const std::string& site) {
    const Config::Site* const found = config.find_site(site);
    if (found == nullptr) {
        throw Error(Reaction::Stop, "the configuration does not know the primary \"" + site + "\"",
                    "add a [[sites]] entry for it");
    }
    return found->http;
}

}  // namespace antipode
