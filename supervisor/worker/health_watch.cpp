#include "supervisor/worker/health_watch.h"

#include <cerrno>
#include <utility>

namespace zeroth {

void HealthWatch::begin(Rules rules, Probe::Place place) {
  pause();
  rules_ = std::move(rules);
  place_ = std::move(place);
  timer_.start_repeating(rules_->interval, [this] { attempt(); });
}

void HealthWatch::pause() {
  timer_.stop();
  probe_.reset();
  rules_.reset();
  failed_ = 0;
  began_ = false;
  last_error_.clear();
}

void HealthWatch::attempt() {
  if (probe_) return;  // an interval shorter than the timeout
  probe_ = std::make_unique<Probe>(loop_, rules_->check, place_, [this](const Status& outcome) {
    loop_.post([finished = std::shared_ptr<Probe>(std::move(probe_))] {});  // it is still on the stack
    on_outcome(outcome);
  });
}

void HealthWatch::on_outcome(const Status& outcome) {
  const std::string& asked = rules_->check.text;
  if (outcome) {
    began_ = true;
    const int failed = std::exchange(failed_, 0);
    const bool was_told = !std::exchange(last_error_, "").empty();
    if (was_told)
      on_change_(asked + " succeeds again" + (failed > 0 ? ", after " + std::to_string(failed) + " failures" : ""));
    return;
  }
  const bool first = last_error_.empty();
  last_error_ = outcome.error().message;
  const bool never_asked = outcome.error().code == EBUSY;
  if (never_asked || (!began_ && monotonic_now() < rules_->starts_until)) return;
  if (++failed_ < rules_->failures) {
    if (first) on_change_(asked + " failed: " + last_error_);
    return;
  }
  const std::string times = failed_ == 1 ? "failed" : "failed " + std::to_string(failed_) + " times in a row";
  failed_ = 0;
  on_unhealthy_(asked + " " + times + ": " + last_error_);
}

Json HealthWatch::status() const {
  if (!rules_) return nullptr;
  return {{"check", rules_->check.text},
          {"failures", failed_},
          {"last_error", last_error_.empty() ? Json() : Json(last_error_)}};
}

}  // namespace zeroth
