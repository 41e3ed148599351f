#pragma once
// One start, reload, crash restart or rollback from its beginning to its verdict: translates what happens into the
// events of the table in handover_state and performs the actions it names. Owned by Worker, one at a time. Every other
// file knows one step; this one knows the whole.

#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "supervisor/generation/checkpoint.h"
#include "supervisor/generation/generation.h"
#include "supervisor/generation/receipt.h"
#include "supervisor/reload/handover_state.h"
#include "supervisor/reload/restore_check.h"

namespace zeroth {

struct HandoverDeadlines {
  Milliseconds drain{250};
  Milliseconds stop{10'000};
  Milliseconds ready{10'000};
  Milliseconds resume{2'000};
  // Checkpoint and restore: 10 s and 1 s for each 10 MB of the last state.
  static Milliseconds for_state(std::uint64_t bytes) {
    return Milliseconds(10'000 + static_cast<std::int64_t>(bytes / 10'000));
  }
};

class Handover {
 public:
  using SourceDone = std::function<void(Result<RestoreSource>)>;
  using ReplaceSource =
      std::function<void(const SnapshotStore::Committed& cut, const RestoreSource& of_cut, SourceDone done)>;

  struct Plan {
    HandoverContext context;
    // operation, worker, from, mode, cause, changed, ms.settle and, of a rollback, restored_generation are filled in.
    Receipt receipt;
    std::shared_ptr<Generation> old;  // null in mode Start
    MonotonicTime began;              // of the change that caused it
    bool settled = true;              // else the candidate waits, loaded or failed, until the change has settled
    std::uint64_t last_state_bytes = 0;
    HandoverDeadlines deadlines;
    // With context.commit_first: puts the committed cut aside and gives what is restored, which may be the cut itself.
    ReplaceSource replace = nullptr;
    Losses losses = {};
    bool refuse_loss = false;  // a state of which the candidate drops something is none that it may go with
    std::optional<std::string> schema = std::nullopt;  // of the state to be restored, as far as it is known before
  };

  // What the worker does for it. All are called from the loop; only on_done may destroy the hand-over.
  struct Hooks {
    // A generation with the newest content (or the kept copy chosen), not spawned yet.
    std::function<std::shared_ptr<Generation>()> make_candidate;
    std::function<std::shared_ptr<Checkpoint>(std::shared_ptr<Generation>)> make_checkpoint;
    // From here to on_go or on_resumed calls are queued.
    std::function<void()> on_cut;
    // What a candidate prints; after on_go the worker's own hooks are in place.
    std::function<void(const Generation&, OutputStream, std::string_view)> on_output;
    // Writes the `live` line, which go waits for; calls back later: it is as durable as it has to be, or why it is not.
    std::function<void(const std::shared_ptr<Generation>&, std::function<void(const Status&)> done)> before_go;
    // Takes the candidate's hooks over; the commit point comes right after. From here on the candidate is what is live,
    // and its end is reported by candidate_lost().
    std::function<void(const std::shared_ptr<Generation>&, const Receipt&)> on_go;
    std::function<void()> on_go_answered;
    std::function<void()> on_resumed;
    // The cut of this hand-over is durable, or why not.
    std::function<void(const Result<SnapshotStore::Committed>&, MonotonicTime cut)> on_committed;
    // A process that is to be reaped; kept by the worker until it is gone.
    std::function<void(std::shared_ptr<Generation>)> bury;
    std::function<void(const Receipt&)> on_verdict;
    // Nothing is left to wait for. `actions`: what follows, of the last group of HandoverAction.
    std::function<void(std::vector<HandoverAction> actions)> on_done;
  };

  Handover(Loop& loop, Plan plan, Hooks hooks);

  void begin();
  // Mode Start: what to restore; restore waits for it.
  void set_source(RestoreSource source);
  // Mode Start: nothing can be restored; the hand-over fails.
  void fail_source(const std::string& reason);
  // The same, but it may be there: the system did not let us look.
  void lose_source(const std::string& reason) { candidate_failed(reason); }
  // The next four may end the hand-over. `changed`: paths, for the receipt of whoever is started with the content.
  void content_changed(const std::vector<std::string>& changed, bool settled);
  // The content is what the candidate was started with. `anew`: but it may have read it half written.
  void settled(bool anew);
  // The content is what N runs, or is not to be started: nobody is told of the candidate.
  void withdraw();
  bool unsettled() const { return !settled_; }
  void stop_requested() { deliver(HandoverEvent::StopRequested); }
  // The old generation is reaped (its hooks belong to the worker).
  void old_gone() { deliver(HandoverEvent::OldGone); }
  // The candidate was sent go and is gone or broken.
  void candidate_lost(const std::string& reason) { candidate_failed(reason); }

  HandoverState state() const { return state_; }
  // Null in mode Start.
  const std::shared_ptr<Generation>& old() const { return old_; }
  bool verdict_given() const { return verdict_given_; }
  // Expires with the hand-over.
  std::weak_ptr<bool> token() const { return alive_; }
  const HandoverContext& context() const { return context_; }
  const std::shared_ptr<Generation>& candidate() const { return candidate_; }
  // The last one there was, also after it failed; null if none was spawned.
  const std::shared_ptr<Generation>& last_candidate() const { return last_candidate_; }
  // Its exit code, 0 if it has none.
  int candidate_exit_code() const;
  const std::shared_ptr<Checkpoint>& checkpoint() const { return checkpoint_; }
  const Receipt& receipt() const { return receipt_; }
  // Why the candidate did not make it: the worker refused the state itself (not: died, late).
  bool state_refused() const { return state_refused_; }
  // The same, because its schema is none that the code takes. No process was asked.
  bool schema_refused() const { return schema_refused_; }
  // Why N could not be cut; "" if it was, or was not to be.
  const std::string& cut_error() const { return cut_error_; }
  // The last candidate was sent its state and ended, or was late, without an answer.
  bool lost_in_restore() const { return restoring_; }
  // Neither the candidate nor its code is to blame: the disk or the machine lacked what it takes. Worth another try.
  bool lacked_room() const { return lacked_room_; }
  // It got as far as saying loaded.
  bool loaded() const { return loaded_; }

 private:
  void deliver(HandoverEvent event);
  void perform(HandoverAction action);
  void make_candidate();
  void spawn_candidate();
  void candidate_loaded();
  void start_anew();
  bool killed_from_outside() const;
  void reexec();
  void bury_candidate();
  void candidate_failed(const std::string& reason);
  void drain();
  void cut();
  void write_cut();
  void commit();
  void on_committed(const Result<SnapshotStore::Committed>& committed);
  bool takes_schema(const std::optional<std::string>& schema);
  void restore();
  void on_restored(const tl::expected<Json, Refusal>& outcome);
  void ready_if_both();
  void verify();
  void go();
  void resume();
  void give_verdict(HandoverVerdict verdict);
  void mark(std::optional<double>& step);

  Loop& loop_;
  Hooks hooks_;
  HandoverState state_ = HandoverState::Idle;
  HandoverContext context_;
  std::queue<HandoverEvent> events_;
  bool stepping_ = false;

  Receipt receipt_;
  std::shared_ptr<Generation> old_;
  std::shared_ptr<Generation> candidate_, last_candidate_;
  std::shared_ptr<Checkpoint> checkpoint_;
  ReplaceSource replace_;
  const Losses losses_;
  const bool refuse_loss_;
  const std::optional<std::string> schema_;
  std::unique_ptr<RestoreCheck> check_;
  std::optional<RestoreSource> source_;
  bool restore_waits_ = false;
  bool restoring_ = false;
  bool restored_ = false;
  bool said_ready_ = false;
  bool state_refused_ = false;
  bool schema_refused_ = false;
  bool lacked_room_ = false;
  std::string cut_error_;
  bool loaded_ = false;
  bool settled_;
  bool failed_early_ = false;  // the candidate did, which counts once the change has settled
  bool verdict_given_ = false;
  std::uint64_t last_state_bytes_;
  HandoverDeadlines deadlines_;
  Timer ready_timer_;
  Timer settle_timer_;
  MonotonicTime began_;
  MonotonicTime mark_;
  std::optional<MonotonicTime> cut_at_;
  std::vector<HandoverAction> follow_ups_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
