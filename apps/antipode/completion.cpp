#include "apps/antipode/completion.hpp"

#include <CLI/CLI.hpp>

namespace antipode::cli {
namespace {

/// One case per command: what may follow it.
void add_cases(const CLI::App& command, const std::string& path, const std::string& common,
               std::string& cases) {
    std::string words;
    for (const CLI::App* child : command.get_subcommands([](const CLI::App*) { return true; })) {
        words += child->get_name() + " ";
        add_cases(*child, path + " " + child->get_name(), common, cases);
    }
    for (const CLI::Option* option : command.get_options()) {
        for (const std::string& name : option->get_lnames()) {
            words += common.find("--" + name) == std::string::npos ? "--" + name + " " : "";
        }
    }
    cases += "    \"" + path + "\") words=\"" + words + common + "\" ;;\n";
}

}  // namespace

std::string path_of(const CLI::App& app) {
    const CLI::App* const parent = app.get_parent();
    return parent == nullptr || parent->get_parent() == nullptr
               ? app.get_name()
               : path_of(*parent) + " " + app.get_name();
}

std::string bash_completion(const CLI::App& app) {
    std::string cases;
    add_cases(app, "", "--config --output --help", cases);
    // What is no command where it stands (a site, an option's value) leads nowhere.
    return "# bash completion of antipode; put it into /etc/bash_completion.d/antipode\n"
           "_antipode_words() {\n"
           "    case \"$1\" in\n" +
           cases +
           "    esac\n"
           "}\n"
           "_antipode() {\n"
           "    local word words path=\"\" current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
           "    _antipode_words \"\"\n"
           "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
           "        if [[ $word != -* && \" $words \" == *\" $word \"* ]]; then\n"
           "            path+=\" $word\"\n"
           "            _antipode_words \"$path\"\n"
           "        fi\n"
           "    done\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
           "}\n"
           "complete -o default -F _antipode antipode\n";
}

}  // namespace antipode::cli
