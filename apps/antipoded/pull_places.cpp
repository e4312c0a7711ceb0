#include "apps/antipoded/pull_places.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "protocol/contents.hpp"
#include "protocol/lengths.hpp"

namespace antipode {
namespace {

constexpr std::chrono::minutes counts_for(1);
/// A site is promoted because its primary is lost, most likely: waiting for each content that
/// nobody else has until a connection cannot be made would hold up the promotion.
constexpr std::chrono::seconds silent_for(30);

/// Databases and repositories have nothing of this kind that would be the same on all sites.
bool is_of_files(const BulkRequest& request) {
    return request.path.starts_with(std::string(to_string(StoreKind::Blobs)) + "/");
}

}  // namespace

PullPlaces::PullPlaces(http::HttpBulkSource& primary,
                       std::vector<http::HttpBulkSource::Options> others,
                       const http::HttpBulkSource::Options& lost_primary, const Clock& clock)
    : clock_(clock), primary_(primary) {
    others.push_back(lost_primary);
    for (const http::HttpBulkSource::Options& options : others) {
        others_.push_back(std::make_unique<http::HttpBulkSource>(options));
        places_.push_back({options.url, others_.back().get(), false});
    }
    places_.back().is_primary = true;
    state_.with([&](State& state) { state.failures.resize(places_.size()); });
}

bool PullPlaces::ask_others() {
    const SteadyTime now = clock_.steady_now();
    return state_.with([&](State& state) {
        const bool did = state.until && now < *state.until;
        state.until = now + counts_for;
        return !did;
    });
}

bool PullPlaces::asks_others() const {
    return state_.with([&](const State& state) {
        return places_.size() > 1 && state.until && clock_.steady_now() < *state.until;
    });
}

http::HttpBulkSource::Traffic PullPlaces::traffic() const {
    http::HttpBulkSource::Traffic sum = primary_.traffic();
    for (const Place& place : places_) {
        const auto traffic = place.source->traffic();
        sum.received_bytes += traffic.received_bytes;
        sum.content_bytes += traffic.content_bytes;
        sum.inventory_bytes += traffic.inventory_bytes;
    }
    return sum;
}

/// Who failed less comes first.
std::vector<size_t> PullPlaces::in_order(const std::string& hash) const {
    return state_.with([&](const State& state) {
        std::vector<size_t> order;
        for (size_t number = 0; number < places_.size(); ++number) {
            if (!state.wrong.contains({hash, number})) {
                order.push_back(number);
            }
        }
        std::stable_sort(order.begin(), order.end(), [&](size_t left, size_t right) {
            return state.failures[left] < state.failures[right];
        });
        return order;
    });
}

void PullPlaces::note_failure(size_t number) {
    state_.with([&](State& state) {
        ++state.failures[number];
        if (places_[number].is_primary) {
            state.silent_until = clock_.steady_now() + silent_for;
        }
    });
}

bool PullPlaces::is_silent(const Place& place) const {
    return place.is_primary && state_.with([&](const State& state) {
        return state.silent_until && clock_.steady_now() < *state.silent_until;
    });
}

BulkSource::Answer PullPlaces::get(const BulkRequest& request, Range range,
                                   const Headers& on_headers, const Sink& sink,
                                   const std::stop_token& stop) {
    if (!is_of_files(request) || !asks_others()) {
        return primary_.get(request, range, on_headers, sink, stop);
    }
    if (request.path.ends_with("/contents")) {
        return each_alone(request, sink);
    }
    const auto hash = request.parameter("sha256");
    if (!hash) {
        return {};  // what is right of a damaged file: all of it is pulled
    }
    std::optional<Error> problem;
    for (const size_t number : in_order(*hash)) {
        if (is_silent(places_[number])) {
            problem = Error(Reaction::Retry, places_[number].name + " did not answer a moment ago");
            continue;
        }
        bool began = false;
        const auto begin = [&](const Answer& answer) {
            began = true;
            state_.with([&](State& state) { state.served.insert({*hash, number}); });
            if (on_headers) {
                on_headers(answer);
            }
        };
        try {
            if (const auto answer = get_from(number, request, range, begin, sink, stop)) {
                return *answer;
            }
        } catch (const Error& error) {
            note_failure(number);
            if (began) {
                throw;  // what came is kept, and the next try goes on behind it
            }
            problem = error;
        }
    }
    if (problem) {
        throw Error(*problem);  // who did not answer may have what the primary has no more
    }
    return {};
}

std::optional<BulkSource::Answer> PullPlaces::get_from(size_t number, BulkRequest request,
                                                       Range range, const Headers& on_headers,
                                                       const Sink& sink,
                                                       const std::stop_token& stop) {
    const Place& place = places_[number];
    if (!place.is_primary) {
        request.query.emplace(of_secondary, "1");
    }
    const Answer answer = place.source->get(request, range, on_headers, sink, stop);
    if (!answer.found) {
        return std::nullopt;
    }
    state_.with([&](State& state) { state.failures[number] = 0; });
    return answer;
}

/// Nobody but the primary serves many at once.
BulkSource::Answer PullPlaces::each_alone(const BulkRequest& request, const Sink& sink) {
    const auto references = protocol::decode_contents_request(request.posted);
    std::string answer;
    for (size_t i = 0; references && i < references->size(); ++i) {
        protocol::append_length(answer, protocol::no_content);
    }
    sink(answer);
    return {true, std::nullopt, {}};
}

/// One place at a time is doubted: of several that served parts of it, the others may be right.
bool PullPlaces::doubt(const BulkRequest& request) {
    const std::string hash = request.parameter("sha256").value_or("");
    return state_.with([&](State& state) {
        bool found = false;
        for (size_t number = 0; number < places_.size(); ++number) {
            const bool served = state.served.erase({hash, number}) > 0;
            if (served && !found && !places_[number].is_primary) {
                state.wrong.insert({hash, number});
                found = true;
            }
        }
        return found;
    });
}

}  // namespace antipode
