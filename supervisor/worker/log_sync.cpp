#include "supervisor/worker/log_sync.h"

#include <utility>

namespace zeroth {

void LogSync::soon(Done done) {
  due_ = true;
  if (done) waiting_.push_back(std::move(done));
  if (!running_) run();
}

void LogSync::run() {
  running_ = true;
  due_ = false;
  disk_.run<void>(DiskWork::patience_for(0), log_.sync_job(), alive_,
                  [this, waiting = std::exchange(waiting_, {})](const Status& synced) {
                    running_ = false;
                    if (!synced && !std::exchange(told_, true))
                      on_failed_("a power cut may forget what generations there were: " + synced.error().message);
                    if (synced) told_ = false;
                    if (due_) run();
                    for (const Done& done : waiting) done(synced);
                  });
}

}  // namespace zeroth
