#include "supervisor/worker/final_stop.h"

#include <cerrno>
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
    if (!taken) return on_failed(taken.error());
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
  if (!committed) return on_failed(committed.error());
  outcome_.snapshot = *committed;
  stop();
}

void FinalStop::on_failed(const Error& error) {
  if (finished_) return;
  outcome_.error = error.message;
  // Not if the worker or the disk did not answer: that would cost the same time again.
  const bool of_disk = error.code != 0 && error.code != EBUSY && error.code != ETIMEDOUT && error.code != EBADMSG;
  if (!gone_ && of_disk && !std::exchange(tried_again_, true)) return try_again(error);
  if (insist_ || gone_) return stop();
  outcome_.given_up = true;
  resume([this](bool resumed) {
    if (!resumed) worker_->kill();  // it neither saves nor goes on: the crash path is its owner's
    finish();
  });
}

void FinalStop::try_again(const Error& error) {
  hooks_.mend(error, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || finished_) return;
    cut_.reset();
    resume([this](bool resumed) {
      if (finished_) return;
      if (!resumed) return on_failed({0, outcome_.error});
      outcome_.error.clear();
      cut();
    });
  });
}

void FinalStop::resume(std::function<void(bool resumed)> then) {
  constexpr Milliseconds kResume(2'000);
  worker_->request(
      "resume", Json::object(), checkpoint_ + kResume,
      [then = std::move(then), alive = std::weak_ptr<bool>(alive_)](const auto& resumed, std::string_view) {
        if (!alive.expired()) then(resumed.has_value());
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
