#include "supervisor/worker/candidate_check.h"

#include <utility>

#include "supervisor/reload/handover.h"

namespace zeroth {

CandidateCheck::CandidateCheck(Loop& loop, std::vector<SnapshotEnvelope> snapshots, Hooks hooks)
    : loop_(loop), snapshots_(std::move(snapshots)), hooks_(std::move(hooks)), ready_timer_(loop) {}

CandidateCheck::~CandidateCheck() {
  if (candidate_) candidate_->kill();
}

void CandidateCheck::give_up() {
  alive_.reset();
  drop_candidate();
}

void CandidateCheck::next() {
  const bool over = snapshots_.empty() ? at_ > 0 : at_ == snapshots_.size();
  if (over) return finish(all_well_ ? "ok" : "refused", "");
  entry_ = {{"sequence", nullptr}};
  if (snapshots_.empty()) return try_out({});
  entry_ = to_json(snapshots_[at_]);
  hooks_.fetch(snapshots_[at_].sequence, [this, alive = std::weak_ptr<void>(alive_)](Result<RestoreSource> source) {
    if (alive.expired()) return;
    if (!source) return end("failed", source.error().message);
    try_out(std::move(*source));
  });
}

void CandidateCheck::try_out(RestoreSource source) {
  source_ = std::move(source);
  loaded_ = restored_ = ready_ = false;
  candidate_ = hooks_.make();
  Generation::Hooks hooks;
  hooks.on_loaded = [this] {
    loaded_ = true;
    if (candidate_->mute()) return reject("it does not speak the worker protocol: there is no state to restore");
    schema_ = candidate_->loaded().schema;
    const SchemaRule rule = candidate_->loaded().takes();
    if (!rule.takes(source_.schema)) return end("refused", rule.refusal(source_.schema));
    if (rule.migrates(source_.schema)) entry_["migrated"] = {{"from", source_.schema}, {"to", rule.schema}};
    restore(source_);
  };
  hooks.on_ready = [this] {
    ready_ = true;
    end_if_both();
  };
  hooks.on_failed = [this](const std::string& reason) { loaded_ ? end("failed", reason) : reject(reason); };
  hooks.on_gone = [this] {
    if (!candidate_->diagnostics().is_null()) diagnostics_ = candidate_->diagnostics();
    const std::string& told = candidate_->failure();
    const std::string reason = told.empty() && candidate_->exit() ? candidate_->exit()->meaning : told;
    loaded_ ? end("failed", reason) : reject(reason);
  };
  candidate_->set_hooks(std::move(hooks));
  candidate_->spawn([this, alive = std::weak_ptr<void>(alive_), of = candidate_.get()](const Error& unable) {
    if (!alive.expired() && candidate_.get() == of) reject(unable.message);
  });
}

void CandidateCheck::restore(const RestoreSource& source) {
  RestoreHead head;
  head.generation = candidate_->number();
  head.cause = "check";
  head.schema = source.schema;
  head.state_file = source.file;
  head.age_s = source.age_s;
  head.same_boot = source.same_boot;
  head.from_generation = source.from_generation;
  candidate_->restore(
      head, source.state, HandoverDeadlines::for_state(source.bytes),
      [this, alive = std::weak_ptr<void>(alive_), of = candidate_.get()](const auto& outcome, std::string_view) {
        if (alive.expired() || candidate_.get() != of) return;
        if (!outcome && outcome.error().code == ErrorCode::Unavailable) return;  // its end is reported with more
        if (!outcome) return end(candidate_->withheld() ? "failed" : "refused", outcome.error().message);
        auto summary = parse_restore_summary(*outcome);
        if (!summary) return end("failed", summary.error().message);
        entry_.update(to_json(*summary));
        entry_["iteration"] = summary->iteration ? Json(*summary->iteration) : Json();
        restored_ = true;
        const Milliseconds patience = HandoverDeadlines().ready;
        ready_timer_.start(patience,
                           [this, patience] { end("failed", "not ready within " + human_duration(patience)); });
        end_if_both();
      });
}

void CandidateCheck::end_if_both() {
  if (restored_ && ready_) end("ok", "");
}

void CandidateCheck::end(const std::string& verdict, const std::string& reason) {
  drop_candidate();
  entry_["verdict"] = verdict;
  entry_["reason"] = reason;
  all_well_ = all_well_ && verdict == "ok";
  entries_.push_back(std::move(entry_));
  ++at_;
  // Not from within the callback of a process that has just been dropped.
  loop_.post([this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) next();
  });
}

void CandidateCheck::reject(const std::string& reason) {
  drop_candidate();
  loop_.post([this, reason, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) finish("rejected", reason);
  });
}

void CandidateCheck::drop_candidate() {
  ready_timer_.stop();
  source_ = {};
  if (!candidate_) return;
  candidate_->kill();
  hooks_.bury(std::exchange(candidate_, nullptr));
}

void CandidateCheck::finish(const std::string& verdict, const std::string& reason) {
  const auto done = hooks_.on_done;
  done(Json{{"verdict", verdict},
            {"reason", reason},
            {"diagnostics", diagnostics_},
            {"schema", schema_},
            {"snapshots", entries_}});
}

}  // namespace zeroth
