#include "supervisor/worker/final_stop.h"

#include <utility>

namespace zeroth {

FinalStop::FinalStop(std::shared_ptr<Generation> worker, bool insist, Milliseconds drain, Milliseconds checkpoint,
                     Milliseconds stop, Hooks hooks)
    : worker_(std::move(worker)),
      insist_(insist),
      drain_(drain),
      checkpoint_(checkpoint),
      stop_(stop),
      hooks_(std::move(hooks)) {}

void FinalStop::begin() {
  gone_ = !worker_ || worker_->gone();
  if (gone_ || !worker_->loaded().capabilities.checkpoint) return stop();
  if (!worker_->loaded().capabilities.drain) return cut();
  const Milliseconds grace(1'000);
  worker_->request("drain", {{"deadline_ms", drain_.count()}}, drain_ + grace,
                   [this, alive = std::weak_ptr<bool>(alive_)](const auto&, std::string_view) {
                     if (!alive.expired() && !gone_) cut();
                   });
}

void FinalStop::begin_with(std::shared_ptr<Checkpoint> cut) {
  cut_ = std::move(cut);
  gone_ = !worker_ || worker_->gone();
  save();
}

void FinalStop::cut() {
  cut_ = hooks_.make_checkpoint();
  cut_->take({true, false, checkpoint_}, [this, alive = std::weak_ptr<bool>(alive_)](Status taken) {
    if (alive.expired()) return;
    outcome_.uncut = !taken;
    if (!taken) return on_failed(taken.error().message);
    save();
  });
}

void FinalStop::save() {
  saving_ = true;
  cut_->finish([this, alive = std::weak_ptr<bool>(alive_)](const Result<SnapshotStore::Committed>& committed) {
    if (!alive.expired()) on_saved(committed);
  });
}

void FinalStop::on_saved(const Result<SnapshotStore::Committed>& committed) {
  saving_ = false;
  if (!committed) return on_failed(committed.error().message);
  outcome_.snapshot = *committed;
  stop();
}

void FinalStop::on_failed(const std::string& error) {
  outcome_.error = error;
  if (insist_ || gone_) return stop();
  outcome_.given_up = true;
  constexpr Milliseconds kResume(2'000);
  worker_->request("resume", Json::object(), checkpoint_ + kResume,
                   [this, alive = std::weak_ptr<bool>(alive_)](const auto& resumed, std::string_view) {
                     if (alive.expired()) return;
                     if (!resumed) worker_->kill();  // it neither saves nor goes on: the crash path is its owner's
                     finish();
                   });
}

void FinalStop::stop() {
  if (gone_ || !worker_) return finish();
  worker_->stop(stop_);
}

void FinalStop::worker_gone() {
  gone_ = true;
  if (saving_) return;  // the cut is the truth: it is still committed
  if (!outcome_.snapshot && outcome_.error.empty() && worker_->loaded().capabilities.checkpoint)
    outcome_.error = "the worker ended before its state was saved";
  finish();
}

void FinalStop::kill_now() {
  if (worker_) worker_->kill();
}

void FinalStop::finish() {
  if (std::exchange(finished_, true)) return;
  const auto done = hooks_.on_done;
  done(outcome_);
}

}  // namespace zeroth
