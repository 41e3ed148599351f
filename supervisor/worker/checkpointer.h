#pragma once
// When snapshots of the live worker are taken, one at a time: periodically within the limits on pause and disk rate,
// and on request (checkpoint, save). Knows how old the newest durable state is and whether saving works at all.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "supervisor/generation/checkpoint.h"
#include "supervisor/snapshot/snapshot_store.h"
#include "supervisor/worker/checkpoint_pace.h"

namespace zeroth {

class Checkpointer {
 public:
  using Committed = SnapshotStore::Committed;
  using Done = std::function<void(const Result<Committed>&)>;

  struct Hooks {
    std::function<std::shared_ptr<Checkpoint>(const std::string& cause)> make;
    std::function<void(const Committed&, const std::string& cause)> on_committed;
    // Saving began to fail (the reason) or works again ("").
    std::function<void(const std::string& degraded)> on_health;
  };

  // `pace`: of periodic snapshots; an interval of 0 for none. `young`: snapshots are of use only while they are young,
  // so that an equal one is written all the same.
  Checkpointer(Loop& loop, SnapshotStore& store, const CheckpointPace& pace, bool young, Hooks hooks);

  // A worker is live, from now on or again; its state is durable up to now if `durable`.
  void begin(bool durable);
  // It is not (it ended, it stops). A request in flight fails; waiting ones stay.
  void pause();
  // The same for a cut: what it did since it was last saved may still be lost.
  void hold();
  // What made saving fail may be over, or what was saved is gone.
  void try_again();
  // Fails everybody who waits.
  void fail_waiting(const std::string& reason);

  // Answered after the commit point of a snapshot that is cut after this call. All who wait share one.
  void request(const std::string& cause, Done done);

  // The cut of a hand-over, taken at `cut`, went this way.
  void on_cut_committed(const Result<Committed>& committed, MonotonicTime cut);

  const std::string& degraded() const { return degraded_; }
  // Seconds of the worker's life that would be lost if everything died now: whatever spaces snapshots out counts.
  double loss_window_s() const;
  // Since the state was last known to be what the newest snapshot holds; nullopt if it never was.
  std::optional<double> since_durable_s() const;
  std::uint64_t last_bytes() const { return last_bytes_; }
  // Bytes that are made free when the disk is full: for SnapshotStore::mend.
  std::uint64_t room() const;

 private:
  void take_next();
  void take(const std::string& cause, std::vector<Done> waiting);
  bool may_be_unchanged() const;
  void on_unchanged(const std::string& cause);
  void finish(const std::string& cause, const std::vector<Done>& waiting, const Result<Committed>& committed);
  void note(const Result<Committed>& committed, MonotonicTime cut);
  void schedule();

  SnapshotStore& store_;
  const CheckpointPace pace_;
  const bool young_;
  Hooks hooks_;
  Timer timer_;
  bool live_ = false;
  bool lives_ = false;  // live_, or held for a cut
  std::shared_ptr<Checkpoint> current_;
  std::vector<Done> current_waiting_;
  std::vector<Done> next_waiting_;
  std::vector<Done> before_cut_;  // asked before a cut of somebody else's was taken
  std::string next_cause_;
  std::uint64_t answered_ = 0;  // snapshot that holds what the live worker answered last, 0: none, or who knows
  std::string degraded_;
  bool shrunk_ = false;
  int failures_ = 0;
  std::optional<MonotonicTime> durable_at_;
  MonotonicTime last_cut_{};
  MonotonicTime looked_at_{};  // the newest snapshot's file, last
  double last_pause_ms_ = 0;
  std::uint64_t last_bytes_ = 0;
};

}  // namespace zeroth
