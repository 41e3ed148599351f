// Worker: reloads, from the request or the edit to the verdict and what follows it.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "supervisor/option_names.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

constexpr Milliseconds kReadAgain{1'000};
constexpr Milliseconds kLongestWait{30'000};  // between two tries of what lacked room
constexpr Milliseconds kStandStill{50};  // a rejection is announced only if the content did not change again by then

HandoverMode handover_mode(ReloadMode mode) {
  switch (mode) {
    case ReloadMode::Overlap:
      return HandoverMode::Overlap;
    case ReloadMode::Exec:
      return HandoverMode::Exec;
    case ReloadMode::Recreate:
    case ReloadMode::Auto:  // decide_mode() has chosen one
      break;
  }
  return HandoverMode::Recreate;
}

// A command that does not speak and has done its work before it would have counted as ready.
bool has_ended_well(const std::shared_ptr<Generation>& candidate, const Options& options) {
  const bool ended = candidate && candidate->gone() && candidate->exit() && candidate->exit()->code == 0;
  return ended && !candidate->spoke() && !options.protocol && options.restart != RestartOn::Always;
}

}  // namespace

void Worker::reload(ReloadRequest request) {
  if (!request.settled && !may_begin_early()) return;
  const bool from_stopped = state_ == WorkerState::Stopped && request.cause == "start";
  const bool never_began = !current_ && !recovery_ && !handover_ && (from_stopped || state_ == WorkerState::Failed);
  if (never_began) {
    if (request.reply) replies_.push_back(std::move(request.reply));
    return start();
  }
  if (from_stopped) set_state(WorkerState::Starting);
  if (state_ == WorkerState::Stopping || state_ == WorkerState::Stopped) {
    if (request.reply) request.reply(refuse(ErrorCode::Unavailable, "the worker is " + std::string(to_string(state_))));
    return;
  }
  if (request.force && request.cause != "env") hooks_.on_restart();
  const auto shared = std::make_shared<ReloadRequest>(std::move(request));
  content_.read([this, shared](const Result<Content>& content) { on_content(std::move(*shared), content); });
}

void Worker::on_content(ReloadRequest request, const Result<Content>& content) {
  if (!request.settled) return content ? begin_early(std::move(request), *content) : void();
  if (!content) {
    // The program is gone or unreadable for now: what runs, runs on. A file that is away comes back with an event;
    // whatever else it is (a full disk) is tried again.
    const std::string why = content.error().message;
    if (unread_ != why) emit("log", {{"level", "warning"}, {"message", why}});
    unread_ = why;
    if (content.error().code != ENOENT) {
      read_again(kReadAgain);
    }
    if (request.reply) request.reply(refuse(ErrorCode::Failed, why));
    return;
  }
  if (state_ == WorkerState::Stopping || state_ == WorkerState::Stopped) {
    if (request.reply) request.reply(refuse(ErrorCode::Unavailable, "the worker is " + std::string(to_string(state_))));
    return;
  }
  unread_.clear();
  if (request.changed.empty()) request.changed = content->changed;  // asked for before the watch had told
  const bool known = newest_ && *newest_ == *content;
  newest_ = *content;
  release_if_changed();
  if (handover_) {
    tell_handover(request, *content, known);
    if (!request.reply) return;
  }
  if (handover_) {
    const bool same = target_ && *target_ == *content && !request.force && !runs_kept_code_ && !aim_.puts_aside();
    if (same && handover_->verdict_given()) return answer_unchanged(request);
    if (same) {
      replies_.push_back(std::move(request.reply));
    } else {
      pending_.push_back(std::move(request));
    }
    return;
  }
  if (recovery_ || !current_ || replacing_ || saving_cut_) {
    pending_.push_back(std::move(request));
    return;
  }
  begin_reload(std::move(request));
}

void Worker::read_again(Milliseconds after) {
  reread_timer_.start(after, [this] { reload({"edit", false, {}, monotonic_now(), {}}); });
}

// As soon as snapshots can be saved again, if that is being tried.
void Worker::wait_for_room(Milliseconds after) {
  reread_timer_.start(after, [this] {
    const bool told = setup_.options->checkpoint_interval.count() != 0;
    if (told && !checkpointer_.degraded().empty()) return wait_for_room(kReadAgain);
    env_.refused.reset();
    settle_env();
    reload({"edit", false, {}, monotonic_now(), {}});
  });
}

void Worker::begin_reload(ReloadRequest request) {
  const bool for_env = request.cause == "env";
  if (for_env && has_its_env()) return answer_unchanged(request);  // what came in between has brought it
  reread_timer_.stop();
  const bool runs = live_ && state_ == WorkerState::Ready;
  const bool held = holds_back(request);
  if (!request.force) {
    const bool same = runs && (*newest_ == *current_ || held);
    const bool rejected_before = !rejected_.is_null() && rejected_["hash"] == newest_->hash && !request.reply;
    if (same || rejected_before || (held && !request.reply)) return answer_unchanged(request);
  }
  // A kept copy: what a rollback returns or leaves, and what is live while the disk is held back.
  const bool keeps_code = request.cause == "unhealthy" || for_env;
  const bool same_code = keeps_code && runs && !current_->copy.empty();
  const bool present = held || request.aim.rollback || same_code;
  const Content content = request.aim.code ? *request.aim.code : present ? *current_ : *newest_;
  const bool kept_code = present && !content.copy.empty();
  if (request.reply) replies_.push_back(std::move(request.reply));
  tell_rejection(false);
  lost_old_.reset();
  if (runs && live_->mute()) return replace_mute(std::move(request));
  aim_ = request.aim;
  pinned_ = 0;
  pinned_before_ = false;
  passed_over_ = newest_->hash;
  down_state_ = state_;
  iteration_before_aim_ = last_iteration_;
  if (!runs) return launch_reload(request, content, kept_code);
  decide_mode();
  ReloadMode mode = for_env && mode_ == ReloadMode::Exec ? ReloadMode::Overlap : mode_;  // execv keeps the old one
  const std::string no_room = mode == ReloadMode::Overlap && request.settled ? lacks_memory() : "";
  if (!no_room.empty()) mode = ReloadMode::Recreate;
  Handover::Plan plan;
  plan.context.mode = handover_mode(mode);
  plan.context.old_drains = live_->loaded().capabilities.drain;
  plan.context.old_cuts = live_->loaded().capabilities.checkpoint && live_->loaded().capabilities.hold;
  plan.context.commit_first = aim_.puts_aside();
  plan.context.cut_spared = aim_.state == Aim::State::Fresh;
  plan.context.kept_code = kept_code;
  plan.context.second_try = second_try_;
  plan.context.verify = setup_.options->verify_restore && plan.context.old_cuts;
  if (aim_.state != Aim::State::Fresh)
    plan.schema = aim_.state == Aim::State::Snapshot ? aim_.source.schema : live_->loaded().schema;
  plan.losses = losses_;
  plan.refuse_loss = setup_.options->on_loss == OnLoss::Refuse && request.cause != "force" && !aim_.puts_aside();
  plan.receipt.operation = aim_.rollback ? "rollback" : "reload";
  plan.receipt.worker = setup_.name;
  plan.receipt.from = live_->number();
  plan.receipt.mode = name_of_value(kReloadModes, mode);
  plan.receipt.mode_reason = no_room;
  plan.receipt.cause = request.cause;
  plan.receipt.changed = request.changed;
  plan.receipt.code = !(content == *current_);
  if (aim_.rollback) plan.receipt.restored_generation = aim_.generation;
  plan.receipt.ms.settle = elapsed_ms(request.began, monotonic_now());
  plan.settled = request.settled;
  plan.old = live_;
  plan.began = request.began;
  plan.last_state_bytes = checkpointer_.last_bytes();
  plan.deadlines.drain = setup_.options->drain_timeout;
  plan.deadlines.stop = setup_.options->stop_timeout;
  if (aim_.puts_aside()) plan.replace = replacing_source();
  runs_kept_code_ = kept_code;
  target_ = content;
  handover_ = std::make_unique<Handover>(loop_, std::move(plan), handover_hooks());
  handover_->begin();
}

// Nobody is live.
void Worker::launch_reload(const ReloadRequest& request, const Content& content, bool kept_code) {
  search_before_ = kMaxSequence + 1;  // what other code refused, this code may take
  search_takes_.reset();
  launch(aim_.rollback ? "rollback" : "reload", request.cause, content, kept_code, request.changed);
}

void Worker::on_verdict(const Receipt& original) {
  Receipt receipt = original;
  receipt.commit = target_->commit;
  if (const auto& candidate = handover_->last_candidate()) receipt.env = env_difference(*candidate);
  const bool automatic = rolls_back_by_itself();
  if (automatic && receipt.verdict == "ok") receipt.verdict = "rolled_back";
  const bool starts =
      handover_->context().mode == HandoverMode::Start;  // else it was to take over from one that speaks
  const bool ended_well = starts && has_ended_well(handover_->last_candidate(), *setup_.options);
  const bool never_loaded = starts && !handover_->loaded();
  if (receipt.operation == "reload" && receipt.verdict == "failed" && never_loaded && !handover_->lacked_room())
    receipt.verdict = ended_well ? "ok" : "rejected";
  const bool from_crash = receipt.operation == "crash-restart" || automatic;
  if (from_crash && iteration_at_end_ && receipt.iteration) {
    receipt.iteration_lost = *iteration_at_end_ > *receipt.iteration ? *iteration_at_end_ - *receipt.iteration : 0;
  }
  if (aim_.puts_aside()) finish_aim(receipt);
  if (receipt.verdict == "abandoned" && !handover_->cut_error().empty()) receipt.hint = unsaved_hint(true);
  if (handover_->schema_refused()) receipt.hint = schema_hint(*handover_);
  const bool ok = !ended_well && (receipt.verdict == "ok" || receipt.verdict == "rolled_back");
  const bool runs_disk = !runs_kept_code_ || (newest_ && *newest_ == *target_);
  const bool withdrawn = receipt.verdict == "unchanged";
  if (!ok && !ended_well && !withdrawn && !aim_.rollback) failed_hash_ = target_->hash;
  if (ok && runs_disk) failed_hash_.clear();
  if (receipt.verdict == "rolled_back" && previous_) failed_hash_ = previous_->hash;
  if (ok) {
    receipt.defaults = std::exchange(changed_defaults_, Json::array());
    decide_mode();
    if (receipt.mode == "start") receipt.mode = name_of_value(kReloadModes, mode_);
  }
  if (ok && receipt.mode_reason.empty()) receipt.mode_reason = mode_reason_;
  count_verdict(receipt);
  const Json json = to_json(receipt);
  log_writer_.write(log_.receipt(json));
  store_.keep_before_loss(losses_.note(json));
  log_writer_.sync();
  last_reload_ = json;
  if (ok) {
    last_failure_ = nullptr;
    room_wait_ = Milliseconds(0);
    if (receipt.operation == "reload" && receipt.cause != "unhealthy") {
      policy_.reset();  // earlier failures were another edition's
      if (receipt.cause != "env") policy_.on_reloaded();
    }
    if (runs_disk) {
      if (!rejected_.is_null()) rejected_ = nullptr;
      rejected_at_.reset();
    }
    emit("reload", json);
    if ((aim_.code || automatic) && !held_hash().empty()) {
      emit("log",
           {{"level", "info"},
            {"message", "the code on disk is held back until it changes; zerothctl restart --release starts it"}});
    }
  } else if (receipt.operation == "reload" && (ended_well || withdrawn)) {
    if (runs_disk && ended_well) rejected_ = nullptr;
    emit("reload", json);
  } else if (receipt.operation == "reload") {
    note_rejected(receipt);
  } else if (aim_.rollback) {
    emit(receipt.verdict == "rejected" ? "rejected" : "reload", json);
  }
  for (const Reply& reply : std::exchange(replies_, {})) reply(json);
}

// The old generation goes on. Told only when the content has stood still: editors truncate, then write.
void Worker::note_rejected(const Receipt& receipt) {
  const Json json = to_json(receipt);
  if (receipt.verdict == "rejected" && !runs_kept_code_ && receipt.cause != "env") {
    if (!rejected_at_) rejected_at_ = monotonic_now();
    rejected_ = {{"hash", target_->hash},
                 {"at", rfc3339(receipt.at)},
                 {"diagnostics", receipt.diagnostics},
                 {"reason", receipt.reason},
                 {"hint", receipt.hint}};
  }
  if (receipt.verdict == "abandoned" && handover_ && handover_->lacked_room()) {
    room_wait_ = std::clamp(2 * room_wait_, kReadAgain, kLongestWait);
    wait_for_room(room_wait_);
  }
  untold_ = json;
  const bool superseded = handover_ && handover_->context().content_changed;
  if (superseded) return tell_rejection(false);
  rejection_timer_.start(kStandStill, [this] { tell_rejection(true); });
}

// Once. `stands`: else the content was another before a person could have seen it; that is for the log and for
// programs.
void Worker::tell_rejection(bool stands) {
  rejection_timer_.stop();
  if (untold_.is_null()) return;
  Json json = std::exchange(untold_, nullptr);
  if (!stands) json["superseded"] = true;
  emit(json["verdict"] == "rejected" ? "rejected" : "reload", json);
}

void Worker::on_handover_done(const std::vector<HandoverAction>& actions) {
  const std::shared_ptr<Handover> finished = std::move(handover_);
  const Aim aim = std::exchange(aim_, {});
  if (line_before_go_) unwrite_live_line();
  loop_.post([finished] {});  // it is still on the stack
  bool again = false;
  std::optional<HandoverAction> what;  // the first one named counts: a stop that was asked for stays one
  for (const HandoverAction action : actions) {
    if (action == HandoverAction::ReloadAgain) {
      again = true;
    } else if (!what) {
      what = action;
    }
  }
  second_try_ = again && what.has_value();
  // Nobody else is there to go on: the candidate that was sent go is buried and reports its end to nobody.
  const bool in_vain = live_ && live_ == finished->last_candidate() && finished->context().candidate_lost &&
                       !finished->context().go_answered;
  if (in_vain && aim.puts_aside()) {  // as if nothing had been asked
    current_ = before_go_;
    previous_ = previous_before_go_;
    unwrite_live_line();
  }
  if (lost_a_port(*finished)) {
    own_port_ = "the port it opens itself was taken by the generation before";
    emit("log", {{"level", "info"}, {"message", "the next try is recreate: " + own_port_}});
    failed_hash_.clear();
    pending_.insert(pending_.begin(),
                    {finished->receipt().cause, true, finished->receipt().changed, monotonic_now(), {}, aim});
  }
  if (again) failed_hash_.clear();
  if (what == HandoverAction::StopOldNow || what == HandoverAction::StopNew) return begin_stop(live_, nullptr);
  if (what == HandoverAction::StopOldWithCut) return begin_stop(live_, finished->checkpoint());
  if (what) return restart_after(finished, *what);
  const bool nobody_live = !live_ || live_->gone() || in_vain;
  if (state_ == WorkerState::Stopping) return begin_stop(live_, nullptr);
  const bool start_failed = nobody_live && finished->context().mode == HandoverMode::Start;
  if (start_failed) live_.reset();
  if (start_failed && aim.puts_aside()) return on_aimed_start_failed(*finished);
  if (start_failed) return on_start_failed(*finished);
  if (!unwell_.empty() && give_up_unwell(*finished)) return;
  take_pending();
}

// The crash path after a hand-over: of the old generation (its kept code, from the cut or what is newer) or of the new
// one, which was live.
void Worker::restart_after(const std::shared_ptr<Handover>& finished, HandoverAction action) {
  const std::string& reason = finished->receipt().reason;
  const std::string meaning = reason.empty() ? "lost during a reload" : reason;
  const bool of_new = action == HandoverAction::RestartNew;
  if (!of_new && live_ && live_ == finished->last_candidate()) {
    current_ = before_go_;
    previous_ = previous_before_go_;
    env_.live = env_.live_before;
    unwrite_live_line();
  }
  std::shared_ptr<Generation> ended = live_ ? live_ : lost_old_;
  if (live_ && !live_->gone()) live_->kill();
  if (live_) bury(std::exchange(live_, nullptr));
  // An old one that made room for its successor did not crash.
  const bool made_room = !ended || ended->failure() == "stopped" || ended->replaced();
  const bool planned = !of_new && finished->context().mode != HandoverMode::Overlap && made_room;
  const bool code_is_kept = !current_->copy.empty() || *newest_ == *current_;
  const auto go_on = [this, ended, meaning, planned, code_is_kept, candidate = finished->last_candidate(),
                      alive = std::weak_ptr<void>(alive_)] {
    if (alive.expired()) return;
    saving_cut_.reset();
    if (state_ != WorkerState::Starting) return;  // told to stop meanwhile
    stopped_for_successor_ = planned && !code_is_kept;
    if (planned && !stopped_for_successor_) return launch_kept("start", "start", *current_);
    crashed(stopped_for_successor_ ? candidate : ended, meaning);
  };
  set_state(WorkerState::Starting);
  const bool from_cut = action == HandoverAction::RestartOldFromCut && finished->checkpoint();
  if (!from_cut) return go_on();
  // The cut is the newest state: it is made durable before anybody looks for one.
  saving_cut_ = finished->checkpoint();
  finished->checkpoint()->finish([go_on, keep = finished->checkpoint()](const auto&) { go_on(); });
}

void Worker::take_pending() {
  if (handover_ || replacing_) return;
  for (RollbackRequest& request : std::exchange(rollbacks_waiting_, {})) roll_back(std::move(request));
  if (!current_ || !newest_) return;
  release_if_changed();
  std::vector<ReloadRequest> pending = std::exchange(pending_, {});
  if (!pending.empty()) {
    ReloadRequest next = std::move(pending.front());
    for (std::size_t i = 1; i < pending.size(); ++i) pending_.push_back(std::move(pending[i]));
    begin_reload(std::move(next));
    if (!handover_) take_pending();
    return;
  }
  const bool differs = live_ && state_ == WorkerState::Ready && !(*newest_ == *current_);
  const bool rejected_before = !rejected_.is_null() && rejected_["hash"] == newest_->hash;
  if (differs && !rejected_before && newest_->hash != failed_hash_ && newest_->hash != held_hash())
    begin_reload({"edit", false, {}, monotonic_now(), {}});
  if (!handover_) settle_env();
}

}  // namespace zeroth
