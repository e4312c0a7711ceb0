#include "tests/support/s3_server.hpp"

#include <sstream>
#include <stdexcept>

#include "base/digest.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

constexpr const char* key = "AKIDEXAMPLE";
constexpr const char* secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

std::string escaped(const std::string& text) {
    const std::string hex = to_hex(text);
    std::string out;
    for (size_t i = 0; i < hex.size(); i += 2) {
        out += "%" + hex.substr(i, 2);
    }
    return out;
}

/// "name<TAB>value" lines.
std::map<std::string, std::string> pairs(const std::string& text) {
    std::map<std::string, std::string> all;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const size_t tab = line.find('\t');
        all[line.substr(0, tab)] = line.substr(tab + 1);
    }
    return all;
}

}  // namespace

S3Server::S3Server(const std::filesystem::path& directory, Options options)
    : credentials_(directory / "credentials"), tls_(options.tls), port_(free_port()) {
    std::filesystem::create_directories(directory);
    write_file(credentials_,
               std::string("access_key_id = ") + key + "\nsecret_access_key = " + secret + "\n");
    std::filesystem::permissions(credentials_, std::filesystem::perms(0600));
    std::vector<std::string> command = {"python3",  ANTIPODE_S3_STUB,
                                        "--bucket", bucket(),
                                        "--key",    key,
                                        "--secret", secret,
                                        "--page",   std::to_string(options.page),
                                        "--region", options.region,
                                        "--port",   std::to_string(port_)};
    if (tls_) {
        const std::string file = (directory / "certificate").string();
        must_run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                  file + ".key", "-out", file, "-subj", "/CN=127.0.0.1", "-addext",
                  "subjectAltName=IP:127.0.0.1"});
        write_file(file, read_file(file) + read_file(file + ".key"));
        command.insert(command.end(), {"--tls", file});
    }
    process_ =
        Process(command, {.log = directory / "s3_stub.log", .directory = {}, .environment = {}});
    const bool answers = eventually([&] {
        return run({"curl", "-kfsS", endpoint() + "/_control/faults"}).status == 0;
    });
    if (!answers) {
        throw std::runtime_error("the S3 stub does not answer: " +
                                 read_file(directory / "s3_stub.log"));
    }
}

std::string S3Server::control(const std::string& method, const std::string& path,
                              const std::string& body) const {
    return must_run({"curl", "-kfsS", "-X", method, "--data-binary", "@-", "-H",
                     "Expect:", endpoint() + "/_control/" + path},
                    body);
}

void S3Server::put(const std::string& name, const std::string& bytes,
                   std::optional<int64_t> modified_seconds) {
    control("PUT",
            "objects?key=" + escaped(name) +
                (modified_seconds ? "&modified=" + std::to_string(*modified_seconds) : ""),
            bytes);
}

void S3Server::remove(const std::string& name) {
    control("DELETE", "objects?key=" + escaped(name));
}

void S3Server::remove_all() {
    control("DELETE", "objects");
}

void S3Server::set_exists(bool exists) {
    control("POST", std::string("bucket?exists=") + (exists ? "1" : "0"));
}

std::map<std::string, std::string> S3Server::objects() const {
    return pairs(
        must_run({"jq", "-r", R"jq(to_entries[] | "\(.key)\t\(.value.sha256) \(.value.size)")jq"},
                 control("GET", "objects")));
}

std::string S3Server::object(const std::string& filter) const {
    return must_run({"jq", "-r", filter}, control("GET", "objects"));
}

std::pair<int, int> S3Server::uploads() const {
    const std::string text =
        must_run({"jq", "-r", "\"\\(length) \\([.[][1]] | add // 0)\""}, control("GET", "uploads"));
    return {std::stoi(text), std::stoi(text.substr(text.find(' ')))};
}

void S3Server::add_fault(const std::string& fault) {
    control("POST", "fault", fault);
}

int S3Server::faults_left() const {
    return std::stoi(must_run({"jq", "length"}, control("GET", "faults")));
}

void S3Server::set_hold(bool hold) {
    control("POST", std::string("release?hold=") + (hold ? "1" : "0"));
}

int S3Server::held() const {
    return std::stoi(control("GET", "held"));
}

std::map<std::string, int> S3Server::requests() {
    std::map<std::string, int> counts;
    for (const auto& [kind, count] :
         pairs(must_run({"jq", "-r", R"jq(to_entries[] | "\(.key)\t\(.value)")jq"},
                        control("GET", "requests")))) {
        counts[kind] = std::stoi(count);
    }
    control("DELETE", "requests");
    return counts;
}

void S3Server::set_webhook(const std::string& url, const std::string& token) {
    control("POST", "webhook", "{\"url\": \"" + url + "\", \"token\": \"" + token + "\"}");
}

std::string bucket_store(const S3Server& server, const std::string& name,
                         const std::string& prefix) {
    return "[[blobs]]\nname = \"" + name + "\"\ntype = \"s3\"\nendpoint = \"" + server.endpoint() +
           "\"\nbucket = \"" + S3Server::bucket() + "\"\nprefix = \"" + prefix +
           "\"\ncredentials_file = \"" + server.credentials_file().string() + "\"\n";
}

}  // namespace antipode::test
