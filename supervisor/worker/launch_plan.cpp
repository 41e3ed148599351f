#include "supervisor/worker/launch_plan.h"

#include "common/files.h"
#include "supervisor/generation/hello_socket.h"
#include "supervisor/process/alive_lock.h"
#include "supervisor/process/emergency_files.h"

namespace zeroth {
namespace {

// Having lived that long without a hello is readiness; one that says it later is restored then. Where nobody knows yet
// whether it speaks, one that still loads (npm, large imports) gets three seconds.
constexpr Milliseconds kSettled{1'000};
constexpr Milliseconds kLoaded{3'000};

// A terminal makes a program write line by line; what Python writes to a pipe would come in blocks of 8 KiB.
void set_output(GenerationPlan& plan, const Worker::Setup& setup) {
  plan.terminal = setup.terminal != nullptr ? *setup.terminal : std::nullopt;
  if (setup.options->give_stdin) plan.stdin_mode = StdinMode::Inherit;  // unless it is typed at
  plan.unbuffered = !plan.terminal;
}

// A command whose state is a file speaks through an adapter of ours, which starts and ends it.
std::vector<std::string> argv_of(const Worker::Setup& setup) {
  const Options& options = *setup.options;
  if (options.state_file.empty()) return options.command;
  std::vector<std::string> argv = {folder_of(setup.worker_binary) + "/zerothctl", "worker", "run", "--state",
                                   options.state_file};
  if (!options.state_signal.empty()) argv.insert(argv.end(), {"--state-signal", options.state_signal});
  if (!options.state_command.empty()) argv.insert(argv.end(), {"--state-command", options.state_command});
  argv.push_back("--");
  argv.insert(argv.end(), options.command.begin(), options.command.end());
  return argv;
}

}  // namespace

GenerationPlan launch_plan(const Worker::Setup& setup, std::uint64_t number, const std::string& cause,
                           const Content& content, const std::vector<std::string>& changed,
                           std::optional<bool> known_to_speak, EnvMap env) {
  const Options& options = *setup.options;
  GenerationPlan plan;
  plan.number = number;
  plan.worker = setup.name;
  plan.cause = cause;
  plan.built_in = options.command.empty();
  if (plan.built_in) {
    const std::string& copy = content.shown.empty() ? content.copy : content.shown;
    plan.argv = {setup.worker_binary, "serve", copy, "--path", options.program, "--diagnostics", "json"};
    if (options.rate) plan.argv.insert(plan.argv.end(), {"--rate", Json(*options.rate).dump()});
    if (options.halflife) plan.argv.insert(plan.argv.end(), {"--halflife", Json(*options.halflife).dump()});
  } else {
    plan.argv = argv_of(setup);
    plan.socket = setup.place.socket;
    plan.key = make_key();
    plan.die_with_us = true;
  }
  for (const Listener& listener : *setup.listeners) {
    plan.lent.push_back(listener.fd.get());
    plan.lent_names += (plan.lent_names.empty() ? "" : ":") + listener.name;
  }
  plan.env = std::move(env);
  for (const auto& [resource, most] : options.limits) plan.limits.push_back({resource, {most, most}});
  if (!plan.built_in) set_output(plan, setup);
  plan.cwd = setup.cwd;
  const WorkerPlace& place = setup.place;
  plan.user = place.user;
  plan.exchange = setup.exchange;
  plan.worker_dir = place.own;
  plan.notify_folder = place.apart() ? place.open : place.own;
  plan.emergency_file = emergency_file_of(place.saved, number);
  plan.alive_file = alive_file_of(place.open, number);
  plan.checks = setup.checks;
  plan.changed = changed;
  plan.program_hash = content.hash;
  plan.program_copy = content.shown.empty() ? content.copy : content.shown;
  plan.start_timeout = options.start_timeout;
  plan.disk = setup.starts;
  const bool speaks = options.protocol || !options.state_file.empty();
  if (!plan.built_in && !speaks && !known_to_speak.value_or(false)) {
    plan.mute_after = kSettled;
    if (!known_to_speak) plan.mute_latest = kLoaded;
    auto health = parse_health(options.health);
    const bool tells_ready = health && health->kind != HealthCheck::Kind::Heartbeat;
    if (!options.health.empty() && tells_ready) {
      health->timeout = options.health_timeout;
      plan.health = std::move(*health);
    }
  }
  return plan;
}

std::optional<ProgramStore> shown_programs(const Worker::Setup& setup) {
  if (!setup.place.apart()) return std::nullopt;
  return ProgramStore(setup.place.open, setup.place.user->as.group);
}

SnapshotEnvelope snapshot_head(const Worker::Setup& setup, std::uint64_t generation, const std::string& program_hash,
                               const std::string& cause) {
  SnapshotEnvelope head;
  head.generation = generation;
  head.worker = setup.name;
  head.identity = setup.identity;
  head.program_path = setup.options->program;
  head.program_hash = program_hash;
  head.config_fingerprint = setup.fingerprint;
  head.cause = cause;
  head.created_at = wall_now();
  return head;
}

}  // namespace zeroth
