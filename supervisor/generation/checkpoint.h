#pragma once
// One snapshot of one worker in the making: a draft in the store, the cut asked of the worker, its bytes written, the
// commit. Used step by step by Handover (the cut of a reload) and Checkpointer; whoever takes over a cut that another
// began calls finish(). Dropping it before the commit abandons the draft; no callback comes then.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "supervisor/generation/generation.h"
#include "supervisor/snapshot/snapshot_store.h"

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
  bool fresh = false;          // nothing, because that was asked for
  std::shared_ptr<void> link;  // drops the file's second name when nobody needs it any more
  std::shared_ptr<void> kept;  // keeps the snapshot from being pruned before its successor has begun
};

RestoreSource to_source(const Restorable& found);
RestoreSource fresh_source();

class Checkpoint : public std::enable_shared_from_this<Checkpoint> {
 public:
  using Done = std::function<void(const Result<SnapshotStore::Committed>&)>;
  struct Ask {
    bool hold = false;
    bool durable = false;  // what the worker answered last is the newest snapshot: `unchanged` is answer enough
    Milliseconds deadline{};
  };

  // `head`: as for SnapshotStore::begin. `living`: finds the newest snapshot, which an unchanged state is.
  Checkpoint(SnapshotStore& store, std::shared_ptr<Generation> worker, SnapshotEnvelope head, SearchOptions living);
  ~Checkpoint();

  // Offers a file and asks for the cut. Afterwards taken_at, iteration and pause are known.
  void take(const Ask& ask, std::function<void(Status)> done);
  // What was taken: its text, or the place in the draft where the worker put it. Nothing if it said unchanged.
  RestoreSource given() const;
  // Afterwards every byte is allocated and written, and source() can be restored from.
  void write(bool for_restore, std::function<void(Status)> done);
  void commit(Done done);

  // Makes it durable from whatever step it has reached; several may wait. It must have been taken.
  void finish(Done done);

  // The worker said that nothing changed since the newest snapshot: that one stands for this one.
  bool unchanged() const { return unchanged_; }
  MonotonicTime taken_at() const { return taken_at_; }
  const std::optional<std::uint64_t>& iteration() const { return iteration_; }
  double pause_ms() const { return pause_ms_; }
  std::uint64_t bytes() const { return bytes_; }
  const RestoreSource& source() const { return source_; }

 private:
  enum class Step {
    Begun,
    Taken,  // the worker has answered
    Writing,
    Written,  // every byte is allocated and written
    Committing,
    Durable,
    Failed,  // error_ says why
  };

  void write_unchanged(std::function<void(Status)> done);
  void on_written(Status written, const std::function<void(Status)>& done);
  void on_committed(const Result<SnapshotStore::Committed>& committed, const Done& done);
  void offer(const Ask& ask, std::function<void(Status)> done);
  void send(const Ask& ask, std::function<void(Status)> done);
  StateFile offered() const;
  void write_into(const SnapshotStore::Draft& draft, std::function<void(Status)> done);
  Status on_answer(const tl::expected<Json, Refusal>& outcome, std::string_view text);
  void link(std::function<void(Status)> done);

  SnapshotStore& store_;
  Step step_ = Step::Begun;
  Error error_;
  SnapshotStore::Committed committed_;
  std::vector<Done> finish_waiting_;
  std::shared_ptr<Generation> worker_;
  SnapshotEnvelope head_;
  const SearchOptions living_;
  std::optional<SnapshotStore::Draft> draft_;
  Exchange::Handle exchanged_;  // of a worker that cannot write into the draft itself
  DraftState state_;
  bool unchanged_ = false;
  MonotonicTime taken_at_{};
  std::optional<std::uint64_t> iteration_;
  double pause_ms_ = 0;
  std::uint64_t bytes_ = 0;
  RestoreSource source_;
};

}  // namespace zeroth
