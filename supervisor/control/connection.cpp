#include "supervisor/control/connection.h"

#include <poll.h>

#include <utility>

#include "common/secret.h"

namespace zeroth {
namespace {

// Then others get their turn.
constexpr int kLinesPerTurn = 16;
constexpr std::chrono::microseconds kTurn{300};

std::string too_long(const std::string& line) {
  const auto id = parse_json(json_span(line, "id"));
  return encode_refusal(id ? id->value : Json(),
                        {ErrorCode::BadParams, "the answer is longer than 1 MiB", "ask for less with limit", nullptr});
}

}  // namespace

Connection::Connection(Loop& loop, UniqueFd fd, const ControlLimits& limits, const std::string& token, Handler handler,
                       std::function<void(Connection*)> on_closed)
    : loop_(loop),
      limits_(limits),
      token_(token),
      handler_(std::move(handler)),
      on_closed_(std::move(on_closed)),
      stream_(std::make_unique<Stream>(loop, std::move(fd))),
      deadline_(std::make_unique<Timer>(loop)) {}

void Connection::start() {
  stream_->on_drained([this] { on_drained(); });
  stream_->start([this](std::string_view bytes) { on_data(bytes); }, [this] { on_end(); });
  deadline_->start(limits_.first_line, [self = weak_from_this()] {
    if (const auto alive = self.lock()) {
      alive->say_last(encode_refusal(nullptr, {ErrorCode::Timeout, "no complete line came in time", "", nullptr}));
    }
  });
}

void Connection::on_data(std::string_view bytes) {
  if (!open()) return;
  input_.append(bytes);
  take_lines();
}

void Connection::on_end() {
  const auto self = shared_from_this();
  if (state_ != State::Open || stream_->broken()) return close();
  state_ = State::Ended;
  if (!admitted_) deadline_->stop();
  take_lines();
}

void Connection::on_drained() {
  const auto self = shared_from_this();
  if (state_ == State::Closing || stream_->broken()) return close();
  take_lines_soon();
}

bool Connection::may_take() const {
  return in_flight_ < limits_.in_flight && stream_->queued() <= limits_.queued / 2;
}

// Hands over complete lines, some each turn; reads on once none is left, else when answers make room.
void Connection::take_lines() {
  const auto self = shared_from_this();
  std::size_t begin = 0;
  bool starved = false;
  const MonotonicTime end_of_turn = monotonic_now() + kTurn;
  for (int taken = 0; taken < kLinesPerTurn && open() && may_take() && !starved; ++taken) {
    if (taken > 0 && monotonic_now() >= end_of_turn) break;
    const std::size_t end = input_.find('\n', scanned_);
    starved = end == std::string::npos;
    const std::size_t length = (starved ? input_.size() : end) - begin;
    if (length > kMaxLine) {
      return say_last(encode_refusal(nullptr, {ErrorCode::BadRequest, "a line is longer than 1 MiB", "", nullptr}));
    }
    scanned_ = starved ? input_.size() : end + 1;
    if (starved) break;
    on_line(std::string_view(input_).substr(begin, length));
    begin = scanned_;
  }
  if (!open()) return;
  input_.erase(0, begin);
  scanned_ -= begin;
  if (starved) {
    if (state_ == State::Open) stream_->resume();
    return settle();
  }
  if (state_ == State::Open) stream_->pause();
  if (may_take()) take_lines_soon();
}

void Connection::take_lines_soon() {
  if (std::exchange(soon_, true)) return;
  loop_.post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->soon_ = false;
    if (self->open()) self->take_lines();
  });
}

void Connection::on_line(std::string_view line) {
  auto message = decode_message(line);
  if (!message && message.error().close)
    return say_last(encode_refusal(nullptr, {ErrorCode::BadRequest, message.error().reason, "", nullptr}));
  auto* request = message ? std::get_if<Request>(&*message) : nullptr;
  const Json* token = request != nullptr ? &request->token : message ? nullptr : &message.error().token;
  const Json id = request != nullptr ? request->id : message ? Json() : message.error().id;
  // Events and answers need no token of their own, but open no door either.
  if (token != nullptr ? !admits(*token) : !admitted_ && !token_.empty()) {
    return say_last(encode_refusal(id, {ErrorCode::Unauthorized, "the token is missing or wrong",
                                        "it is in the file 'token' of the runtime folder", nullptr}));
  }
  if (!std::exchange(admitted_, true)) deadline_->stop();
  if (!message) {
    send(encode_refusal(id, {ErrorCode::BadRequest, message.error().reason, "", nullptr}));
    return;
  }
  if (request == nullptr) return;  // events and answers mean nothing here
  request->token = nullptr;        // goes no further than here
  ++in_flight_;
  handler_(shared_from_this(), *request);
}

bool Connection::admits(const Json& token) const {
  return token_.empty() || (token.is_string() && same_secret(token.get_ref<const std::string&>(), token_));
}

void Connection::reply(std::string line) {
  const auto self = shared_from_this();
  if (in_flight_ > 0) --in_flight_;
  if (line.size() > kMaxLine + 1) line = too_long(line);
  if (send(std::move(line))) take_lines_soon();
}

void Connection::begin_stream() {
  streaming_ = true;
}

bool Connection::stream(std::string line) {
  const auto self = shared_from_this();
  return send(std::move(line));
}

void Connection::keep(std::shared_ptr<void> feed) {
  if (open()) feeds_.push_back(std::move(feed));
}

bool Connection::send(std::string line) {
  if (!open()) return false;
  if (stream_->queued() > limits_.queued) {
    say_last(encode_event("dropped", {{"reason", "this client reads too slowly"}, {"waiting", stream_->queued()}}));
    return false;
  }
  stream_->write(std::move(line));
  if (stream_->broken()) close();
  return open();
}

void Connection::say_last(std::string line) {
  if (!open()) return;
  const auto self = shared_from_this();
  state_ = State::Closing;
  stream_->pause();
  stream_->write(std::move(line));
  if (stream_->queued() == 0) return close();
  deadline_->start(limits_.last_words, [weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->close();
  });
}

// A client that has ended its half is done when everything is answered; a stream, when nobody listens any more.
void Connection::settle() {
  if (state_ != State::Ended || in_flight_ != 0 || stream_->queued() != 0) return;
  if (!streaming_) return close();
  if (deadline_->active()) return;
  deadline_->start_repeating(limits_.hang_up, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->state_ != State::Ended) return;
    pollfd probe = {self->stream_->fd(), 0, 0};
    if (::poll(&probe, 1, 0) == 1 && (probe.revents & (POLLHUP | POLLERR)) != 0) self->close();
  });
}

void Connection::close() {
  if (std::exchange(state_, State::Closed) == State::Closed) return;
  const auto self = shared_from_this();
  stream_.reset();
  deadline_.reset();
  feeds_.clear();
  on_closed_(this);
}

}  // namespace zeroth
