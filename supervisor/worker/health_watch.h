#pragma once
// Asks the live generation again and again whether it is well (--health). Owned by Worker, which begins it when a
// generation is live and pauses it from the cut to go, and when nobody is live; what follows of an unhealthy one is the
// worker's business.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/json.h"
#include "common/loop/loop.h"
#include "supervisor/process/probe.h"

namespace zeroth {

class HealthWatch {
 public:
  struct Rules {
    HealthCheck check;  // one that asks()
    Milliseconds interval{10'000};
    int failures = 3;              // in a row, then it is unhealthy
    MonotonicTime starts_until{};  // failures before the first success do not count until then
  };

  // `on_unhealthy` gets what was asked and what came of it, in words: "tcp:8080 failed 3 times in a row: …". It is
  // called again after as many further failures, and may pause or begin the watch. `on_change`: the first failure, or a
  // success after one.
  HealthWatch(Loop& loop, std::function<void(const std::string& reason)> on_unhealthy,
              std::function<void(const std::string& told)> on_change)
      : loop_(loop), on_unhealthy_(std::move(on_unhealthy)), on_change_(std::move(on_change)), timer_(loop) {}

  // The first attempt is made after one interval. Failures of before are forgotten.
  void begin(Rules rules, Probe::Place place);
  // An attempt that is under way is given up.
  void pause();

  // May this be the process of an attempt?
  bool owns(pid_t pid) const { return probe_ && probe_->owns(pid); }
  // {check, failures, last_error} of the generation that is watched; null if none is.
  Json status() const;

 private:
  void attempt();
  void on_outcome(const Status& outcome);

  Loop& loop_;
  std::function<void(const std::string&)> on_unhealthy_;
  std::function<void(const std::string&)> on_change_;
  Timer timer_;
  std::optional<Rules> rules_;  // none: it is paused
  Probe::Place place_;
  std::unique_ptr<Probe> probe_;
  int failed_ = 0;      // in a row
  bool began_ = false;  // it was well once
  std::string last_error_;
};

}  // namespace zeroth
