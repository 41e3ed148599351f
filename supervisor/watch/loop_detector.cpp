#include "supervisor/watch/loop_detector.h"

#include <algorithm>
#include <utility>

namespace zeroth {
namespace {

constexpr std::size_t kMoments = 8;  // of the last two or three generations: a change is told of later than it began

}  // namespace

void LoopDetector::on_generation(MonotonicTime now) {
  generations_.push_back(now);
  if (generations_.size() > kMoments) generations_.pop_front();
}

LoopDetector::Verdict LoopDetector::on_change(const std::vector<std::string>& paths, MonotonicTime began,
                                              MonotonicTime now) {
  std::vector<std::string> live;
  std::ranges::copy_if(paths, std::back_inserter(live), [&](const auto& path) { return !suspended_.contains(path); });
  if (live.empty() && !paths.empty()) return Verdict::Drop;
  const bool holding = !held_.empty();
  const auto is_held = [&](const auto& path) { return std::ranges::find(held_, path) != held_.end(); };
  if (holding && std::ranges::all_of(live, is_held)) {
    held_last_ = now;
    if (now - held_since_ >= limits_.longest) return suspend(std::exchange(held_, {}));
    return Verdict::Hold;
  }
  held_.clear();
  const bool soon = is_soon(began);
  std::map<std::string, int> strikes;
  for (const std::string& path : live) {
    if (soon && !trusted_.contains(path)) strikes[path] = strikes_[path] + 1;
  }
  const bool all_suspect = !live.empty() && strikes.size() == live.size() &&
                           std::ranges::all_of(strikes, [&](auto& each) { return each.second > limits_.suspicious; });
  strikes_ = std::move(strikes);
  if (!all_suspect) {
    on_trial_ = false;
    return Verdict::Reload;
  }
  if (std::exchange(on_trial_, false)) return suspend(live);
  held_ = live;
  held_since_ = held_last_ = now;
  return Verdict::Hold;
}

bool LoopDetector::is_soon(MonotonicTime began) const {
  return std::ranges::any_of(generations_,
                             [&](MonotonicTime moment) { return began >= moment && began - moment <= limits_.soon; });
}

bool LoopDetector::is_plain(const std::vector<std::string>& paths, MonotonicTime began) const {
  return held_.empty() && std::ranges::all_of(paths, [&](const std::string& path) {
           return trusted_.contains(path) || (!is_soon(began) && !suspended_.contains(path));
         });
}

std::optional<MonotonicTime> LoopDetector::due() const {
  if (held_.empty()) return std::nullopt;
  return held_last_ + limits_.quiet;
}

std::vector<std::string> LoopDetector::release() {
  on_trial_ = true;
  return std::exchange(held_, {});
}

void LoopDetector::reset() {
  strikes_.clear();
  held_.clear();
  suspended_.clear();
  on_trial_ = false;
}

LoopDetector::Verdict LoopDetector::suspend(const std::vector<std::string>& paths) {
  suspended_.insert(paths.begin(), paths.end());
  for (const std::string& path : paths) strikes_.erase(path);
  return Verdict::Suspend;
}

}  // namespace zeroth
