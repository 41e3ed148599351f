#pragma once
// One snapshot of one worker in the making: a draft in the store, the cut asked of the worker, its bytes written, the
// commit. Used step by step by Handover (the cut of a reload) and in one go by Checkpointer. Dropping it before the
// commit abandons the draft; no callback comes then.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "supervisor/snapshot/snapshot_store.h"
#include "supervisor/worker/generation.h"

namespace zeroth {

// What a generation is restored from: nothing, an inline text, or a file, with what restore says about it.
struct RestoreSource {
  std::string state;  // JSON text; "" if there is a file, or nothing at all
  std::optional<StateFile> file;
  std::string schema;
  double age_s = 0;
  bool same_boot = true;
  std::uint64_t from_generation = 0;
  std::uint64_t sequence = 0;  // of the snapshot, 0: none
  std::uint64_t bytes = 0;
};

// What is done once: whoever asks again waits for the same outcome, or has it at once.
template <class Outcome>
class OneTimeStep {
 public:
  // True for the first who asks, who then has to begin it.
  bool join(std::function<void(Outcome)> done) {
    if (outcome_) {
      done(*outcome_);
      return false;
    }
    waiting_.push_back(std::move(done));
    return !std::exchange(begun_, true);
  }
  void finish(Outcome outcome) {
    outcome_ = std::move(outcome);
    for (const auto& done : std::exchange(waiting_, {})) done(*outcome_);
  }

 private:
  bool begun_ = false;
  std::optional<Outcome> outcome_;
  std::vector<std::function<void(Outcome)>> waiting_;
};

class Checkpoint : public std::enable_shared_from_this<Checkpoint> {
 public:
  // `head`: as for SnapshotStore::begin.
  Checkpoint(SnapshotStore& store, std::shared_ptr<Generation> worker, SnapshotEnvelope head);
  ~Checkpoint();

  // Offers a file and asks for the cut. Afterwards taken_at, iteration and pause are known.
  void take(bool hold, Milliseconds deadline, std::function<void(Status)> done);
  // Afterwards every byte is allocated and written, and source() can be restored from if it was first asked
  // `for_restore`. A final stop may take over a checkpoint whose write or commit is under way: it joins them.
  void write(bool for_restore, std::function<void(Status)> done);
  void commit(std::function<void(Result<SnapshotStore::Committed>)> done);

  bool unchanged() const { return unchanged_; }
  std::uint64_t sequence() const { return draft_ ? draft_->sequence : 0; }
  MonotonicTime taken_at() const { return taken_at_; }
  const std::optional<std::uint64_t>& iteration() const { return iteration_; }
  double pause_ms() const { return pause_ms_; }
  std::uint64_t bytes() const { return bytes_; }
  const RestoreSource& source() const { return source_; }

 private:
  void ask(bool hold, Milliseconds deadline, std::function<void(Status)> done);
  Status on_answer(const tl::expected<Json, Refusal>& outcome, std::string_view text);
  void link();

  SnapshotStore& store_;
  std::shared_ptr<Generation> worker_;
  SnapshotEnvelope head_;
  std::optional<SnapshotStore::Draft> draft_;
  DraftState state_;
  OneTimeStep<Status> write_;
  OneTimeStep<Result<SnapshotStore::Committed>> commit_;
  bool unchanged_ = false;
  MonotonicTime taken_at_{};
  std::optional<std::uint64_t> iteration_;
  double pause_ms_ = 0;
  std::uint64_t bytes_ = 0;
  RestoreSource source_;
};

}  // namespace zeroth
