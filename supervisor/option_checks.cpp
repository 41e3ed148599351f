#include "supervisor/option_checks.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iterator>

#include "common/save_watch.h"
#include "common/text.h"
#include "supervisor/process/listeners.h"
#include "supervisor/process/probe.h"

namespace zeroth {
namespace {

Status check_health(const CLI::App& app, const Options& o) {
  if (app.count("--health") == 0 && o.health.empty()) return {};
  auto check = parse_health(o.health);
  if (!check) return fail("--health: " + check.error().message);
  if (!o.program.empty() || o.protocol)
    return fail(
        "--health is for commands that do not speak the protocol; the others say themselves when they are ready");
  for (const std::string& lent : o.listen) {
    const auto address = parse_listen_address(lent);
    if (check->kind == HealthCheck::Kind::Tcp && address && address->text == check->address.text)
      return fail("--health " + o.health + " is lent with --listen: it accepts connections before the command runs");
  }
  return {};
}

constexpr Milliseconds kSaveInterval{60'000};  // a daemon may write all it has each time

Status check_state_file(Options& o) {
  const bool asks = !o.state_signal.empty() || !o.state_command.empty();
  if (o.state_file.empty())
    return asks ? Status(fail("--state-signal and --state-command go with --state-file PATH")) : Status();
  if (o.command.empty()) return fail("--state-file is for commands; a Zero program gives its state itself");
  if (o.protocol) return fail("--state-file is for commands that do not speak the protocol; leave out one of the two");
  if (!o.health.empty())
    return fail("--health does not go with --state-file: such a command counts as ready when it is started");
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
  for (const std::string& address : o.listen) {
    if (auto parsed = parse_listen_address(address); !parsed) return fail("--listen: " + parsed.error().message);
  }
  if (o.give_stdin && o.command.empty()) return fail("--stdin is for commands; a Zero program reads nothing");
  if (!o.listen.empty() && o.command.empty()) return fail("--listen is for commands; a Zero program opens no socket");
  if (Status checked = check_health(app, o); !checked) return checked;
  if (Status checked = check_state_file(o); !checked) return checked;
  if (o.program.empty() && o.command.empty()) return fail("no program: give a .zero or .z file, or -- and a command");
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

}  // namespace zeroth
