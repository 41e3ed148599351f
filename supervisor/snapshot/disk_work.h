#pragma once
// Work on a disk that may never answer. It runs on the pool; its answer comes on the loop, in time in any case. While
// something is overdue nothing new is begun, so a disk that hangs holds as many threads as had begun by then and no
// more. What ends after it was given up is told to somebody who puts it in order.

#include <functional>
#include <memory>
#include <utility>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "common/result.h"

namespace zeroth {

class DiskWork {
 public:
  // `on_back`: nothing is overdue any more.
  explicit DiskWork(Loop& loop, std::function<void()> on_back = {})
      : loop_(loop), state_(std::make_shared<State>(State{std::move(on_back), 0, {}})) {}
  ~DiskWork() { state_->on_back = {}; }
  DiskWork(const DiskWork&) = delete;
  DiskWork& operator=(const DiskWork&) = delete;

  // For any work: `patience` is this and a second for each 10 MB.
  static Milliseconds patience_for(std::uint64_t bytes) {
    return kPatience + Milliseconds(static_cast<std::int64_t>(bytes / 10'000));
  }

  // `done` gets what `work` gave, or ETIMEDOUT; never from inside the call, and not at all if `owner` is gone by then.
  // `late` gets what came after that, likewise.
  template <class T>
  void run(Milliseconds patience, std::function<Result<T>()> work, std::weak_ptr<void> owner,
           std::function<void(Result<T>)> done, std::function<void(Result<T>)> late = {});

  bool overdue() const { return state_->overdue > 0; }

 private:
  static constexpr Milliseconds kPatience{10'000};

  struct State {
    std::function<void()> on_back;
    int overdue = 0;
    MonotonicTime since;  // of the first that is overdue
  };

  static Error no_answer(MonotonicTime since) {
    const auto waited = std::chrono::duration_cast<Milliseconds>(monotonic_now() - since);
    return {ETIMEDOUT, "the disk has not answered for " + human_duration(waited)};
  }

  Loop& loop_;
  std::shared_ptr<State> state_;
};

template <class T>
void DiskWork::run(Milliseconds patience, std::function<Result<T>()> work, std::weak_ptr<void> owner,
                   std::function<void(Result<T>)> done, std::function<void(Result<T>)> late) {
  struct Job {
    explicit Job(Loop& loop) : deadline(loop) {}
    Timer deadline;
    Result<T> result = fail("");
    bool given_up = false;
  };
  if (overdue()) {
    return loop_.post([owner, done = std::move(done), error = no_answer(state_->since)] {
      if (!owner.expired()) done(fail(error));
    });
  }
  const auto job = std::make_shared<Job>(loop_);
  const MonotonicTime began = monotonic_now();
  job->deadline.start(patience, [weak = std::weak_ptr<Job>(job), state = state_, owner, done, began] {
    const auto timed = weak.lock();
    if (!timed) return;
    timed->given_up = true;
    if (state->overdue++ == 0) state->since = began;
    if (!owner.expired()) done(fail(no_answer(began)));
  });
  loop_.in_pool([job, work = std::move(work)] { job->result = work(); },
                [job, state = state_, owner = std::move(owner), done = std::move(done), late = std::move(late)] {
                  job->deadline.stop();
                  const bool back = job->given_up && --state->overdue == 0;
                  const auto& tell = job->given_up ? late : done;
                  if (tell && !owner.expired()) tell(std::move(job->result));
                  const auto on_back = state->on_back;
                  if (back && on_back) on_back();
                });
}

}  // namespace zeroth
