#pragma once
// The end of a live worker on purpose: drain, checkpoint{hold}, commit, stop, reaped. Owned by Worker while it stops.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/generation/checkpoint.h"
#include "supervisor/generation/generation.h"

namespace zeroth {

class FinalStop {
 public:
  struct Outcome {
    std::optional<SnapshotStore::Committed> snapshot;  // the final one
    std::string error;                                 // why there is none; "" if there is, or if none was wanted
    bool uncut = false;     // the worker could not give its state; else it could not be written
    bool given_up = false;  // it was not stopped: it runs on
  };
  struct Hooks {
    std::function<std::shared_ptr<Checkpoint>()> make_checkpoint;
    // Does what can be done about a failed save: it is tried once more.
    std::function<void(const Error&, std::function<void()> done)> mend;
    std::function<void(const Outcome&)> on_done;  // may destroy this
  };

  // `insist`: stop it also if its state cannot be saved; else it is resumed then.
  FinalStop(std::shared_ptr<Generation> worker, bool insist, Milliseconds drain, Milliseconds checkpoint,
            Milliseconds stop, Hooks hooks);

  // From now on its state may be lost, if that is what stopping takes.
  void insist() { insist_ = true; }

  // From the beginning, or with a cut that was taken by a hand-over (the worker may be gone already: null).
  void begin();
  void begin_with(std::shared_ptr<Checkpoint> cut);

  // The worker was reaped (its hooks belong to Worker).
  void worker_gone();
  // KILL now; the checkpoint is not waited for.
  void kill_now();

 private:
  void cut();
  void save();
  void on_saved(const Result<SnapshotStore::Committed>& committed);
  void on_failed(const Error& error);
  void try_again(const Error& error);
  void resume(std::function<void(bool resumed)> then);
  void stop();
  void finish();

  std::shared_ptr<Generation> worker_;
  bool insist_;
  const Milliseconds drain_, checkpoint_, stop_;
  Hooks hooks_;
  std::shared_ptr<Checkpoint> cut_;
  Outcome outcome_;
  bool saving_ = false;
  bool gone_ = false;
  bool tried_again_ = false;
  bool finished_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
