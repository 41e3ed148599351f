#include "supervisor/ctl/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "common/control_protocol.h"
#include "common/users.h"

namespace zeroth {
namespace {

// Answers come from our own supervisor and are bounded by the line.
constexpr JsonLimits kLimits = {.depth = 64, .members = 1'000'000, .exempt_state = true};

Status check_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail(last_error("SO_PEERCRED"));
  const uid_t own = ::geteuid();
  if (own == 0 || peer.uid == 0 || peer.uid == own) return {};
  return fail("the socket is served by " + describe_user(peer.uid), EPERM);
}

}  // namespace

Result<Client> Client::connect(const std::string& socket, Milliseconds patience) {
  if (socket.size() > kMaxSocketPath) return fail(socket + ": too long", ENAMETOOLONG);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(last_error("socket"));
  const MonotonicTime deadline = monotonic_now() + patience;
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if ((errno != EAGAIN && errno != EINTR) || monotonic_now() > deadline) return fail(last_error("connect"));
    std::this_thread::sleep_for(Milliseconds(10));  // its queue is full; nothing tells when it has room
  }
  if (Status peer = check_peer(fd.get()); !peer) return fail(peer.error());
  return Client(std::move(fd));
}

Status Client::wait_for(short events, std::optional<MonotonicTime> deadline) {
  for (;;) {
    int wait = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<Milliseconds>(*deadline - monotonic_now());
      wait = static_cast<int>(std::clamp<Milliseconds::rep>(left.count(), 0, 1'000'000'000));
    }
    pollfd one = {fd_.get(), events, 0};
    const int ready = ::poll(&one, 1, wait);
    if (ready > 0) return {};
    if (ready == 0) return fail("no answer in time", ETIMEDOUT);
    if (errno != EINTR) return fail(last_error("poll"));
  }
}

Status Client::send_all(std::string_view bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return {};  // it closed, after saying why: that is read next
    } else if (errno != EAGAIN && errno != EINTR) {
      return fail(last_error("send"));
    } else if (Status ready = wait_for(POLLOUT, deadline); !ready) {
      return ready;
    }
  }
  return {};
}

Result<std::string> Client::read_line(std::optional<MonotonicTime> deadline) {
  std::array<char, 65536> buffer;
  std::size_t scanned = 0;
  for (;;) {
    const std::size_t end = received_.find('\n', scanned);
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    scanned = received_.size();
    if (scanned > kMaxLine) return fail("a line is longer than 1 MiB", EBADMSG);
    if (Status ready = wait_for(POLLIN, deadline); !ready) return fail(ready.error());
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return fail("the connection ended before the answer", ECONNRESET);
    received_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<Response> Client::call(std::string_view command, const Json& params, Milliseconds patience) {
  const MonotonicTime deadline = monotonic_now() + patience;
  const int id = ++last_id_;
  if (Status sent = send_all(encode_request(id, command, params), deadline); !sent) return fail(sent.error());
  for (;;) {
    const auto line = read_line(deadline);
    if (!line) return fail(line.error());
    auto message = decode_message(*line, kLimits);
    if (!message) return fail("not a message: " + message.error().reason, EBADMSG);
    if (std::holds_alternative<Request>(*message)) return fail("not an answer", EBADMSG);
    auto* response = std::get_if<Response>(&*message);
    if (response == nullptr) continue;
    if (response->id != id && !response->id.is_null()) continue;
    response->result_text = {};  // the line ends here
    return std::move(*response);
  }
}

}  // namespace zeroth
