#include "supervisor/worker/call_router.h"

#include <algorithm>
#include <utility>

namespace zeroth {

void CallRouter::open(std::shared_ptr<Generation> live) {
  state_ = State::Open;
  live_ = std::move(live);
  waiting_bytes_ = 0;
  std::list<Waiting> waiting = std::exchange(waiting_, {});
  const MonotonicTime now = monotonic_now();
  for (Waiting& call : waiting) {
    const auto left = std::chrono::duration_cast<Milliseconds>(call.until - now);
    send(call.request, std::max(Milliseconds(1), left), std::move(call.reply));
  }
}

void CallRouter::close(const std::string& worker_state) {
  state_ = State::Closed;
  live_.reset();
  closed_hint_ = "the worker is " + worker_state;
  waiting_bytes_ = 0;
  std::list<Waiting> waiting = std::exchange(waiting_, {});
  for (Waiting& call : waiting) {
    call.reply(refuse(ErrorCode::Unavailable, "no worker to answer", closed_hint_), {});
  }
}

void CallRouter::call(const std::string& command, const Json& params, std::optional<double> timestamp,
                      Milliseconds timeout, Reply reply) {
  Json request = {{"command", command}, {"params", params}};
  if (timestamp) request["timestamp"] = *timestamp;
  switch (state_) {
    case State::Open:
      return send(request, timeout, std::move(reply));
    case State::Closed:
      return reply(refuse(ErrorCode::Unavailable, "no worker to answer", closed_hint_), {});
    case State::Queue:
      break;
  }
  const std::size_t bytes = dump(request).size();
  if (waiting_.size() >= kMaxCalls || waiting_bytes_ + bytes > kMaxBytes) {
    return reply(refuse(ErrorCode::Busy, "too many calls wait for the worker", "try again"), {});
  }
  waiting_bytes_ += bytes;
  Waiting& waiting = waiting_.emplace_back();
  waiting.id = ++last_id_;
  waiting.request = std::move(request);
  waiting.bytes = bytes;
  waiting.until = monotonic_now() + timeout;
  waiting.deadline = std::make_unique<Timer>(loop_);
  waiting.reply = std::move(reply);
  waiting.deadline->start(timeout, [this, id = waiting.id] { expire(id); });
}

void CallRouter::expire(std::uint64_t id) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& call) { return call.id == id; });
  if (found == waiting_.end()) return;
  const Waiting expired = std::move(*found);
  waiting_bytes_ -= expired.bytes;
  waiting_.erase(found);
  expired.reply(refuse(ErrorCode::Timeout, "no worker became live in time", "", {{"executed", "no"}}), {});
}

void CallRouter::send(const Json& request, Milliseconds timeout, Reply reply) {
  live_->request(
      "call", request, timeout,
      [reply = std::move(reply)](const tl::expected<Json, Refusal>& outcome, std::string_view text) {
        if (outcome || (outcome.error().code != ErrorCode::Unavailable && outcome.error().code != ErrorCode::Timeout))
          return reply(outcome, text);
        Refusal refusal = outcome.error();  // it was sent and nobody knows what came of it
        refusal.data = {{"executed", "unknown"}};
        reply(tl::unexpected(std::move(refusal)), {});
      });
}

}  // namespace zeroth
