#pragma once
// The supervisor's own log: what it decided and why, for whoever looks later. People at the terminal read Console.

#include <memory>
#include <string>

#include "common/result.h"
#include "supervisor/event_hub.h"
#include "supervisor/options.h"

namespace zeroth {

class Log {
 public:
  // Writes to `path` (rotated at 5 MB, three files), and to stderr as JSON lines if the options ask for that.
  static Result<std::unique_ptr<Log>> open(const std::string& path, const Options& options, EventHub& events);
  ~Log();
  // After somebody moved the files away.
  void reopen();

 private:
  Log() = default;
  struct Sinks;
  Status open_sinks();
  void on_event(std::string_view type, const Json& data);

  std::string path_;
  const Options* options_ = nullptr;
  std::unique_ptr<Sinks> sinks_;
  EventHub::Subscription subscription_;
};

}  // namespace zeroth
