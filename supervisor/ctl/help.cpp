#include "supervisor/ctl/help.h"

#include <algorithm>

#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"

namespace zeroth {
namespace {

// name -> help, of the commands that the running instance's workers announce; empty if it cannot be told.
std::vector<std::pair<std::string, std::string>> announced(const Invocation& call) {
  std::vector<std::pair<std::string, std::string>> commands;
  const auto chosen = choose(call);
  const Json* workers = chosen ? find_member(chosen->status, "workers") : nullptr;
  if (workers == nullptr || !workers->is_array()) return commands;
  for (const Json& worker : *workers) {
    const Json* list = find_member(worker, "commands");
    if (list == nullptr || !list->is_array()) continue;
    for (const Json& command : *list) {
      commands.emplace_back(field_or<std::string>(command, "name", ""), field_or<std::string>(command, "help", ""));
    }
  }
  return commands;
}

std::string line(std::string_view left, std::string_view right) {
  return "  " + field(left, right);
}

std::string worker_group(const Invocation& call) {
  std::string zero, others;
  for (const auto& [name, help] : announced(call)) {
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
  return text;
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
  if (verb == nullptr) {
    std::vector<std::string_view> known;
    for (const Verb& one : verbs()) known.push_back(one.name);
    const std::string_view meant = nearest(name, known);
    complain("no verb '" + escape_control(name) + "'" +
             (meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?"));
    return kExitUsage;
  }
  std::string text = "usage: zerothctl " + usage_of(*verb) + "\n" + std::string(help_of(*verb)) + "\n";
  for (const Switch& option : verb->switches) {
    text += line(std::string(option.names) + (option.value_name.empty() ? "" : " ") + std::string(option.value_name),
                 option.help);
  }
  return print(text) ? kExitOk : kExitFailed;
}

}  // namespace zeroth
