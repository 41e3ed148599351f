#pragma once
// Starts a process on the pool: its program may lie on a disk that does not answer. One at a time. Owned by whoever
// starts the process again and again (a health check, a sidecar); lives on the loop's thread.

#include <functional>
#include <memory>

#include "common/loop/loop.h"
#include "common/result.h"
#include "supervisor/process/child.h"

namespace zeroth {

class Starter {
 public:
  using Done = std::function<void(Result<std::unique_ptr<Child>>)>;

  explicit Starter(Loop& loop) : loop_(loop) {}
  // As forget().
  ~Starter() { forget(); }
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;

  // `done` is called once, later, with what Child::start() returns, unless the start is forgotten first. EBUSY while
  // busy: then one that was forgotten still hangs, and holds a thread.
  Status start(SpawnRequest request, Child::Hooks hooks, Done done);
  // Nobody waits for the process any more: it is killed as soon as it is there.
  void forget();
  // A process is being started, or would be if its disk answered. Until then its pid is known to nobody.
  bool busy() const { return busy_ != nullptr; }
  // The same, and somebody waits for it: one that is forgotten is nobody's.
  bool awaited() const { return busy_ && busy_->done; }

 private:
  struct Job {
    SpawnRequest request;
    Child::Hooks hooks;
    Done done;  // null: it is forgotten
    Result<Spawned> spawned = fail("");
  };

  Loop& loop_;
  std::shared_ptr<Job> busy_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
