#include "supervisor/log_queue.h"

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <utility>

namespace zeroth {

struct LogQueue::Shared {
  Writer writer;
  std::size_t most_bytes;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Line> lines;
  std::size_t bytes = 0;
  std::uint64_t dropped = 0;
  bool reopen = false;
  bool busy = false;  // the thread has lines that are not written yet
  bool over = false;

  void run();
};

void LogQueue::Shared::run() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this] { return over || reopen || !lines.empty(); });
    if (over && !reopen && lines.empty()) return;
    busy = true;
    const bool anew = std::exchange(reopen, false);
    const std::uint64_t missing = std::exchange(dropped, 0);
    const std::deque<Line> some = std::exchange(lines, {});
    bytes = 0;
    lock.unlock();
    if (anew) writer.reopen();
    if (missing > 0) writer.write(writer.dropped(missing));
    for (const Line& line : some) writer.write(line);
    writer.flush();
    lock.lock();
    busy = false;
    changed.notify_all();
  }
}

LogQueue::LogQueue(Writer writer, std::size_t most_bytes) : shared_(std::make_shared<Shared>()) {
  shared_->writer = std::move(writer);
  shared_->most_bytes = most_bytes;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the loop's
  thread_ = std::thread([shared = shared_] {
    ::pthread_setname_np(::pthread_self(), "log");
    shared->run();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogQueue::~LogQueue() {
  const bool written = flush(Milliseconds(0));
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->over = true;
    shared_->changed.notify_all();
  }
  if (written) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LogQueue::push(Line line) {
  const std::lock_guard lock(shared_->mutex);
  shared_->bytes += line.text.size();
  shared_->lines.push_back(std::move(line));
  while (shared_->bytes > shared_->most_bytes && shared_->lines.size() > 1) {
    shared_->bytes -= shared_->lines.front().text.size();
    shared_->lines.pop_front();
    ++shared_->dropped;
  }
  shared_->changed.notify_all();
}

void LogQueue::reopen() {
  const std::lock_guard lock(shared_->mutex);
  shared_->reopen = true;
  shared_->changed.notify_all();
}

bool LogQueue::flush(Milliseconds patience) {
  std::unique_lock lock(shared_->mutex);
  return shared_->changed.wait_for(lock, patience,
                                   [this] { return !shared_->busy && !shared_->reopen && shared_->lines.empty(); });
}

}  // namespace zeroth
