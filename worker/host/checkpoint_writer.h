#pragma once
// Turns the living state into the answer to `checkpoint`: inline when small, else into the file the supervisor offers.
// Large states of a worker that goes on are encoded by a forked child, so that the worker pauses only for the fork.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/json.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"
#include "worker/vm/state.h"

namespace zeroth {

class CheckpointWriter {
 public:
  CheckpointWriter() = default;
  ~CheckpointWriter() { abort_running(); }
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // The result member's text of one checkpoint, taken now. `hold`: the worker stands still anyway, so nothing is
  // forked. Nothing: a child was started; its result comes from finish().
  Result<std::optional<std::string>> take(const Json& id, const State& state, const std::optional<StateFile>& file,
                                          bool hold);

  // The request that a child is working for, if any.
  const std::optional<Json>& running() const { return running_id_; }
  // Readable when the child is done; -1 if there is none.
  int fd() const { return pipe_.get(); }
  // Call when fd() is readable: the result text of the running request.
  Result<std::string> finish();
  // Ends the child; the request stays unanswered.
  void abort_running();

 private:
  Result<std::optional<std::string>> fork_writer(const Json& id, const State& state, const StateFile& file);

  std::optional<Json> running_id_;
  pid_t child_ = -1;
  UniqueFd pipe_;
  std::uint64_t iteration_ = 0;
  double pause_ms_ = 0;
};

// Writes the document to `path` the way an emergency file is written: temporary name, fsync, rename, fsync of the
// folder.
Status write_emergency_file(const std::string& path, const State& state);

}  // namespace zeroth
