#include "supervisor/generation/worker_channel.h"

#include <sys/socket.h>

#include <utility>

namespace zeroth {
namespace {

// A worker's answers are bounded by the line; a long list is no attack.
constexpr JsonLimits kLimits = {.depth = 64, .members = 500'000, .exempt_state = true};

}  // namespace

WorkerChannel::WorkerChannel(Loop& loop, UniqueFd fd, Callbacks callbacks)
    : loop_(loop), callbacks_(std::move(callbacks)), stream_(loop, std::move(fd)) {
  stream_.start([this](std::string_view bytes) { on_data(bytes); }, [this] { end(""); });
}

void WorkerChannel::request(std::string_view command, const Json& params, Milliseconds deadline, Answer on_answer) {
  const std::uint64_t id = next_id();
  request_line(id, encode_request(id, command, params), deadline, std::move(on_answer));
}

void WorkerChannel::request_line(std::uint64_t id, std::string line, Milliseconds deadline, Answer on_answer) {
  Pending& pending = pending_[id];
  pending.on_answer = std::move(on_answer);
  pending.deadline = std::make_unique<Timer>(loop_);
  if (ended_) {
    pending.deadline->start(Milliseconds(0),
                            [this, id] { answer(id, refuse(ErrorCode::Unavailable, "the worker is gone"), {}); });
    return;
  }
  pending.deadline->start(deadline, [this, id, deadline] {
    const std::string message = "no answer within " + human_duration(deadline);
    answer(id, refuse(ErrorCode::Timeout, message), {});
  });
  send(std::move(line));
}

void WorkerChannel::send(std::string line) {
  if (ended_) return;
  stream_.write(std::move(line));
  if (stream_.queued() > kMaxQueued) end("more than 64 MiB wait to be read by the worker");
}

void WorkerChannel::on_data(std::string_view bytes) {
  const std::weak_ptr<bool> alive = alive_;
  const bool fits = lines_.feed(bytes, [&](std::string_view line) {
    const bool goes_on = on_line(line);
    return !alive.expired() && goes_on && !ended_;
  });
  if (alive.expired() || ended_) return;
  if (!fits) end("a line on the channel is longer than 1 MiB");
}

bool WorkerChannel::on_line(std::string_view line) {
  auto message = decode_message(line, kLimits);
  if (!message) {
    end("not a message on the channel: " + message.error().reason);
    return false;
  }
  if (const auto* response = std::get_if<Response>(&*message)) {
    on_response(*response);
  } else if (const auto* event = std::get_if<Event>(&*message)) {
    const auto call = callbacks_.on_event;  // it may destroy this channel
    call(*event);
  } else {
    const auto call = callbacks_.on_request;
    call(std::get<Request>(*message));
  }
  return true;
}

void WorkerChannel::on_response(const Response& response) {
  if (!response.id.is_number_integer()) return;
  answer(response.id.get<std::uint64_t>(), response.outcome, response.result_text);
}

void WorkerChannel::answer(std::uint64_t id, const tl::expected<Json, Refusal>& outcome, std::string_view text) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;  // late, or answered twice
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  pending.on_answer(outcome, text);
}

bool WorkerChannel::has_unread() const {
  char byte = 0;
  return !ended_ && ::recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void WorkerChannel::end(const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  stream_.pause();
  const std::weak_ptr<bool> alive = alive_;
  const auto on_end = callbacks_.on_end;
  while (!pending_.empty()) {
    answer(pending_.begin()->first, refuse(ErrorCode::Unavailable, "the worker is gone"), {});
    if (alive.expired()) return;
  }
  on_end(reason);
}

}  // namespace zeroth
