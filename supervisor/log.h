#pragma once
// The supervisor's own log: what it decided and why, for whoever looks later. People at the terminal read Console. The
// files are written by a thread of their own.

#include <memory>
#include <string>

#include "common/clock.h"
#include "common/result.h"
#include "supervisor/event_hub.h"
#include "supervisor/log_queue.h"
#include "supervisor/options.h"

namespace zeroth {

class Log {
 public:
  // Writes to `path` (rotated at 5 MB, three files), and to stderr as JSON lines if the options ask for that.
  static Result<std::unique_ptr<Log>> open(const std::string& path, const Options& options, EventHub& events);
  ~Log();
  // After somebody moved the files away.
  void reopen();
  // What was logged is in the files; false: not in this time.
  bool flush(Milliseconds patience);

 private:
  Log() = default;
  void on_event(std::string_view type, const Json& data);

  const Options* options_ = nullptr;
  std::unique_ptr<LogQueue> queue_;
  EventHub::Subscription subscription_;
};

}  // namespace zeroth
