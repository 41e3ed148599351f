#include "supervisor/terminal/progress_meter.h"

#include <cmath>

namespace zeroth {
namespace {

constexpr Milliseconds kWindow{2'000};
constexpr Milliseconds kLeastApart{500};  // for a rate
constexpr double kSteadyChange = 1e-4;    // change, relative to the value, that a person would not call one

}  // namespace

void ProgressMeter::restart() {
  const auto iteration = last_.iteration;
  *this = ProgressMeter();
  last_.iteration = iteration;
}

void ProgressMeter::on_beat(std::optional<std::uint64_t> iteration, std::optional<double> convergence,
                            MonotonicTime at) {
  last_ = {iteration, convergence, at};
  if (beats_++ == 0) reference_ = middle_ = last_;
  if (at - middle_.at < kWindow) return;
  reference_ = middle_;
  middle_ = last_;
}

std::optional<double> ProgressMeter::rate(MonotonicTime now) const {
  if (!last_.iteration || !reference_.iteration || beats_ < 2 || now - last_.at > kWindow) return std::nullopt;
  const auto apart = last_.at - reference_.at;
  if (apart < kLeastApart || *last_.iteration < *reference_.iteration) return std::nullopt;
  return static_cast<double>(*last_.iteration - *reference_.iteration) / std::chrono::duration<double>(apart).count();
}

Trend ProgressMeter::trend() const {
  if (!last_.convergence || !reference_.convergence || last_.at - reference_.at < kLeastApart) return Trend::Unknown;
  const double change = *last_.convergence - *reference_.convergence;
  if (!std::isfinite(change)) return Trend::Unknown;
  if (std::fabs(change) <= kSteadyChange * std::fabs(*last_.convergence)) return Trend::Steady;
  return change < 0 ? Trend::Falling : Trend::Rising;
}

}  // namespace zeroth
