#include "supervisor/process/probe.h"

#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/clock.h"
#include "common/text.h"
#include "supervisor/process/http_answer.h"

namespace zeroth {
namespace {

constexpr std::size_t kKeptOutput = 4 * 1024;  // bytes of a command's output, for the reason
constexpr Milliseconds kStartPatience{10'000};
constexpr std::size_t kShownOutput = 200;       // of its last line
constexpr std::size_t kMostAnswer = 64 * 1024;  // bytes that are read of a server's answer

// On the loopback a connection can find itself: our own end was given the very port that we ask for.
bool is_self_connected(int socket) {
  sockaddr_storage ours{}, theirs{};
  socklen_t ours_size = sizeof ours, theirs_size = sizeof theirs;
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&ours), &ours_size) == 0 &&
         ::getpeername(socket, reinterpret_cast<sockaddr*>(&theirs), &theirs_size) == 0 && ours_size == theirs_size &&
         std::memcmp(&ours, &theirs, ours_size) == 0;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (const std::size_t end = text.rfind('\n'); end != std::string_view::npos) text.remove_prefix(end + 1);
  return escape_control(text.substr(0, kShownOutput));
}

}  // namespace

Probe::Probe(Loop& loop, const HealthCheck& check, const Place& place, std::function<void(Status)> done)
    : loop_(loop), check_(check), done_(std::move(done)), timeout_(loop) {
  switch (check.kind) {
    case HealthCheck::Kind::Tcp:
    case HealthCheck::Kind::Http:
      connect();
      break;
    case HealthCheck::Kind::Exec:
      run(place);
      break;
    case HealthCheck::Kind::Notify:
    case HealthCheck::Kind::Heartbeat:
      break;
  }
}

void Probe::connect() {
  const ListenAddress& to = check_.address;
  socket_.reset(::socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool begun =
      socket_ && (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length) == 0 ||
                  errno == EINPROGRESS);
  if (!begun) {
    const Error error = system_error(to.text, errno);
    return timeout_.start(Milliseconds(0), [this, error] { finish(fail(error)); });
  }
  timeout_.start(check_.timeout, [this] {
    end_answer(fail(check_.address.text + ": no answer within " + human_duration(check_.timeout), ETIMEDOUT));
  });
  watch_ = std::make_unique<FdWatch>(loop_, socket_.get());
  watch_->start(FdWatch::kWritable, [this](int) { on_connected(); });
}

void Probe::on_connected() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0 && is_self_connected(socket_.get())) error = ECONNREFUSED;
  if (error != 0) return finish(fail(system_error(check_.address.text, error)));
  if (check_.kind == HealthCheck::Kind::Http) return ask_http();
  finish({});
}

void Probe::ask_http() {
  const std::string request = "GET " + check_.path + " HTTP/1.1\r\nHost: " + check_.host +
                              "\r\nUser-Agent: zeroth-supervise\r\nAccept: */*\r\nConnection: close\r\n\r\n";
  // The socket is new and its buffer empty: what does not go out at once never will.
  const ssize_t sent = ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size()))
    return finish(fail(system_error(check_.address.text, sent < 0 ? errno : EIO)));
  watch_->start(FdWatch::kReadable, [this](int) { read_answer(); });
}

// To its end, though the verdict is known earlier: a server whose answer is cut off would complain of it.
void Probe::read_answer() {
  char bytes[16 * 1024];
  const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  const Error why = got < 0 ? last_error(check_.address.text)
                            : Error{EPROTO, check_.address.text + ": the connection was closed without an answer"};
  if (got <= 0) return end_answer(fail(why));
  answered_ += static_cast<std::size_t>(got);
  if (!status_) {
    said_.append(bytes, static_cast<std::size_t>(got));
    auto status = http_status(said_);
    if (!status) return finish(fail(check_.address.text + ": " + status.error().message, status.error().code));
    status_ = *status;
    if (status_) said_.clear();
  }
  if (answered_ > kMostAnswer) end_answer(fail(check_.address.text + ": an answer without end", EPROTO));
}

void Probe::end_answer(Status without) {
  if (!status_) return finish(std::move(without));
  const bool well = *status_ >= 200 && *status_ < 400;
  finish(well ? Status() : fail("status " + std::to_string(*status_), EPROTO));
}

void Probe::run(const Place& place) {
  SpawnRequest request;
  request.argv = check_.argv;
  request.env = place.env;
  request.cwd = place.cwd;
  request.run_as = place.run_as;
  request.die_with_us = true;
  Child::Hooks hooks;
  hooks.on_output = [this](OutputStream, std::string_view bytes) {
    said_.append(bytes);
    if (said_.size() > kKeptOutput) said_.erase(0, said_.size() - kKeptOutput);
  };
  hooks.on_exit = [this](const ExitInfo& info) { on_exit(info); };
  const auto starter = place.starter ? place.starter : std::make_shared<Starter>(loop_);
  const Status begun = starter->start(std::move(request), std::move(hooks), [this](auto child) {
    starter_.reset();
    if (!child) return finish(fail(child.error()));
    child_ = std::move(*child);
    timeout_.start(check_.timeout, [this] {
      late_ = true;
      (void)child_->signal_group(SIGKILL);
    });
  });
  if (!begun) return timeout_.start(Milliseconds(0), [this, error = begun.error()] { finish(fail(error)); });
  starter_ = starter;
  timeout_.start(kStartPatience, [this] {
    finish(fail("not started within " + human_duration(kStartPatience) + ": its disk does not answer", EBUSY));
  });
}

void Probe::on_exit(const ExitInfo& info) {
  if (late_) return finish(fail("no answer within " + human_duration(check_.timeout), ETIMEDOUT));
  if (info.code == 0) return finish({});
  const std::string said = last_line(said_);
  finish(fail(info.meaning + (said.empty() ? "" : ": " + said)));
}

Probe::~Probe() {
  if (starter_) starter_->forget();
}

void Probe::finish(Status outcome) {
  timeout_.stop();
  watch_.reset();
  if (const auto starter = std::exchange(starter_, nullptr)) starter->forget();
  const auto done = std::exchange(done_, nullptr);
  if (done) done(std::move(outcome));
}

}  // namespace zeroth
