// Worker: whether the live generation is well, and what becomes of one that is not. It is replaced as at any reload,
// with its state; only one that does not give it is killed and goes on from the newest snapshot.

#include <utility>

#include "common/text.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

// A generation is live, or goes on after a hand-over that came to nothing.
void Worker::watch_health() {
  const Options& options = *setup_.options;
  if (options.max_memory > 0) memory_.begin(live_->pid(), options.max_memory);
  auto check = parse_health(options.health);
  heartbeat_.set_silence(Heartbeat::kSilence);
  if (options.health.empty() || !check || options.health_interval.count() == 0) return;
  check->timeout = options.health_timeout;
  if (check->kind == HealthCheck::Kind::Heartbeat) {
    heartbeat_.set_silence(options.health_interval);
    if (!live_->mute()) return heartbeat_.beat(live_);
    return emit("log", {{"level", "warning"},
                        {"message", "--health heartbeat: this program does not speak, so no beat can be missed"}});
  }
  if (!check->asks()) return;
  HealthWatch::Rules rules{std::move(*check), options.health_interval, options.health_failures, {}};
  if (!options.state_file.empty())
    rules.starts_until = live_->spawned_at() + options.start_timeout;  // it begins after go
  health_.begin(std::move(rules), live_->probe_place());
}

void Worker::pause_health() {
  heartbeat_.pause();
  health_.pause();
  memory_.pause();
}

void Worker::on_silent() {
  if (!live_ || final_stop_ || replacing_) return;
  if (handover_) return heartbeat_.beat(live_);  // whoever is silent then is noticed by the hand-over, or later
  kill_unwell("no beat for " + human_duration(heartbeat_.silence()) + ", no answer to a ping");
}

void Worker::on_too_large(std::uint64_t bytes) {
  on_unwell("it takes " + human_size(bytes) + " of memory, more than --max-memory " +
            human_size(setup_.options->max_memory));
}

// It lives, but is not well: replaced by the same code with its state, unless that was done too lately.
void Worker::on_unwell(const std::string& reason) {
  const bool may = live_ && state_ == WorkerState::Ready && !handover_ && !final_stop_ && !replacing_;
  if (!may) return;  // it is noticed again if that does not cure it
  const MonotonicTime now = monotonic_now();
  const Milliseconds wait = pace_.wait(now);
  if (wait.count() > 0) {
    if (!std::exchange(wait_told_, true))
      tell_unwell(reason + "; it was replaced lately, and is not replaced before " + human_duration(wait) +
                  " are over");
    return;
  }
  pace_.replaced(now);
  wait_told_ = false;
  if (setup_.options->restart == RestartOn::Never) return kill_unwell(reason);
  tell_unwell(reason);
  unwell_ = reason;
  begin_reload({"unhealthy", true, {}, now, {}});
}

void Worker::tell_unwell(const std::string& what) const {
  emit("log", {{"level", "error"},
               {"unhealthy", true},
               {"generation", live_->number()},
               {"message", "generation " + std::to_string(live_->number()) + " is unhealthy: " + what}});
}

void Worker::kill_unwell(const std::string& reason) {
  tell_unwell(reason);
  unwell_ = reason;
  live_->kill("unhealthy: " + reason);
}

// Final. What the worker was replaced for is told by the receipt of its successor.
void Worker::count_verdict(Receipt& receipt) {
  ++verdicts_[receipt.verdict];
  const bool ok = receipt.verdict == "ok" || receipt.verdict == "rolled_back";
  if (ok && !unwell_.empty()) receipt.reason = std::exchange(unwell_, "");
}

// Its hand-over came to nothing. True if it was killed: who gives no state is not waited for.
bool Worker::give_up_unwell(const Handover& finished) {
  const std::string reason = std::exchange(unwell_, "");
  const bool hangs = finished.receipt().cause == "unhealthy" && !finished.cut_error().empty();
  if (!hangs || !live_ || live_->gone() || state_ != WorkerState::Ready) return false;
  kill_unwell(reason + "; its state cannot be cut: " + finished.cut_error());
  return true;
}

}  // namespace zeroth
