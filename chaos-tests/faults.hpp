#pragma once

#include <functional>
#include <string>
#include <vector>

#include "chaos-tests/probe.hpp"
#include "chaos-tests/stage.hpp"

namespace antipode::chaos {

/// One way to break something. inject() breaks it, lets the load go on, and mends what an operator
/// or a service manager would mend; the caller then waits until the sites have recovered. What else
/// it finds wrong it tells the stage; it throws when it cannot go on.
struct Fault {
    std::string name;
    std::string how;
    Need need;
    std::function<void(Stage&)> inject;
    int sites = 2;         ///< at least
    bool is_drawn = true;  ///< by a seed; else it runs when it is named
    /// Transactions that were acknowledged may be lost, or have to be compared. Changes of the
    /// structure would then be made equal by an operator, so nobody makes any meanwhile.
    bool loses_transactions = false;
    bool witness = false;  ///< there must be one
};

/// One that loses transactions.
inline Fault losing(Fault fault) {
    fault.loses_transactions = true;
    return fault;
}

/// All of them, in the order of the table.
const std::vector<Fault>& all_faults();

// The groups; each in a file of its own.
std::vector<Fault> process_faults();
std::vector<Fault> line_faults();
std::vector<Fault> packet_faults();
std::vector<Fault> content_faults();
std::vector<Fault> primary_damage_faults();
std::vector<Fault> machine_faults();
std::vector<Fault> operator_faults();
std::vector<Fault> call_faults();
std::vector<Fault> primary_faults();
std::vector<Fault> third_site_faults();
std::vector<Fault> interruption_faults();
std::vector<Fault> witness_faults();

/// Plans that a mirror takes over, and waits until it has, and all others follow.
void switch_over(Stage& stage, Site& to);
void switch_over(Stage& stage);

/// Off, and on again. Who writes there stops before, so that nothing is acknowledged by a machine
/// that is off. Its disks are Loops.
void cut_power_of(Stage& stage, Site& site);

}  // namespace antipode::chaos
