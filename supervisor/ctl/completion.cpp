#include "supervisor/ctl/completion.h"

#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"

namespace zeroth {
namespace {

constexpr std::string_view kGlobal = "--name --json --timeout --help --version";

std::string verb_names() {
  std::string names;
  for (const Verb& verb : verbs()) names += (names.empty() ? "" : " ") + std::string(verb.name);
  return names;
}

std::string_view long_name(const Switch& option) {
  return option.names.substr(option.names.find("--"));
}

std::string options_of(const Verb& verb) {
  std::string names;
  for (const Switch& option : verb.switches) names += std::string(long_name(option)) + " ";
  return names;
}

// Bash and, through bashcompinit, zsh.
std::string bash() {
  std::string text =
      "_zerothctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} verb= word\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case $word in -*) ;; *) verb=$word ;; esac\n"
      "    [ -n \"$verb\" ] && break\n"
      "  done\n"
      "  case $verb in\n"
      "    '') COMPREPLY=($(compgen -W \"" +
      verb_names() + " " + std::string(kGlobal) +
      "\" -- \"$current\")) ;;\n"
      "    check|compile|export|import) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
      "    worker) COMPREPLY=($(compgen -f -W \"run --state --state-signal --state-command\" -- \"$current\")) ;;\n"
      "    completion) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$current\")) ;;\n"
      "    help) COMPREPLY=($(compgen -W \"" +
      verb_names() + "\" -- \"$current\")) ;;\n";
  for (const Verb& verb : verbs()) {
    if (verb.switches.empty()) continue;
    text += "    " + std::string(verb.name) + ") COMPREPLY=($(compgen -W \"" + options_of(verb) + std::string(kGlobal) +
            "\" -- \"$current\")) ;;\n";
  }
  return text + "  esac\n}\ncomplete -F _zerothctl zerothctl\n";
}

std::string zsh() {
  return "#compdef zerothctl\nautoload -Uz bashcompinit && bashcompinit\n" + bash();
}

std::string fish() {
  std::string text = "complete -c zerothctl -f\n";
  for (const Verb& verb : verbs()) {
    text += "complete -c zerothctl -n __fish_use_subcommand -a " + std::string(verb.name) + " -d '" +
            std::string(help_of(verb)) + "'\n";
    for (const Switch& option : verb.switches) {
      text += "complete -c zerothctl -n '__fish_seen_subcommand_from " + std::string(verb.name) + "' -l " +
              std::string(long_name(option).substr(2)) + " -d '" + std::string(option.help) + "'\n";
    }
  }
  return text +
         "complete -c zerothctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n"
         "complete -c zerothctl -n '__fish_seen_subcommand_from check compile export import worker' -F\n"
         "complete -c zerothctl -n '__fish_seen_subcommand_from worker' -a run\n"
         "complete -c zerothctl -n '__fish_seen_subcommand_from worker' -l state -l state-signal -l state-command\n";
}

}  // namespace

int run_completion(const Invocation& call) {
  struct Shell {
    std::string_view name;
    std::string (*script)();
  };
  constexpr Shell kShells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
  const auto wanted = field_or<std::string>(call.params, "shell", "");
  for (const Shell& shell : kShells) {
    if (shell.name == wanted) return print(shell.script()) ? kExitOk : kExitFailed;
  }
  complain("'" + escape_control(wanted) + "' is none of bash, zsh, fish");
  return kExitUsage;
}

}  // namespace zeroth
