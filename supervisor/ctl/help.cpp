#include "supervisor/ctl/help.h"

#include <algorithm>

#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"

namespace zeroth {
namespace {

struct Announced {
  std::string name, help;
  Json params;  // name -> description
};

// The commands that the running instance's workers announce, each once; empty if it cannot be told.
std::vector<Announced> announced(const Invocation& call) {
  std::vector<Announced> commands;
  const auto chosen = choose(call);
  const Json* workers = chosen ? find_member(chosen->status, "workers") : nullptr;
  if (workers == nullptr || !workers->is_array()) return commands;
  for (const Json& worker : *workers) {
    const Json* list = find_member(worker, "commands");
    if (list == nullptr || !list->is_array()) continue;
    for (const Json& command : *list) {
      const Json* params = find_member(command, "params");
      Announced found{field_or<std::string>(command, "name", ""), field_or<std::string>(command, "help", ""),
                      params != nullptr ? *params : Json()};
      const auto same = [&](const Announced& other) { return other.name == found.name; };
      if (std::none_of(commands.begin(), commands.end(), same)) commands.push_back(std::move(found));
    }
  }
  return commands;
}

std::string line(std::string_view left, std::string_view right) {
  return "  " + field(left, right);
}

std::string worker_group(const Invocation& call) {
  std::string zero, others;
  for (const auto& [name, help, params] : announced(call)) {
    const Verb* verb = find_verb(name);
    if (verb != nullptr && verb->group == Group::Zero) {
      zero += line(verb->name, help_of(*verb));
    } else if (verb == nullptr) {
      others += line(escape_control(name), escape_control(help));
    }
  }
  if (!zero.empty()) zero = "\n" + std::string(to_string(Group::Zero)) + "\n" + zero;
  return zero + (others.empty() ? "" : "\nWorker (with key=value)\n" + others);
}

std::string overview(const Invocation& call) {
  std::string text =
      "usage: zerothctl [-n NAME] [--json] [--timeout SECONDS] VERB [WORDS]\n"
      "       zerothctl help VERB\n";
  for (Group group : {Group::Lifecycle, Group::Observe, Group::State, Group::Zero, Group::Fleet, Group::Other}) {
    if (group == Group::Zero) {
      text += worker_group(call);
      continue;
    }
    text += "\n" + std::string(to_string(group)) + "\n";
    for (const Verb& verb : verbs()) {
      if (verb.group == group) text += line(verb.name, help_of(verb));
    }
  }
  text +=
      "\nExit codes\n  0 done   1 failed, or not well   2 wrong usage   3 not running   4 no such worker   65 does not "
      "compile\n"
      "  66 no such file   69 answers are somebody else's, or none come   75 timed out   77 not permitted   78 bad "
      "configuration\n";
  return text;
}

std::string help_of(const Announced& command) {
  std::string usage = "usage: zerothctl " + escape_control(command.name), params;
  if (command.params.is_object()) {
    for (const auto& [name, described] : command.params.items()) {
      usage += " [" + escape_control(name) + "=VALUE]";
      params += line(escape_control(name), escape_control(described.is_string() ? described.get<std::string>() : ""));
    }
  }
  return usage + "\n" + escape_control(command.help) + "\n" + params;
}

// About a command of a worker, or that there is none.
int run_worker_help(const Invocation& call, const std::string& name) {
  std::vector<std::string_view> known;
  for (const Verb& verb : verbs()) known.push_back(verb.name);
  const std::vector<Announced> commands = announced(call);
  for (const Announced& command : commands) {
    if (command.name == name) return print(help_of(command)) ? kExitOk : kExitFailed;
    known.push_back(command.name);
  }
  const std::string_view meant = nearest(name, known);
  complain("no verb '" + escape_control(name) + "'" +
           (meant.empty() ? "" : ", did you mean '" + escape_control(std::string(meant)) + "'?"));
  return kExitUsage;
}

}  // namespace

std::string usage_of(const Verb& verb) {
  std::string text(verb.name);
  for (const Word& word : verb.words) text += " " + std::string(word.shown);
  for (const Switch& option : verb.switches) {
    text += " [" + std::string(option.names.substr(option.names.find("--")));
    text += (option.value_name.empty() ? "" : " ") + std::string(option.value_name) + "]";
  }
  return text;
}

int run_help(const Invocation& call) {
  const auto name = field_or<std::string>(call.params, "verb", "");
  if (name.empty()) return print(overview(call)) ? kExitOk : kExitFailed;
  const Verb* verb = find_verb(name);
  if (verb == nullptr) return run_worker_help(call, name);
  std::string text = "usage: zerothctl " + usage_of(*verb) + "\n" + std::string(help_of(*verb)) + "\n";
  for (const Switch& option : verb->switches) {
    text += line(std::string(option.names) + (option.value_name.empty() ? "" : " ") + std::string(option.value_name),
                 option.help);
  }
  return print(text) ? kExitOk : kExitFailed;
}

}  // namespace zeroth
