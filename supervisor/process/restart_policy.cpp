#include "supervisor/process/restart_policy.h"

#include <algorithm>

namespace zeroth {
namespace {

constexpr Milliseconds kFirstBackoff(100);
constexpr std::chrono::seconds kSteady(60);  // a life this long clears the back-off
constexpr std::chrono::minutes kCrashWindow(10);
constexpr double kJitter = 0.1;

}  // namespace

RestartPolicy::RestartPolicy(RestartOptions options, std::function<double()> random)
    : options_(options), random_(std::move(random)) {}

void RestartPolicy::on_reloaded() {
  on_trial_ = true;
  trial_failures_ = 0;
}

void RestartPolicy::reset() {
  restarts_ = 0;
  failures_ = 0;
  crashes_.clear();
}

Decision RestartPolicy::on_end(const WorkerEnd& end) {
  using Action = Decision::Action;
  if (end.kind == ExitKind::Finished && options_.mode != RestartMode::Always) {
    failures_ = 0;
    return {Action::Finished, std::nullopt, "exited with code 0"};
  }
  if (options_.mode == RestartMode::Never) return {Action::Failed, std::nullopt, "it is never restarted"};

  const bool failure = !end.was_ready || end.lived < options_.min_uptime;
  failures_ = failure ? failures_ + 1 : 0;
  if (end.was_ready && end.lived >= kSteady) restarts_ = 0;
  if (end.kind != ExitKind::Finished) crashes_.push_back(end.now);
  if (!failure) on_trial_ = false;
  const bool twice = trial_failed(end);
  if (twice) on_trial_ = false;
  if (twice && end.can_roll_back) return {Action::RollBack, Milliseconds(0), "the new code failed twice"};
  if (gave_up(end.now)) {
    const auto again = options_.retry_failed > Milliseconds(0) ? std::optional(options_.retry_failed) : std::nullopt;
    const bool row = failures_ >= options_.max_failures;
    return {Action::Failed, again,
            row ? std::to_string(failures_) + (failures_ == 1 ? " failure" : " failures in a row")
                : std::to_string(crashes_.size()) + " crashes in ten minutes"};
  }
  return {Action::Restart, next_delay(), twice ? "the new code failed twice, but the code before it is not kept" : ""};
}

bool RestartPolicy::trial_failed(const WorkerEnd& end) {
  if (!on_trial_ || end.kind == ExitKind::KilledByHand) return false;
  return ++trial_failures_ >= 2;
}

bool RestartPolicy::gave_up(MonotonicTime now) {
  if (options_.max_failures <= 0) {
    crashes_.clear();
    return false;
  }
  while (!crashes_.empty() && crashes_.front() <= now - kCrashWindow) crashes_.pop_front();
  return failures_ >= options_.max_failures || crashes_.size() >= 2 * static_cast<std::size_t>(options_.max_failures);
}

// 0, 100 ms, 200 ms, 400 ms …, each but the first shifted by chance so that many workers do not start as one.
Milliseconds RestartPolicy::next_delay() {
  const int step = restarts_++;
  if (step == 0) return Milliseconds(0);
  const Milliseconds plain =
      std::min(options_.backoff_max, Milliseconds(kFirstBackoff.count() << std::min(step - 1, 30)));
  const double factor = 1.0 - kJitter + 2.0 * kJitter * random_();
  return Milliseconds(static_cast<std::int64_t>(static_cast<double>(plain.count()) * factor));
}

}  // namespace zeroth
