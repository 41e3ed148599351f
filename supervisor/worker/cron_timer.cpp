#include "supervisor/worker/cron_timer.h"

#include <algorithm>
#include <utility>

namespace zeroth {
namespace {

constexpr Milliseconds kCronLook(30'000);  // a clock that is set gives no notice

}  // namespace

void CronTimer::begin(CronTable table) {
  table_ = std::move(table);
  looked_ = now_();
  next_ = table_->next(looked_);
  wait();
}

void CronTimer::stop() {
  timer_.stop();
  table_.reset();
  next_.reset();
}

void CronTimer::look() {
  if (!table_) return;
  const WallTime before = std::exchange(looked_, now_());
  const bool due = next_ && looked_ >= *next_;
  const bool set_back = looked_ < before;
  if (due || set_back) next_ = table_->next(looked_);
  wait();
  if (due) on_due_();
}

void CronTimer::wait() {
  if (!next_) return;
  const auto left = std::chrono::ceil<Milliseconds>(*next_ - looked_);
  timer_.start(std::clamp(left, Milliseconds(1), kCronLook), [this] { look(); });
}

}  // namespace zeroth
