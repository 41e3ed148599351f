#pragma once
// Makes the lines of generations.jsonl durable, off the loop and one fsync at a time. Owned by Worker.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/snapshot/disk_work.h"
#include "supervisor/snapshot/generation_log.h"

namespace zeroth {

class LogSync {
 public:
  using Done = std::function<void(const Status&)>;

  // `on_failed`: a line may be lost in a power cut; told once until one succeeds.
  LogSync(Loop& loop, const GenerationLog& log, std::function<void(const std::string&)> on_failed)
      : log_(log), disk_(loop), on_failed_(std::move(on_failed)) {}

  // All lines so far, soon. `done`, if somebody waits: they are durable, or why not; in time in any case, and never
  // from inside the call.
  void soon(Done done = {});

 private:
  void run();

  const GenerationLog& log_;
  DiskWork disk_;
  std::function<void(const std::string&)> on_failed_;
  std::vector<Done> waiting_;
  bool due_ = false;
  bool running_ = false;
  bool told_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
