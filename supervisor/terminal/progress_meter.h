#pragma once
// How fast a worker goes and where its convergence tends, from its beats. Pure: time is passed in.

#include <cstdint>
#include <optional>

#include "common/clock.h"

namespace zeroth {

enum class Trend { Unknown, Falling, Steady, Rising };

class ProgressMeter {
 public:
  // A generation begins: what was measured was another's.
  void restart();
  void on_beat(std::optional<std::uint64_t> iteration, std::optional<double> convergence, MonotonicTime at);

  const std::optional<std::uint64_t>& iteration() const { return last_.iteration; }
  const std::optional<double>& convergence() const { return last_.convergence; }
  // Iterations per second over the last seconds; nullopt until that can be told, and when no beat comes any more.
  std::optional<double> rate(MonotonicTime now) const;
  Trend trend() const;

 private:
  struct Beat {
    std::optional<std::uint64_t> iteration;
    std::optional<double> convergence;
    MonotonicTime at{};
  };
  // Compared with a beat that is one to two windows old.
  Beat reference_, middle_, last_;
  int beats_ = 0;
};

}  // namespace zeroth
