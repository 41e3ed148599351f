#pragma once
// Where calls from clients go: to the live generation, into a bounded queue while a cut is taken or nobody is live yet,
// or back with `unavailable`. Nothing is ever sent twice.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/json.h"
#include "common/loop/loop.h"
#include "common/message.h"
#include "supervisor/generation/generation.h"

namespace zeroth {

class CallRouter {
 public:
  enum class State {
    Open,    // calls go to the live generation at once
    Queue,   // starting, or between cut and go: they wait, at most their own timeout
    Closed,  // nobody will answer soon: refused at once
  };

  // `text` is the result's JSON as the worker wrote it.
  using Reply = std::function<void(const tl::expected<Json, Refusal>& outcome, std::string_view text)>;

  static constexpr std::size_t kMaxCalls = 1'024;
  static constexpr std::size_t kMaxBytes = 1 << 20;

  explicit CallRouter(Loop& loop) : loop_(loop) {}

  void open(std::shared_ptr<Generation> live);
  void queue() { state_ = State::Queue; }
  // Answers everything that waits with `unavailable` and the worker's state as hint.
  void close(const std::string& worker_state);

  void call(const std::string& command, const Json& params, std::optional<double> timestamp, Milliseconds timeout,
            Reply reply);

 private:
  struct Waiting {
    std::uint64_t id;
    Json request;
    std::size_t bytes;
    MonotonicTime until;
    std::unique_ptr<Timer> deadline;
    Reply reply;
  };

  void send(const Json& request, Milliseconds timeout, Reply reply);
  void expire(std::uint64_t id);

  Loop& loop_;
  State state_ = State::Queue;
  std::string closed_hint_;
  std::shared_ptr<Generation> live_;
  std::list<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t last_id_ = 0;
};

}  // namespace zeroth
