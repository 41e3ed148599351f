#include "supervisor/option_checks.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "common/save_watch.h"
#include "common/text.h"
#include "supervisor/process/cron.h"
#include "supervisor/process/listeners.h"
#include "supervisor/process/probe.h"

namespace zeroth {
namespace {

Status check_health(const CLI::App& app, const Options& o) {
  if (app.count("--health") == 0 && o.health.empty()) {
    for (const char* of_it : {"--health-interval", "--health-timeout", "--health-failures"}) {
      if (app.count(of_it) > 0) return fail(std::string(of_it) + " says how --health is asked, which is not given");
    }
    return {};
  }
  auto check = parse_health(o.health);
  if (!check) return fail("--health: " + check.error().message);
  if (check->kind == HealthCheck::Kind::Notify && (!o.program.empty() || o.protocol))
    return fail("--health notify is for commands that do not speak the protocol; the others say when they are ready");
  if (o.health_timeout.count() == 0) return fail("--health-timeout: no program answers within no time");
  for (const std::string& lent : o.listen) {
    const auto address = parse_listen_address(lent);
    if (check->kind == HealthCheck::Kind::Tcp && address && address->text == check->address.text)
      return fail("--health " + o.health + " is lent with --listen: it accepts connections before the command runs");
  }
  return {};
}

// What runs a program of this kind, "" if it may be one of ours.
std::string interpreter_of(std::string_view program) {
  constexpr std::pair<std::string_view, const char*> kOthers[] = {{".py", "python3"}, {".js", "node"}, {".mjs", "node"},
                                                                  {".cjs", "node"},   {".sh", "sh"},   {".rb", "ruby"},
                                                                  {".pl", "perl"}};
  for (const auto& [ending, interpreter] : kOthers) {
    if (program.ends_with(ending)) return interpreter;
  }
  return "";
}

constexpr Milliseconds kSaveInterval{60'000};  // a daemon may write all it has each time

Status check_state_file(Options& o) {
  const bool asks = !o.state_signal.empty() || !o.state_command.empty();
  if (o.state_file.empty())
    return asks ? Status(fail("--state-signal and --state-command go with --state-file PATH")) : Status();
  if (o.command.empty()) return fail("--state-file is for commands; a Zero program gives its state itself");
  if (o.protocol) return fail("--state-file is for commands that do not speak the protocol; leave out one of the two");
  const auto health = parse_health(o.health);
  if (!o.health.empty() && health && !health->asks())
    return fail("--health " + o.health + " does not go with --state-file; ask such a command by http:, tcp: or exec:");
  if (!o.state_signal.empty() && !o.state_command.empty())
    return fail("give --state-signal or --state-command, not both");
  if (!o.state_signal.empty()) {
    if (auto number = parse_signal(o.state_signal); !number) return fail("--state-signal: " + number.error().message);
  }
  if (!o.checkpoint_interval_chosen) o.checkpoint_interval = asks ? kSaveInterval : Milliseconds(0);
  return {};
}

}  // namespace

Status check_together(const CLI::App& app, Options& o) {
  for (const std::string& assignment : o.env) {
    if (assignment.find('=') == std::string::npos || assignment[0] == '=') {
      return fail("--env: '" + escape_control(assignment) + "' is not K=V");
    }
  }
  for (const std::string& file : o.env_files) {
    if (file.empty()) return fail("--env-file: a path is expected");
  }
  for (const std::string& address : o.listen) {
    if (auto parsed = parse_listen_address(address); !parsed) return fail("--listen: " + parsed.error().message);
  }
  if (o.give_stdin && o.command.empty()) return fail("--stdin is for commands; a Zero program reads nothing");
  if (!o.listen.empty() && o.command.empty()) return fail("--listen is for commands; a Zero program opens no socket");
  if (Status checked = check_health(app, o); !checked) return checked;
  if (auto table = CronTable::parse(o.cron); !o.cron.empty() && !table) return fail("--cron: " + table.error().message);
  if (Status checked = check_state_file(o); !checked) return checked;
  if (o.program.empty() && o.command.empty()) return fail("no program: give a .zero or .z file, or -- and a command");
  if (const std::string runs = interpreter_of(o.program); !runs.empty() && o.command.empty()) {
    const std::string shown = escape_control(o.program);
    return fail(shown + " is no Zero program; run it as a command: zeroth-supervise -- " + runs + " " + shown);
  }
  if (!o.program.empty() && !o.command.empty()) return fail("give a program file or a command after --, not both");
  if (o.command.empty() && o.protocol) return fail("--protocol needs a command after --");
  if ((o.rate && !std::isfinite(*o.rate)) || (o.halflife && !std::isfinite(*o.halflife)))
    return fail("--rate and --halflife are finite numbers");
  if (!o.command.empty() && (o.rate || o.halflife)) return fail("--rate and --halflife are for Zero programs");
  return {};
}

Status check_of_fleet(const CLI::App& app) {
  constexpr std::string_view kOfAll[] = {"--name",       "--state-dir",    "--runtime-dir", "--pid-file", "--fresh",
                                         "--adopt",      "--control-port", "--log-format",  "--log-file", "--raw",
                                         "--no-sidecar", "--poll",         "--strict"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    const bool of_all = std::find(std::begin(kOfAll), std::end(kOfAll), name) != std::end(kOfAll);
    if (option->count() == 0 || of_all || !name.starts_with("--")) continue;
    return fail(name + " belongs to a worker: write it under [worker.NAME] in the fleet file");
  }
  return {};
}

Result<std::uint64_t> parse_size(const std::string& text) {
  std::string bytes = text;
  try {
    if (!text.starts_with('-') && CLI::AsSizeValue(false)(bytes).empty()) return std::stoull(bytes);
  } catch (const std::exception&) {  // what CLI11 throws for what is no size
  }
  return fail("'" + escape_control(text) + "' is no size like 512MB");
}

}  // namespace zeroth
