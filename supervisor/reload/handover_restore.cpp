// Handover: from the state that is to be restored to the candidate that has it and is ready to go.

#include <utility>

#include "supervisor/reload/handover.h"

namespace zeroth {

void Handover::set_source(RestoreSource source) {
  source_ = std::move(source);
  if (std::exchange(restore_waits_, false)) restore();
}

void Handover::fail_source(const std::string& reason) {
  state_refused_ = true;
  candidate_failed(reason);
}

// Where it does not, the hand-over is over. In overlap that is before anybody is held.
bool Handover::takes_schema(const std::optional<std::string>& schema) {
  const SchemaRule rule = candidate_->loaded().takes();
  if (!schema || rule.takes(*schema)) return true;
  state_refused_ = schema_refused_ = true;
  candidate_failed(rule.refusal(*schema));
  return false;
}

void Handover::restore() {
  restore_waits_ = !source_;
  if (restore_waits_) return;
  if (!takes_schema(source_->schema)) return;
  mark_ = monotonic_now();
  RestoreHead head;
  head.generation = candidate_->number();
  head.cause = receipt_.cause;
  head.schema = source_->schema;
  head.state_file = source_->file;
  head.age_s = source_->age_s;
  head.same_boot = source_->same_boot;
  head.from_generation = source_->from_generation;
  head.fresh = source_->fresh;
  receipt_.snapshot = source_->sequence;
  const bool asked_for = receipt_.restored_generation.has_value();
  if (source_->sequence != 0 && !asked_for) receipt_.restored_generation = source_->from_generation;
  const bool not_the_cut = context_.mode == HandoverMode::Start || context_.commit_first;
  if (not_the_cut && source_->sequence != 0) receipt_.age_s = source_->age_s;
  if (not_the_cut) receipt_.iteration.reset();
  restoring_ = true;
  candidate_->restore(
      head, source_->state, HandoverDeadlines::for_state(source_->bytes),
      [this, alive = std::weak_ptr<bool>(alive_), of = candidate_.get()](const auto& outcome, std::string_view) {
        if (!alive.expired() && candidate_.get() == of) on_restored(outcome);
      });
}

void Handover::on_restored(const tl::expected<Json, Refusal>& outcome) {
  if (!outcome) {
    const bool given = !candidate_->withheld();
    state_refused_ =
        given && outcome.error().code != ErrorCode::Timeout && outcome.error().code != ErrorCode::Unavailable;
    if (outcome.error().code == ErrorCode::Unavailable) return;  // its end is reported with more
    if (state_refused_ || !given) restoring_ = false;
    return candidate_failed("restore: " + outcome.error().message);
  }
  restoring_ = false;
  auto summary = parse_restore_summary(*outcome);
  if (!summary) return candidate_failed(summary.error().message);
  receipt_.restored = std::move(*summary);
  if (receipt_.restored.iteration) receipt_.iteration = receipt_.restored.iteration;
  const SchemaRule rule = candidate_->loaded().takes();
  receipt_.migrated_from = rule.migrates(source_->schema) ? source_->schema : "";
  receipt_.migrated_to = receipt_.migrated_from.empty() ? "" : rule.schema;
  if (const NameCount dropped = losses_.fresh(receipt_.restored.removed); refuse_loss_ && dropped.count > 0) {
    return candidate_failed("the new code no longer has " + listed(dropped) +
                            " of the state; zerothctl reload --force accepts that");
  }
  restored_ = true;
  ready_timer_.start(deadlines_.ready,
                     [this] { candidate_failed("not ready within " + human_duration(deadlines_.ready)); });
  ready_if_both();
}

void Handover::ready_if_both() {
  if (!restored_ || !said_ready_) return;
  ready_timer_.stop();
  mark(receipt_.ms.restore);
  hooks_.before_go(candidate_,
                   [this, alive = std::weak_ptr<bool>(alive_), of = candidate_.get()](const Status& logged) {
                     if (alive.expired() || candidate_.get() != of) return;
                     lacked_room_ = !logged;
                     if (!logged) return candidate_failed("it could not be written down: " + logged.error().message);
                     deliver(HandoverEvent::CandidateReady);
                   });
}

// A state that was migrated is another by intent: there is nothing to compare it with.
void Handover::verify() {
  if (!receipt_.migrated_from.empty()) {
    receipt_.restored.warnings.push_back("the restored state was migrated, so it was not compared with the saved one");
    return deliver(HandoverEvent::Verified);
  }
  check_ = std::make_unique<RestoreCheck>(loop_, hooks_.make_checkpoint(candidate_), *source_, receipt_.restored);
  check_->begin([this](const Status& same) {
    loop_.post([finished = std::shared_ptr<RestoreCheck>(std::move(check_))] {});  // it is still on the stack
    if (!same && receipt_.reason.empty()) receipt_.reason = same.error().message;
    mark(receipt_.ms.restore);
    deliver(same ? HandoverEvent::Verified : HandoverEvent::VerifyFailed);
  });
}

}  // namespace zeroth
