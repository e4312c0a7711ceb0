#include "apps/antipode/manual.hpp"

#include <CLI/CLI.hpp>

namespace antipode::cli {
namespace {

/// Text in which nothing is a macro or an escape.
std::string roff(const std::string& text) {
    std::string safe;
    for (const char character : text) {
        if (character == '\\') {
            safe += "\\e";
        } else if (character == '-') {
            safe += "\\-";
        } else {
            safe += character == '\n' ? ' ' : character;
        }
    }
    return safe.starts_with('.') || safe.starts_with('\'') ? "\\&" + safe : safe;
}

bool is_hidden(const CLI::Option& option) {
    return option.get_name(false, true).find("--help") != std::string::npos;
}

/// "--site SITE", "STORE..."
std::string name_of(const CLI::Option& option) {
    std::string name = option.get_name(option.get_positional(), !option.get_positional());
    for (size_t comma = name.find(','); comma != std::string::npos;
         comma = name.find(',', comma + 2)) {
        name.insert(comma + 1, " ");
    }
    const bool takes_value = !option.get_positional() && option.get_items_expected_max() > 0;
    return name + (takes_value ? " VALUE" : "");
}

std::string options_of(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        if (!is_hidden(*option)) {
            text += ".TP\n\\fB" + roff(name_of(*option)) + "\\fR\n" +
                    roff(option->get_description()) +
                    (option->get_required() ? " (required)" : "") + "\n";
        }
    }
    return text;
}

void add_commands(const CLI::App& app, const std::string& path, std::string& text) {
    for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
        const std::string name = path + " " + child->get_name();
        text +=
            ".SS " + roff(name) + "\n" + roff(child->get_description()) + "\n" + options_of(*child);
        add_commands(*child, name, text);
    }
}

}  // namespace

std::string manual_page(const CLI::App& app, const std::string& version) {
    const std::string name = app.get_name();
    std::string text = ".TH " + name + " 1 \"\" \"" + name + " " + roff(version) +
                       "\" \"User Commands\"\n.SH NAME\n" + name +
                       " \\- operates mirror sites of git repositories, files and PostgreSQL\n"
                       ".SH SYNOPSIS\n\\fB" +
                       name + "\\fR [\\fIoptions\\fR] \\fIcommand\\fR ...\n.SH DESCRIPTION\n" +
                       roff(app.get_description()) + "\n.SH OPTIONS\n" + options_of(app) +
                       ".SH COMMANDS\n";
    add_commands(app, name, text);
    return text +
           ".SH EXIT STATUS\n0 ok, 1 failed, 2 usage, 3 findings, 4 something stands in the way, 5 "
           "unreachable, 6 unknown, 8 not in time, 9 conflict, 130 interrupted\n"
           ".SH FILES\n.TP\n/etc/antipode/antipode.toml\nthe configuration, unless "
           "\\fB$ANTIPODE_CONFIG\\fR or \\fB\\-\\-config\\fR names another\n";
}

}  // namespace antipode::cli
