#include "secondary/apply.hpp"

namespace antipode::secondary {

std::string_view to_string(FailureClass failure) {
    switch (failure) {
        case FailureClass::Transient:
            return "transient";
        case FailureClass::PrimaryDefect:
            return "primary defect";
        case FailureClass::LocalDefect:
            return "local defect";
        case FailureClass::Refused:
            return "refused";
    }
    return "?";
}

}  // namespace antipode::secondary
