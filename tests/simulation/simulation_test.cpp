#include "tests/simulation/simulation.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

namespace antipode::simulation {
namespace {

constexpr uint64_t first_seed = 1;
constexpr uint64_t seeds_in_tests = 2000;

uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* value = std::getenv(name);
    return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

class SimulationTest : public testing::Test {
  protected:
    void SetUp() override {
        spdlog::set_level(spdlog::level::off);
        // A step with nothing to do waits for no time at all; by default the kernel makes that
        // 50 us each, which is most of a run.
        ASSERT_EQ(prctl(PR_SET_TIMERSLACK, 1), 0);
    }
};

/// Seeds that failed once, as regressions.txt names them: a seed a line, then "#" and what it
/// found. Throws at anything else.
std::vector<uint64_t> seeds_in(const std::string& path) {
    std::ifstream file(path);
    std::vector<uint64_t> seeds;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string word;
        if (!(words >> word)) {
            continue;
        }
        const bool is_seed = word.find_first_not_of("0123456789") == std::string::npos;
        if (std::string more; !is_seed || words >> more) {
            throw std::runtime_error(path + ": not a seed: " + line);
        }
        seeds.push_back(std::stoull(word));
    }
    return seeds;
}

/// Seeds that failed when the test ran last in this directory: they run first, until they pass.
class FailedSeeds {
  public:
    FailedSeeds() {
        std::ifstream file(path);
        for (uint64_t seed = 0; file >> seed;) {
            seeds_.insert(seed);
        }
    }
    ~FailedSeeds() {
        std::filesystem::remove(path);
        if (!seeds_.empty()) {
            std::ofstream file(path);
            for (const uint64_t seed : seeds_) {
                file << seed << "\n";
            }
        }
    }
    FailedSeeds(const FailedSeeds&) = delete;
    FailedSeeds& operator=(const FailedSeeds&) = delete;

    std::set<uint64_t> all() const { return seeds_; }
    void note(uint64_t seed, bool failed) {
        if (failed) {
            seeds_.insert(seed);
        } else {
            seeds_.erase(seed);
        }
    }

  private:
    static constexpr const char* path = "failed-seeds";
    std::set<uint64_t> seeds_;
};

bool passes(uint64_t seed, bool whole_journal) {
    Simulation simulation(seed);
    const auto wrong = simulation.run();
    if (wrong) {
        ADD_FAILURE() << "seed " << seed << ": " << *wrong << "\n"
                      << simulation.journal().tail(whole_journal ? SIZE_MAX : 40)
                      << "All of it: ANTIPODE_SEED=" << seed << " simulation_test";
    }
    return !wrong;
}

TEST_F(SimulationTest, NothingIsLostDoubledOrVisibleBeforeWhatItNames) {
    if (const uint64_t only = from_environment("ANTIPODE_SEED", 0); only != 0) {
        passes(only, true);
        return;
    }
    FailedSeeds failed;
    int failures = 0;
    const auto run = [&](uint64_t seed) {
        const bool passed = passes(seed, false);
        failed.note(seed, !passed);
        failures += passed ? 0 : 1;
    };
    const std::vector<uint64_t> regressions = seeds_in(ANTIPODE_REGRESSIONS);
    ASSERT_FALSE(regressions.empty()) << ANTIPODE_REGRESSIONS;
    std::set<uint64_t> first_of_all = failed.all();
    first_of_all.insert(regressions.begin(), regressions.end());
    for (const uint64_t seed : first_of_all) {
        run(seed);
    }
    const uint64_t first = from_environment("ANTIPODE_FIRST_SEED", first_seed);
    const uint64_t count = from_environment("ANTIPODE_SEEDS", seeds_in_tests);
    for (uint64_t seed = first; seed < first + count && failures < 5; ++seed) {
        run(seed);
    }
}

TEST_F(SimulationTest, EqualSeedsGiveEqualRuns) {
    for (const uint64_t seed : {3, 14, 159}) {
        Simulation first(seed);
        Simulation second(seed);
        first.run();
        second.run();
        EXPECT_EQ(first.journal().hash(), second.journal().hash()) << seed;
    }
    Simulation one(1);
    Simulation other(2);
    one.run();
    other.run();
    EXPECT_NE(one.journal().hash(), other.journal().hash());
}

struct Planted {
    Sabotage sabotage;
    const char* name;
};
class PlantedBug : public testing::TestWithParam<Planted> {};

TEST_P(PlantedBug, IsFound) {
    spdlog::set_level(spdlog::level::off);
    constexpr uint64_t enough = 200;
    uint64_t seed = first_seed;
    while (seed < first_seed + enough && !Simulation(seed, GetParam().sabotage).run()) {
        ++seed;
    }
    EXPECT_LT(seed, first_seed + enough);
}

INSTANTIATE_TEST_SUITE_P(Simulation, PlantedBug,
                         testing::Values(Planted{Sabotage::LyingApply, "LyingApply"},
                                         Planted{Sabotage::DeafWatch, "DeafWatch"},
                                         Planted{Sabotage::EarlyDecoding, "EarlyDecoding"},
                                         Planted{Sabotage::Eager, "Eager"},
                                         Planted{Sabotage::SkippedGap, "SkippedGap"},
                                         Planted{Sabotage::EarlyConfirm, "EarlyConfirm"},
                                         Planted{Sabotage::PositionFirst, "PositionFirst"},
                                         Planted{Sabotage::AppliedTwice, "AppliedTwice"}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace antipode::simulation
