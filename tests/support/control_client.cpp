#include "tests/support/control_client.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/control_protocol.h"

namespace zeroth {
// ---- ControlClient

Result<ControlClient> ControlClient::connect(const std::string& socket) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() > kMaxSocketPath) return fail("socket path too long");
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(last_error("connect"));
  return ControlClient(std::move(fd));
}

std::int64_t ControlClient::send(std::string_view command, const Json& params) {
  const std::string line = encode_request(++last_id_, command, params);
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t count = ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      closed_ = true;
      break;
    }
    sent += static_cast<std::size_t>(count);
  }
  return last_id_;
}

std::optional<Message> ControlClient::receive(Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      auto message = decode_message(line, JsonLimits{64, 1'000'000, true});
      if (!message) FAIL("the supervisor sent a line that is no message: ", message.error().reason, "\n", line);
      return std::move(*message);
    }
    pollfd readable{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, ms_until(until));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return std::nullopt;
    char bytes[65536];
    const ssize_t got = ::read(fd_.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      closed_ = true;
      return std::nullopt;
    }
    buffer_.append(bytes, static_cast<std::size_t>(got));
  }
}

ControlClient::Outcome ControlClient::call(std::string_view command, const Json& params, Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  const std::int64_t id = send(command, params);
  for (;;) {
    auto message = receive(Milliseconds(ms_until(until)));
    if (!message) {
      return tl::unexpected(Refusal{closed_ ? ErrorCode::Unavailable : ErrorCode::Timeout,
                                    closed_ ? "the connection was closed" : "no answer in time", "", nullptr});
    }
    auto* response = std::get_if<Response>(&*message);
    if (response != nullptr && response->id == Json(id)) return std::move(response->outcome);
  }
}

// ---- EventStream

ControlClient connected(const std::string& socket) {
  auto client = ControlClient::connect(socket);
  if (!client) FAIL("cannot connect to ", socket, ": ", client.error().message);
  return std::move(*client);
}

EventStream::EventStream(const std::string& socket, const std::vector<std::string>& types)
    : client_(connected(socket)) {
  const auto opened = client_.call("events", types.empty() ? Json::object() : Json{{"types", types}});
  if (!opened) FAIL("events: ", opened.error().message);
}

std::optional<Json> EventStream::next(std::string_view type, const Predicate& accepts, Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  for (;;) {
    auto message = client_.receive(Milliseconds(ms_until(until)));
    if (!message) return std::nullopt;
    const auto* event = std::get_if<Event>(&*message);
    if (event != nullptr && event->name == type && (!accepts || accepts(event->data))) return event->data;
  }
}

Json EventStream::wait_for(std::string_view type, const Predicate& accepts, Milliseconds deadline) {
  auto data = next(type, accepts, deadline);
  if (!data)
    FAIL("no such event came ", std::string(client_.closed() ? "before the stream was closed: " : "in time: "), type);
  return std::move(*data);
}

bool EventStream::wait_any(Milliseconds deadline) {
  return client_.receive(deadline).has_value();
}

// ---- Daemon

}  // namespace zeroth
