#pragma once

#include <deque>
#include <functional>
#include <string>

#include "tests/simulation/faults.hpp"
#include "tests/simulation/service.hpp"

namespace antipode::simulation {

/// One writer that does what an application does: stores a blob, pushes a commit, inserts a row
/// that names both; takes the row away before what it names. A step does one change, so that
/// everything else may happen between.
class Application {
  public:
    Application(Service& service, Chance& chance, Journal& journal, const Profile& profile)
        : service_(service), chance_(chance), journal_(journal), profile_(profile) {}

    void step();
    /// Nothing is half done.
    bool is_between() const { return plan_.empty(); }

  private:
    void plan_next();
    void plan_insert();
    void plan_removal_of_blob();
    void plan_removal_of_repository();
    void do_something_alone();
    void put_blob(const std::string& path);
    void push(const std::string& repository, bool force);
    void write_row(uint64_t id, const std::string& blob, const std::string& repository);
    void delete_rows(const std::function<bool(const Row&)>& which);
    std::string some_repository();
    std::string some_blob();

    Service& service_;
    Chance& chance_;
    Journal& journal_;
    const Profile& profile_;
    std::deque<std::function<void()>> plan_;
    uint64_t last_row_ = 0;
};

}  // namespace antipode::simulation
