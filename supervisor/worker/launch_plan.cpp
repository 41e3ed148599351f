#include "supervisor/worker/launch_plan.h"

#include "supervisor/process/alive_lock.h"
#include "supervisor/process/emergency_files.h"

namespace zeroth {

GenerationPlan launch_plan(const Worker::Setup& setup, std::uint64_t number, const std::string& cause,
                           const Content& content, const std::vector<std::string>& changed) {
  const Options& options = *setup.options;
  GenerationPlan plan;
  plan.number = number;
  plan.worker = setup.name;
  plan.cause = cause;
  plan.built_in = options.command.empty();
  if (plan.built_in) {
    plan.argv = {setup.worker_binary, "serve", content.copy, "--path", options.program, "--diagnostics", "json"};
    if (options.rate) plan.argv.insert(plan.argv.end(), {"--rate", Json(*options.rate).dump()});
    if (options.halflife) plan.argv.insert(plan.argv.end(), {"--halflife", Json(*options.halflife).dump()});
  } else {
    plan.argv = options.command;
    plan.die_with_us = true;
  }
  plan.env = options.env;
  plan.cwd = setup.cwd;
  plan.worker_dir = setup.folder + "/own";
  plan.emergency_file = emergency_file_of(setup.folder, number);
  plan.alive_file = alive_file_of(setup.folder, number);
  plan.changed = changed;
  plan.program_hash = content.hash;
  plan.program_copy = content.copy;
  plan.start_timeout = options.start_timeout;
  return plan;
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
