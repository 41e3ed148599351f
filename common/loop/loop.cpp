#include "common/loop/loop.h"

#include <cassert>
#include <cstdlib>
#include <string>
#include <utility>

namespace zeroth {
namespace {

constexpr std::uint64_t kStoodStill = 500;  // ms that a timer is overdue; a busy loop is less

// A disk that hangs holds a few of them; others are to go on.
constexpr const char* kPoolThreads = "8";

// The pool is made with the first work, as large as the environment says, which is the workers' too.
void size_pool() {
  constexpr const char* kName = "UV_THREADPOOL_SIZE";
  const char* const given = std::getenv(kName);
  const std::string before = given != nullptr ? given : "";
  ::setenv(kName, kPoolThreads, 1);
  uv_loop_t loop;
  if (uv_loop_init(&loop) != 0) std::abort();
  uv_work_t nothing{};
  uv_queue_work(
      &loop, &nothing, [](uv_work_t*) {}, [](uv_work_t*, int) {});
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  if (given != nullptr) {
    ::setenv(kName, before.c_str(), 1);
  } else {
    ::unsetenv(kName);
  }
}

struct PoolJob {
  uv_work_t request{};
  std::function<void()> work;
  std::function<void()> done;
};

}  // namespace

Error uv_error(const char* call, int status) {
  return {-status, std::string(call) + ": " + uv_strerror(status)};
}

Loop::Loop() {
  [[maybe_unused]] static const bool sized = (size_pool(), true);
  if (uv_loop_init(&loop_) != 0) std::abort();  // out of memory or descriptors before anything runs
  uv_idle_init(&loop_, &posts_);
  posts_.data = this;
}

Loop::~Loop() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_close(reinterpret_cast<uv_handle_t*>(&posts_), nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  [[maybe_unused]] const int left = uv_loop_close(&loop_);
  assert(left == 0 && "a handle outlived its loop");
}

void Loop::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
}
void Loop::stop() {
  uv_stop(&loop_);
}

void Loop::in_pool(std::function<void()> work, std::function<void()> done) {
  {
    const std::lock_guard lock(pool_->mutex);
    ++pool_->running;
  }
  auto counted = [pool = pool_, work = std::move(work)] {
    work();
    const std::lock_guard lock(pool->mutex);
    --pool->running;
    pool->changed.notify_all();
  };
  auto* job = new PoolJob{{}, std::move(counted), std::move(done)};
  job->request.data = job;
  uv_queue_work(
      &loop_, &job->request, [](uv_work_t* request) { static_cast<PoolJob*>(request->data)->work(); },
      [](uv_work_t* request, int) {
        const std::unique_ptr<PoolJob> finished(static_cast<PoolJob*>(request->data));
        finished->done();
      });
}

void Loop::in_pool(std::function<void()> work, std::weak_ptr<void> owner, std::function<void()> done) {
  in_pool(std::move(work), [owner = std::move(owner), done = std::move(done)] {
    if (!owner.expired()) done();
  });
}

bool Loop::wait_for_pool(std::chrono::milliseconds patience) {
  std::unique_lock lock(pool_->mutex);
  return pool_->changed.wait_for(lock, patience, [this] { return pool_->running == 0; });
}

void Lane::run(std::function<void()> work, std::weak_ptr<void> owner, std::function<void()> done) {
  waiting_.push_back({std::move(work), std::move(owner), std::move(done)});
  if (!busy_) next();
}

void Lane::next() {
  busy_ = !waiting_.empty();
  if (!busy_) return;
  const auto job = std::make_shared<Job>(std::move(waiting_.front()));
  waiting_.pop_front();
  loop_.in_pool([job] { job->work(); },
                [this, job, alive = std::weak_ptr<void>(alive_)] {
                  if (!alive.expired()) next();
                  if (!job->owner.expired()) job->done();
                });
}

void Loop::post(std::function<void()> call) {
  posted_.push_back(std::move(call));
  uv_idle_start(&posts_, [](uv_idle_t* posts) { static_cast<Loop*>(posts->data)->run_posted(); });
}

void Loop::run_posted() {
  const std::vector<std::function<void()>> due = std::exchange(posted_, {});
  for (const auto& call : due) call();
  if (posted_.empty()) uv_idle_stop(&posts_);
}

Timer::Timer(Loop& loop) : handle_(new uv_timer_t) {
  uv_timer_init(loop.uv(), handle_.get());
  handle_->data = this;
}

void Timer::start(std::chrono::milliseconds after, std::function<void()> on_timeout) {
  run(after, std::chrono::milliseconds(0), std::move(on_timeout));
}

void Timer::start_repeating(std::chrono::milliseconds every, std::function<void()> on_timeout) {
  run(every, every, std::move(on_timeout));
}

void Timer::run(std::chrono::milliseconds after, std::chrono::milliseconds repeat, std::function<void()> on_timeout) {
  on_timeout_ = std::move(on_timeout);
  uv_update_time(handle_->loop);
  due_ = uv_now(handle_->loop) + static_cast<std::uint64_t>(after.count());
  late_ = false;
  arm(static_cast<std::uint64_t>(after.count()), static_cast<std::uint64_t>(repeat.count()));
}

void Timer::arm(std::uint64_t after_ms, std::uint64_t repeat_ms) {
  const auto on_due = [](uv_timer_t* due) {
    if (due->data != nullptr) static_cast<Timer*>(due->data)->on_due();
  };
  uv_timer_start(handle_.get(), on_due, after_ms, repeat_ms);
}

void Timer::on_due() {
  const bool once = uv_timer_get_repeat(handle_.get()) == 0;
  if (once && !late_ && uv_now(handle_->loop) >= due_ + kStoodStill) {
    late_ = true;
    return arm(1, 0);  // in the turn after the next look at what has come
  }
  const std::function<void()> call = on_timeout_;
  call();
}

void Timer::stop() {
  uv_timer_stop(handle_.get());
}
bool Timer::active() const {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(handle_.get())) != 0;
}

FdWatch::FdWatch(Loop& loop, int fd) : handle_(new uv_poll_t) {
  if (uv_poll_init(loop.uv(), handle_.get(), fd) != 0) std::abort();  // our own bug: not a pollable descriptor
  handle_->data = this;
}

void FdWatch::start(int events, std::function<void(int)> on_events) {
  events_ = events;
  on_events_ = std::move(on_events);
  uv_poll_start(handle_.get(), events, [](uv_poll_t* due, int status, int happened) {
    if (due->data == nullptr) return;
    auto* watch = static_cast<FdWatch*>(due->data);
    const std::function<void(int)> call = watch->on_events_;
    call(status < 0 ? watch->events_ : happened);
  });
}

void FdWatch::stop() {
  uv_poll_stop(handle_.get());
}

SignalWatch::SignalWatch(Loop& loop, int signal, std::function<void()> on_signal)
    : handle_(new uv_signal_t), on_signal_(std::move(on_signal)) {
  uv_signal_init(loop.uv(), handle_.get());
  handle_->data = this;
  uv_signal_start(
      handle_.get(),
      [](uv_signal_t* due, int) {
        if (due->data == nullptr) return;
        const std::function<void()> call = static_cast<SignalWatch*>(due->data)->on_signal_;
        call();
      },
      signal);
}

}  // namespace zeroth
