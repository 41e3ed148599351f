// Worker: ends that nobody asked for, and the one on purpose.

#include <cerrno>
#include <csignal>
#include <utility>

#include "common/exit_codes.h"
#include "common/text.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

constexpr std::size_t kCrashLines = 20;  // of output shown with a crash
constexpr const char* kEditHint = "edit the program, or zerothctl restart";

ExitKind kind_of(const ExitInfo& exit) {
  if (exit.code == 0) return ExitKind::Finished;
  return !exit.by_us && (exit.signal == SIGKILL || exit.signal == SIGTERM) ? ExitKind::KilledByHand : ExitKind::Crashed;
}

// The system had no descriptor, memory or room for it, which says nothing about the code.
bool could_not_be_spawned(const Generation& ended) {
  const int error = ended.spawn_error();
  return error == EROFS || (error != 0 && exit_code_for(error) == kExitFailed);
}

// What it was killed for says more than the signal.
std::string meaning_of(const Generation& ended) {
  return ended.failure().empty() && ended.exit() ? ended.exit()->meaning : ended.failure();
}

Json exit_json(const Generation& ended, const std::string& meaning, const std::vector<OutputEntry>& lines) {
  Json tail = Json::array();
  for (const OutputEntry& line : lines) {
    if (line.generation == ended.number()) tail.push_back(line.shown());
  }
  const auto& exit = ended.exit();
  return {{"at", rfc3339(wall_now())},
          {"generation", ended.number()},
          {"code", exit && exit->code ? Json(*exit->code) : Json()},
          {"signal", exit && exit->signal != 0 ? Json(exit->signal) : Json()},
          {"meaning", meaning},
          {"log_tail", std::move(tail)}};
}

}  // namespace

// The live generation was reaped.
void Worker::on_live_end() {
  if (final_stop_) return final_stop_->worker_gone();
  const std::shared_ptr<Generation> ended = live_;
  const std::string meaning = meaning_of(*ended);
  if (handover_) {
    output_.finish(ended->number());
    last_exit_ = exit_json(*ended, meaning, output_.tail(kCrashLines));
    if (handover_->candidate() == ended) return handover_->candidate_lost(meaning);
    checkpointer_.pause();
    lost_old_ = ended;
    bury(std::exchange(live_, nullptr));
    return handover_->old_gone();
  }
  live_.reset();
  bury(ended);
  if (replacing_) return on_mute_replaced();
  crashed(ended, meaning);
}

void Worker::crashed(const std::shared_ptr<Generation>& ended, const std::string& meaning) {
  pause_health();
  checkpointer_.pause();
  set_state(WorkerState::Starting);
  iteration_at_end_ = last_iteration_;
  WorkerEnd end;
  end.now = monotonic_now();
  end.can_roll_back = previous_ && !previous_->copy.empty();  // a command's earlier code is not kept
  if (ended) {
    output_.finish(ended->number());
    last_exit_ = exit_json(*ended, meaning, output_.tail(kCrashLines));
    end.kind = ended->exit() ? kind_of(*ended->exit()) : ExitKind::Crashed;
    end.was_ready = ended->live_since().has_value();
    if (end.was_ready) end.lived = std::chrono::duration_cast<Milliseconds>(end.now - *ended->live_since());
  }
  const bool of_its_own = end.kind == ExitKind::Crashed;
  if (std::exchange(stopped_for_successor_, false) && of_its_own && setup_.options->restart != RestartOn::Never) {
    current_ = newest_;  // all there is to be tried
    if (!ended || !could_not_be_spawned(*ended))
      return give_up(crash_json(meaning), "runtime", "the code before it is not kept, so nothing runs", kEditHint);
  }
  follow(policy_.on_end(end), meaning);
}

// What the event `crash` tells but for what follows.
Json Worker::crash_json(const std::string& meaning) const {
  Json crash = last_exit_.is_null() ? Json{{"meaning", meaning}} : last_exit_;
  crash["iteration"] = last_iteration_ ? Json(*last_iteration_) : Json();
  const auto& newest = store_.newest();
  crash["snapshot"] =
      newest && !starts_fresh_ ? Json{{"sequence", newest->sequence}, {"age_s", state_age_s().value_or(0)}} : Json();
  crash["restart_in_ms"] = nullptr;
  return crash;
}

void Worker::follow(const Decision& decision, const std::string& meaning) {
  Json crash = crash_json(meaning);
  crash["reason"] = decision.reason;
  crash["restart_in_ms"] = decision.after ? Json(decision.after->count()) : Json();
  switch (decision.action) {
    case Decision::Action::Finished:
      crash["next"] = "finished";
      emit("crash", crash);
      checkpointer_.fail_waiting("the worker has finished");
      set_state(WorkerState::Finished);
      return take_pending();
    case Decision::Action::Failed:
      return give_up(std::move(crash), "runtime", "giving up: " + decision.reason, kEditHint);
    case Decision::Action::RollBack:
      crash["next"] = "rolled back";
      emit("crash", crash);
      ++restarts_;
      // Until the next edit: the same content saved again is no reason to try it again.
      rejected_ = {{"hash", current_->hash},
                   {"at", rfc3339(wall_now())},
                   {"diagnostics", Json::array()},
                   {"reason", "rolled back: " + decision.reason}};
      rejected_at_ = monotonic_now();
      passed_over_ = current_->hash;
      return launch_kept("rollback", "rollback", *previous_);
    case Decision::Action::Restart:
      break;
  }
  crash["next"] = "restart";
  emit("crash", crash);
  ++restarts_;
  const Milliseconds after = decision.after.value_or(Milliseconds(0));
  if (after.count() == 0) return launch_kept("crash-restart", crash_cause(), *current_);
  set_state(WorkerState::Backoff);
  restart_later(after);
  take_pending();
}

// Of the restart that follows an end.
std::string Worker::crash_cause() const {
  return unwell_.empty() ? "crash" : "unhealthy";
}

void Worker::restart_later(Milliseconds after) {
  next_try_ = monotonic_now() + after;
  restart_timer_.start(after, [this] { launch_kept("crash-restart", crash_cause(), *current_); });
}

// Nothing runs until an edit, a `restart`, or the late retry. `crash` is told but for what is added here.
void Worker::give_up(Json crash, const char* phase, const std::string& reason, const std::string& hint) {
  const Milliseconds again =
      setup_.options->restart == RestartOn::Never ? Milliseconds(0) : setup_.options->retry_failed;
  const bool retried = again.count() > 0 && !setup_.options->exit_on_failure;
  last_failure_ = {{"occurred_at", rfc3339(wall_now())},
                   {"phase", phase},
                   {"summary", crash.value("meaning", "") + (reason.empty() ? "" : "; " + reason)},
                   {"log_excerpt", crash.value("log_tail", Json::array())},
                   {"hint", hint + (retried ? "; it is tried again every " + human_duration(again) : "")}};
  crash["next"] = "failed";
  crash["restart_in_ms"] = retried ? Json(again.count()) : Json();
  crash["reason"] = reason;
  crash["hint"] = last_failure_["hint"];
  emit("crash", crash);
  checkpointer_.fail_waiting("the worker has failed");
  set_state(WorkerState::Failed);
  if (retried) restart_later(again);
  hooks_.on_gave_up();
  take_pending();
}

// A snapshot that the very code that wrote it refuses, or fails on twice, is set aside; one of other code is only
// passed over by code that was live before. True if the next older one is being tried.
bool Worker::set_aside_snapshot(const Handover& attempt) {
  const std::shared_ptr<Generation>& candidate = attempt.last_candidate();
  const bool by_hand = candidate && candidate->exit() && kind_of(*candidate->exit()) == ExitKind::KilledByHand;
  const bool failed_on_it = attempt.lost_in_restore() && candidate && !candidate->mute() && !by_hand;
  if (attempt.schema_refused()) return pass_over_schema(attempt);
  if (source_sequence_ == 0 || !(attempt.state_refused() || failed_on_it)) return false;
  const Receipt receipt = attempt.receipt();
  const auto again = [this, receipt] { launch(receipt.operation, receipt.cause, *target_, runs_kept_code_); };
  if (source_hash_ != target_->hash) {
    if (!attempt.state_refused() || !runs_kept_code_) return false;
    emit("log", {{"level", "warning"},
                 {"message", snapshot_name(source_sequence_) + " is of other code and refused: " + receipt.reason}});
    search_before_ = source_sequence_;
    again();
    return true;
  }
  if (failed_on_it && std::exchange(suspect_, source_sequence_) != source_sequence_) return false;
  const std::string reason = receipt.reason + (failed_on_it ? ", twice on this snapshot" : "");
  emit("snapshot-rejected",
       {{"file", snapshot_name(source_sequence_)}, {"sequence", source_sequence_}, {"reason", reason}});
  search_before_ = source_sequence_;
  store_.quarantine(source_sequence_, reason, [this, again](const Status&) {
    if (state_ == WorkerState::Starting && !handover_) again();
  });
  return true;
}

// An edit while nobody was live did not make it: what was to follow without it follows.
bool Worker::go_on_after_refused_edit(const Handover& attempt) {
  if (runs_kept_code_ || *current_ == *target_) return false;
  if (down_state_ == WorkerState::Finished) {
    set_state(WorkerState::Finished);
    take_pending();
  } else if (down_state_ == WorkerState::Backoff) {
    launch_kept("crash-restart", crash_cause(), *current_);
  } else {
    give_up({{"generation", attempt.receipt().to}, {"meaning", attempt.receipt().reason}}, "startup",
            "the edit was refused", kEditHint);
  }
  return true;
}

// A start from nothing came to nothing.
void Worker::on_start_failed(const Handover& attempt) {
  if (set_aside_snapshot(attempt)) return;
  const Receipt& receipt = attempt.receipt();
  const std::string kept = log_.last_live() ? log_.last_live()->program_hash : "";
  const bool new_code_refused = !runs_kept_code_ && (attempt.state_refused() || !receipt.diagnostics.empty());
  if (first_start_ && new_code_refused && !setup_.options->strict && !kept.empty() && kept != target_->hash) {
    note_rejected(receipt);
    rejected_ = {{"hash", target_->hash},
                 {"at", rfc3339(receipt.at)},
                 {"diagnostics", receipt.diagnostics},
                 {"reason", receipt.reason},
                 {"hint", receipt.hint}};
    rejected_at_ = monotonic_now();
    return content_.find_kept(kept, [this, receipt](const Result<Content>& content) {
      if (state_ != WorkerState::Starting || handover_) return;
      if (content) return launch_kept("start", "start", *content);
      fail_start(kExitCompile, receipt);
    });
  }
  const int spawn_error = attempt.last_candidate() ? attempt.last_candidate()->spawn_error() : 0;
  if (first_start_ && spawn_error != 0) return fail_start(exit_code_for(spawn_error), receipt);
  if (first_start_ && !receipt.diagnostics.empty()) {
    const bool of_file = attempt.candidate_exit_code() != kExitCompile;
    return fail_start(of_file ? attempt.candidate_exit_code() : kExitCompile, receipt);
  }
  if (!current_) current_ = target_;
  if (new_code_refused && go_on_after_refused_edit(attempt)) return;
  if (attempt.state_refused()) {
    return give_up({{"generation", receipt.to}, {"meaning", receipt.reason}}, "startup", "",
                   attempt.schema_refused()
                       ? schema_hint(attempt)
                       : "start with --fresh to begin without the kept state; it stays in its folder");
  }
  const std::shared_ptr<Generation>& candidate = attempt.last_candidate();
  if (receipt.operation == "reload" && candidate && candidate->spoke()) policy_.reset();
  crashed(candidate, receipt.reason);
}

// ---- Stop

void Worker::stop(bool insist, std::function<void(const StopOutcome&)> done) {
  stop_waiting_.push_back(std::move(done));
  stop_insists_ = stop_insists_ || insist;
  if (state_ == WorkerState::Stopping) {
    if (final_stop_ && insist) final_stop_->insist();
    return;
  }
  end_check(refuse(ErrorCode::Unavailable, "the worker is stopping"));
  restart_timer_.stop();
  tell_rejection(true);
  reread_timer_.stop();
  pause_health();
  port_check_.cancel();
  if (replacing_) pending_.push_back(*std::exchange(replacing_, std::nullopt));
  if (state_ == WorkerState::Stopped) return finish_stop({});
  set_state(WorkerState::Stopping);
  if (handover_) return handover_->stop_requested();
  begin_stop(live_, std::exchange(saving_cut_, nullptr));
}

// `generation`: who is to be stopped; `cut`: its final checkpoint, if a hand-over took one.
void Worker::begin_stop(std::shared_ptr<Generation> generation, std::shared_ptr<Checkpoint> cut) {
  set_state(WorkerState::Stopping);
  checkpointer_.pause();
  if (generation && (generation->gone() || is_dying(generation.get()))) generation.reset();
  if (!generation && !cut) return finish_stop({});
  const Options& options = *setup_.options;
  FinalStop::Hooks hooks;
  hooks.make_checkpoint = [this, generation] { return make_checkpoint(generation, "stop"); };
  hooks.mend = [this](const Error& why, const std::function<void()>& done) {
    store_.mend(why, checkpointer_.room(), [done](const Status&) { done(); });
  };
  hooks.on_done = [this](const FinalStop::Outcome& outcome) { finish_stop(outcome); };
  final_stop_ = std::make_unique<FinalStop>(generation, stop_insists_, options.drain_timeout,
                                            HandoverDeadlines::for_state(checkpointer_.last_bytes()),
                                            options.stop_timeout, std::move(hooks));
  if (cut) {
    final_stop_->begin_with(std::move(cut));
  } else {
    final_stop_->begin();
  }
}

void Worker::finish_stop(const FinalStop::Outcome& outcome) {
  if (final_stop_) loop_.post([finished = std::shared_ptr<FinalStop>(std::move(final_stop_))] {});
  if (outcome.given_up && stop_insists_) return begin_stop(live_, nullptr);  // somebody insisted meanwhile
  StopOutcome told;
  told.error = outcome.error;
  told.saved = outcome.error.empty();
  told.sequence = outcome.snapshot ? outcome.snapshot->sequence : 0;
  told.given_up = outcome.given_up;
  if (told.given_up) told.hint = unsaved_hint(outcome.uncut);
  const auto waiting = std::exchange(stop_waiting_, {});
  stop_insists_ = false;
  if (outcome.given_up) {
    go_on_after_refused_stop();
  } else {
    if (live_) bury(std::exchange(live_, nullptr));
    checkpointer_.fail_waiting("the worker is stopped");
    const Refusal stopped{ErrorCode::Unavailable, "the worker is stopped", "", nullptr};
    for (ReloadRequest& request : std::exchange(pending_, {})) {
      if (request.reply) request.reply(tl::unexpected(stopped));
    }
    for (const Reply& reply : std::exchange(replies_, {})) reply(tl::unexpected(stopped));
    set_state(WorkerState::Stopped);
    for (RollbackRequest& request : std::exchange(rollbacks_waiting_, {})) roll_back(std::move(request));
    settle_env();
  }
  for (const auto& done : waiting) done(told);
}

void Worker::go_on_after_refused_stop() {
  if (!live_ || live_->gone()) {
    const std::shared_ptr<Generation> ended = live_;
    if (live_) bury(std::exchange(live_, nullptr));
    return crashed(ended, ended && ended->exit() ? ended->exit()->meaning : "lost while it was to stop");
  }
  set_state(WorkerState::Ready);
  on_resumed();
  settle_env();
}

void Worker::kill_now() {
  if (handover_ && handover_->candidate()) handover_->candidate()->kill();
  if (final_stop_) return final_stop_->kill_now();
  if (live_) live_->kill();
}

}  // namespace zeroth
