#pragma once
// The fleet file while the supervisor runs: read again when it changes, or when somebody asks. One that is wrong
// changes nothing and is told with the places; once it is right again, that is told too. Owned by Supervisor.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "supervisor/event_hub.h"
#include "supervisor/fleet/fleet_file.h"
#include "supervisor/watch/file_watcher.h"

namespace zeroth {

class FleetSource {
 public:
  // `base` as for parse_fleet_file(). `on_file` gets each version that is right and differs in its text.
  FleetSource(Loop& loop, Options base, EventHub& events, std::function<void(FleetFile)> on_file);

  // The first reading: nothing is told and on_file is not called. The text of the mistakes is for people.
  tl::expected<FleetFile, std::string> read();
  void watch();
  void stop() { watcher_.reset(); }
  // Now; also what did not change is given to on_file.
  void read_again();

 private:
  void look(bool also_same);
  void complain(const Diagnostics& wrong);
  std::string shown() const;

  Loop& loop_;
  const Options base_;
  EventHub& events_;
  std::function<void(FleetFile)> on_file_;
  std::string path_;  // absolute
  std::string text_;  // as last read
  std::unique_ptr<FileWatcher> watcher_;
  std::optional<MonotonicTime> wrong_since_;
};

}  // namespace zeroth
