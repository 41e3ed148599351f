// Handover: of a candidate that was started before its change had settled.

#include <algorithm>
#include <csignal>
#include <utility>

#include "supervisor/reload/handover.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLongestUnsettled{10'000};  // a change is reported after 2 s at the latest, and then read
constexpr std::size_t kMostChanged = 20;           // paths in a receipt

}  // namespace

void Handover::begin() {
  if (!settled_) settle_timer_.start(kLongestUnsettled, [this] { settled(false); });
  deliver(HandoverEvent::Begin);
}

// Says nothing about the code, and there was time for it: loaded, it only waited.
bool Handover::killed_from_outside() const {
  const int signal = candidate_ && candidate_->exit() ? candidate_->exit()->signal : 0;
  return loaded_ && (signal == SIGKILL || signal == SIGTERM);
}

void Handover::settled(bool anew) {
  settle_timer_.stop();
  if (std::exchange(settled_, true) || state_ != HandoverState::Starting) return;
  if (anew || (failed_early_ && killed_from_outside())) return start_anew();
  if (std::exchange(failed_early_, false)) return deliver(HandoverEvent::CandidateFailed);
  if (!loaded_ || !candidate_) return;
  std::optional<double> waited;
  mark(waited);
  receipt_.ms.settle = receipt_.ms.settle.value_or(0) + *waited;
  candidate_loaded();
}

void Handover::content_changed(const std::vector<std::string>& changed, bool settled) {
  if (settled) {
    settle_timer_.stop();
    settled_ = true;
  }
  const bool overlap = context_.mode == HandoverMode::Overlap;
  const bool is_started = overlap ? state_ <= HandoverState::Undraining : !last_candidate_;
  for (const std::string& path : changed) {
    const bool known = std::ranges::find(receipt_.changed, path) != receipt_.changed.end();
    const bool counts = is_started && !context_.kept_code && !known && receipt_.changed.size() < kMostChanged;
    if (counts) receipt_.changed.push_back(path);
  }
  start_anew();
}

// Where that is still possible; else it is remembered.
void Handover::start_anew() {
  if (std::exchange(failed_early_, false)) {
    receipt_.reason.clear();
    receipt_.diagnostics = Json::array();
  }
  deliver(HandoverEvent::ContentChanged);
}

void Handover::withdraw() {
  settle_timer_.stop();
  settled_ = true;
  failed_early_ = false;
  receipt_.reason = "the content is the same";
  receipt_.diagnostics = Json::array();
  deliver(HandoverEvent::Withdrawn);
}

}  // namespace zeroth
