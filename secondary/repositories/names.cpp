#include "secondary/repositories/names.hpp"

#include <algorithm>
#include <set>

#include "base/digest.hpp"
#include "base/limits.hpp"
#include "base/refs.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t component_bytes = 255;

std::string refuse_component(std::string_view component) {
    if (component.empty()) {
        return "an empty component";
    }
    if (component == "." || component == ".." || component == ".antipode" || component == ".git") {
        return "the component \"" + std::string(component) + "\"";
    }
    if (component.front() == '-') {
        return "a component that begins with '-'";
    }
    return component.size() > component_bytes ? "a component that is too long" : "";
}

std::string refuse_ref(const v1::Ref& ref, size_t oid_size) {
    const std::string name = "ref " + printable(ref.name());
    const bool is_other = ref.name() == description_name || ref.name() == pool_name ||
                          ref.name().starts_with(shallow_prefix);
    if (!is_other && !is_valid_ref_name(ref.name())) {
        return name + ": not a valid name";
    }
    for (const RefValue& value :
         {RefValue{ref.old_oid(), ref.old_target()}, RefValue{ref.new_oid(), ref.new_target()}}) {
        if (!is_valid_value(ref.name(), value, oid_size)) {
            return name + ": neither an object id nor a valid target";
        }
    }
    if (ref.name() == pool_name && !ref.new_target().empty()) {
        const std::string reason = refuse_repository_name(unescape_line(ref.new_target()));
        return reason.empty() ? reason : "the repository that it borrows from: " + reason;
    }
    if (ref.name() == "HEAD" && ref.new_oid().empty() && ref.new_target().empty()) {
        return "HEAD cannot be deleted";
    }
    return {};
}

}  // namespace

std::string refuse_repository_name(std::string_view name) {
    if (name.empty() || name.size() > limits::item_name_bytes) {
        return "its length";
    }
    if (std::any_of(name.begin(), name.end(),
                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
        return "a control character";
    }
    while (true) {
        const size_t slash = name.find('/');
        std::string reason = refuse_component(name.substr(0, slash));
        if (!reason.empty() || slash == std::string_view::npos) {
            return reason;
        }
        name.remove_prefix(slash + 1);
    }
}

std::string refuse_update(const v1::RefUpdate& update) {
    const size_t oid_size = oid_bytes(update.object_format());
    if (oid_size == 0) {
        return "unknown object format " + printable(update.object_format());
    }
    if (!sha256_from_bytes(update.digest_after()) ||
        (!update.full() && !sha256_from_bytes(update.digest_before()))) {
        return "a digest is missing";
    }
    if (update.has_base() && (!update.full() || !update.base().has_pull())) {
        return "a base that is not pulled, or of an update that is not whole";
    }
    if (update.has_base_index() && (!update.has_base() || !update.base_index().has_pull())) {
        return "an index that is not pulled, or of no base";
    }
    std::set<std::string_view> names;
    for (const v1::Ref& ref : update.refs()) {
        std::string reason = refuse_ref(ref, oid_size);
        if (!reason.empty()) {
            return reason;
        }
        if (!names.insert(ref.name()).second) {
            return "ref " + printable(ref.name()) + " is named twice";
        }
    }
    return {};
}

}  // namespace antipode::secondary
