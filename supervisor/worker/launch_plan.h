#pragma once
// How a worker's set-up becomes one process and one snapshot's head.

#include <optional>
#include <string>
#include <vector>

#include "supervisor/generation/checkpoint.h"
#include "supervisor/generation/generation.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

// `known_to_speak`: what the last live generation did; nullopt: there was none. `env`: of its own, all of it.
GenerationPlan launch_plan(const Worker::Setup& setup, std::uint64_t number, const std::string& cause,
                           const Content& content, const std::vector<std::string>& changed,
                           std::optional<bool> known_to_speak, EnvMap env);

// Copies of the programs that its processes may read, if they are of another user.
std::optional<ProgramStore> shown_programs(const Worker::Setup& setup);

// All but sequence, schema and length.
SnapshotEnvelope snapshot_head(const Worker::Setup& setup, std::uint64_t generation, const std::string& program_hash,
                               const std::string& cause);

}  // namespace zeroth
