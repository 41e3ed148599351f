#include "supervisor/reload/handover.h"

#include <cerrno>
#include <utility>

#include "common/json_fields.h"

namespace zeroth {
namespace {

// Says nothing about the program: the same start may succeed later.
bool lacks_room(int code) {
  return code == ENOSPC || code == EDQUOT || code == EFBIG || code == EROFS || code == EIO || code == EMFILE ||
         code == ENFILE || code == ENOMEM || code == EAGAIN || code == ETIMEDOUT;
}

}  // namespace

Handover::Handover(Loop& loop, Plan plan, Hooks hooks)
    : loop_(loop),
      hooks_(std::move(hooks)),
      context_(plan.context),
      receipt_(std::move(plan.receipt)),
      old_(std::move(plan.old)),
      replace_(std::move(plan.replace)),
      losses_(std::move(plan.losses)),
      refuse_loss_(plan.refuse_loss),
      schema_(std::move(plan.schema)),
      settled_(plan.settled),
      last_state_bytes_(plan.last_state_bytes),
      deadlines_(plan.deadlines),
      ready_timer_(loop),
      settle_timer_(loop),
      began_(plan.began),
      mark_(monotonic_now()) {}

// One event at a time: an action that fails at once queues its event behind the step that is running.
void Handover::deliver(HandoverEvent event) {
  events_.push(event);
  if (stepping_) return;
  stepping_ = true;
  const std::weak_ptr<bool> alive = alive_;
  while (!events_.empty()) {
    const HandoverEvent next = events_.front();
    events_.pop();
    const HandoverState before = state_;
    HandoverStep result = step(state_, next, context_);
    state_ = result.next;
    context_ = result.context;
    for (const HandoverAction action : result.actions) perform(action);
    if (result.verdict) give_verdict(*result.verdict);
    if (before != HandoverState::Done && state_ == HandoverState::Done) {
      stepping_ = false;
      hooks_.on_done(std::exchange(follow_ups_, {}));
      return;
    }
  }
  stepping_ = false;
}

void Handover::perform(HandoverAction action) {
  switch (action) {
    case HandoverAction::SpawnCandidate:
      return spawn_candidate();
    case HandoverAction::KillCandidate:
      return bury_candidate();
    case HandoverAction::SendDrain:
      return drain();
    case HandoverAction::SendCut:
      return cut();
    case HandoverAction::WriteCut:
      return write_cut();
    case HandoverAction::SendReexec:
      return reexec();
    case HandoverAction::SendRestore:
      return restore();
    case HandoverAction::AskState:
      return verify();
    case HandoverAction::Commit:
      return commit();
    case HandoverAction::SendGo:
      return go();
    case HandoverAction::SendResume:
      return resume();
    case HandoverAction::StopOld:
      if (state_ == HandoverState::StoppingOld) {
        hooks_.on_cut();  // also where nothing could be cut
        receipt_.mode = "recreate";
      }
      return old_->stop(deadlines_.stop);
    case HandoverAction::KillOld:
      if (old_) old_->kill();
      return;
    case HandoverAction::RestartOldFromCut:
    case HandoverAction::RestartOldFromNewest:
    case HandoverAction::RestartNew:
    case HandoverAction::StopOldNow:
    case HandoverAction::StopOldWithCut:
    case HandoverAction::StopNew:
    case HandoverAction::ReloadAgain:
      follow_ups_.push_back(action);
      return;
  }
}

void Handover::mark(std::optional<double>& step) {
  const MonotonicTime now = monotonic_now();
  step = elapsed_ms(mark_, now);
  mark_ = now;
}

void Handover::make_candidate() {
  candidate_ = last_candidate_ = hooks_.make_candidate();
  restoring_ = restored_ = said_ready_ = loaded_ = lacked_room_ = false;
  receipt_.to = candidate_->number();
  mark_ = monotonic_now();
  Generation::Hooks hooks;
  hooks.on_loaded = [this] {
    loaded_ = true;
    mark(receipt_.ms.start);
    if (settled_) candidate_loaded();
  };
  hooks.on_ready = [this] {
    said_ready_ = true;
    ready_if_both();
  };
  hooks.on_failed = [this](const std::string& reason) { candidate_failed(reason); };
  hooks.on_gone = [this] {
    receipt_.diagnostics = candidate_->diagnostics().is_null() ? Json::array() : candidate_->diagnostics();
    const std::string& told = candidate_->failure();
    candidate_failed(told.empty() && candidate_->exit() ? candidate_->exit()->meaning : told);
  };
  hooks.on_output = [this, of = candidate_.get()](OutputStream stream, std::string_view bytes) {
    hooks_.on_output(*of, stream, bytes);
  };
  candidate_->set_hooks(std::move(hooks));
}

void Handover::spawn_candidate() {
  make_candidate();
  candidate_->spawn([this, alive = std::weak_ptr<bool>(alive_), of = candidate_.get()](const Error& unable) {
    if (alive.expired() || candidate_.get() != of) return;
    lacked_room_ = lacks_room(unable.code);
    candidate_failed(unable.message);
  });
}

void Handover::candidate_loaded() {
  if (takes_schema(source_ ? source_->schema : schema_)) deliver(HandoverEvent::CandidateLoaded);
}

void Handover::reexec() {
  make_candidate();
  candidate_->reexec(old_, [this, alive = std::weak_ptr<bool>(alive_)](const Refusal& refusal) {
    if (alive.expired()) return;
    receipt_.reason = refusal.message;
    if (const Json* diagnostics = find_member(refusal.data, "diagnostics"); diagnostics && diagnostics->is_array())
      receipt_.diagnostics = *diagnostics;
    deliver(HandoverEvent::ReexecRefused);
  });
}

void Handover::candidate_failed(const std::string& reason) {
  if (receipt_.reason.empty()) receipt_.reason = reason;
  failed_early_ = !settled_ && state_ == HandoverState::Starting;
  if (!failed_early_) deliver(HandoverEvent::CandidateFailed);
}

void Handover::bury_candidate() {
  ready_timer_.stop();
  restore_waits_ = false;
  check_.reset();
  if (!candidate_) return;
  candidate_->kill();
  hooks_.bury(std::exchange(candidate_, nullptr));
}

int Handover::candidate_exit_code() const {
  return last_candidate_ && last_candidate_->exit() ? last_candidate_->exit()->code.value_or(0) : 0;
}

void Handover::drain() {
  mark_ = monotonic_now();
  const Milliseconds grace(1'000);  // for the answer itself
  old_->request("drain", {{"deadline_ms", deadlines_.drain.count()}}, deadlines_.drain + grace,
                [this, alive = std::weak_ptr<bool>(alive_)](const auto& outcome, std::string_view) {
                  if (alive.expired()) return;
                  mark(receipt_.ms.drain);
                  if (outcome && outcome->is_object()) receipt_.closed = field_or<std::uint64_t>(*outcome, "closed", 0);
                  deliver(HandoverEvent::Drained);
                });
}

void Handover::cut() {
  mark_ = monotonic_now();
  hooks_.on_cut();
  checkpoint_ = hooks_.make_checkpoint(old_);
  checkpoint_->take({true, false, HandoverDeadlines::for_state(last_state_bytes_)},
                    [this, alive = std::weak_ptr<bool>(alive_)](Status taken) {
                      if (alive.expired()) return;
                      mark(receipt_.ms.checkpoint);
                      if (!taken) {
                        const int code = taken.error().code;
                        lacked_room_ = lacks_room(code) || code == ENOENT || code == ESTALE;
                        cut_error_ = taken.error().message;
                        if (receipt_.reason.empty()) receipt_.reason = cut_error_;
                        return deliver(HandoverEvent::CutFailed);
                      }
                      cut_at_ = checkpoint_->taken_at();
                      receipt_.iteration = checkpoint_->iteration();
                      deliver(HandoverEvent::CutTaken);
                    });
}

void Handover::write_cut() {
  checkpoint_->write(true, [this, alive = std::weak_ptr<bool>(alive_)](const Status& written) {
    if (alive.expired()) return;
    if (!written) {
      lacked_room_ = true;
      receipt_.reason = written.error().message;
      hooks_.on_committed(fail(written.error()), checkpoint_->taken_at());
      return deliver(HandoverEvent::WriteFailed);
    }
    source_ = checkpoint_->source();
    receipt_.snapshot = source_->sequence;
    deliver(HandoverEvent::Written);
  });
}

void Handover::commit() {
  checkpoint_->commit(
      [this, alive = std::weak_ptr<bool>(alive_), cut = checkpoint_->taken_at()](const auto& committed) {
        if (alive.expired()) return;
        hooks_.on_committed(committed, cut);
        on_committed(committed);
      });
}

void Handover::on_committed(const Result<SnapshotStore::Committed>& committed) {
  lacked_room_ = !committed;
  if (!committed && receipt_.reason.empty()) receipt_.reason = committed.error().message;
  if (!committed || !replace_) return deliver(committed ? HandoverEvent::Committed : HandoverEvent::CommitFailed);
  replace_(*committed, *source_, [this, alive = std::weak_ptr<bool>(alive_)](Result<RestoreSource> source) {
    if (alive.expired()) return;
    if (source) {
      source_ = std::move(*source);
    } else if (receipt_.reason.empty()) {
      receipt_.reason = source.error().message;
    }
    deliver(source ? HandoverEvent::Committed : HandoverEvent::CommitFailed);
  });
}

void Handover::go() {
  receipt_.verdict = "ok";
  receipt_.reason.clear();
  if (cut_at_) receipt_.ms.pause = elapsed_ms(*cut_at_, monotonic_now());
  receipt_.ms.total = elapsed_ms(began_, monotonic_now());
  hooks_.on_go(candidate_, receipt_);
  candidate_->go([this, alive = std::weak_ptr<bool>(alive_)](const auto& outcome, std::string_view) {
    if (alive.expired() || !candidate_) return;
    if (!outcome && outcome.error().code == ErrorCode::Unavailable) return;  // its end is reported with more
    if (!outcome) return candidate_failed("go: " + outcome.error().message);
    mark(receipt_.ms.go);
    hooks_.on_go_answered();
    deliver(HandoverEvent::GoAnswered);
  });
}

void Handover::resume() {
  // A cut that is still outstanding ends first; what it wrote is dropped.
  const bool cut_outstanding = checkpoint_ && !context_.cut_taken;
  const Milliseconds deadline =
      deadlines_.resume + (cut_outstanding ? HandoverDeadlines::for_state(last_state_bytes_) : Milliseconds(0));
  if (context_.commit == HandoverContext::Saving::None) checkpoint_.reset();
  old_->request("resume", Json::object(), deadline,
                [this, alive = std::weak_ptr<bool>(alive_)](const auto& outcome, std::string_view) {
                  if (alive.expired()) return;
                  if (outcome) hooks_.on_resumed();
                  deliver(outcome ? HandoverEvent::ResumeAnswered : HandoverEvent::ResumeLate);
                });
}

void Handover::give_verdict(HandoverVerdict verdict) {
  switch (verdict) {
    case HandoverVerdict::Ok:
      receipt_.verdict = "ok";
      break;
    case HandoverVerdict::OkUncommitted:
      receipt_.verdict = "ok";
      receipt_.restored.warnings.push_back("the state at the cut could not be made durable: " + receipt_.reason);
      break;
    case HandoverVerdict::Rejected:
      receipt_.verdict = lacked_room_ ? "abandoned" : "rejected";
      break;
    case HandoverVerdict::Abandoned:
      receipt_.verdict = "abandoned";
      break;
    case HandoverVerdict::Unchanged:
      receipt_.verdict = "unchanged";
      break;
    case HandoverVerdict::Failed:
      receipt_.verdict = "failed";
      break;
  }
  if (receipt_.verdict != "ok") receipt_.ms.total = elapsed_ms(began_, monotonic_now());
  receipt_.at = wall_now();
  verdict_given_ = true;
  hooks_.on_verdict(receipt_);
}

}  // namespace zeroth
