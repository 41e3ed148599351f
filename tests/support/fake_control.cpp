#include "tests/support/fake_control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/line_splitter.h"

namespace zeroth {
namespace {

UniqueFd listen_at(const std::string& path) {
  if (!make_folders(folder_of(path))) std::abort();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 8) != 0)
    std::abort();
  return fd;
}

}  // namespace

FakeControl::FakeControl(const std::string& runtime_dir, Answer answer)
    : answer_(std::move(answer)), socket_(listen_at(control_socket_path(runtime_dir))) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  stop_read_.reset(ends[0]);
  stop_write_.reset(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

FakeControl::~FakeControl() {
  stop_write_.reset();
  thread_.join();
}

FakeControl::Answer FakeControl::running(const std::string& program, Answer answer) {
  return [program, answer](const Request& request) -> std::string {
    if (request.command != "status") return answer ? answer(request) : encode_result(request.id, Json::object());
    return encode_result(
        request.id,
        {{"schema", 1},
         {"state", "running"},
         {"pid", ::getpid()},
         {"healthy", true},
         {"supervisor", {{"pid", ::getpid()}, {"version", "0.1.0"}, {"uptime_s", 7260}}},
         {"workers",
          {{{"name", "greeting"},
            {"state", "ready"},
            {"pid", 4242},
            {"generation", 17},
            {"program", program},
            {"beat", {{"iteration", 18204}, {"metrics", {{"convergence", 0.5}, {"states", 3}}}}},
            {"commands", {{{"name", "observe"}, {"help", "h"}}, {{"name", "visits"}, {"help", "count them"}}}}}}}});
  };
}

std::vector<std::string> FakeControl::seen() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return seen_;
}

// False when the test is over.
bool FakeControl::wait(int fd) {
  std::array<pollfd, 2> both = {{{fd, POLLIN, 0}, {stop_read_.get(), POLLIN, 0}}};
  ::poll(both.data(), both.size(), -1);
  return both[1].revents == 0;
}

void FakeControl::serve() {
  while (wait(socket_.get())) {
    const UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client) serve_client(client.get());
  }
}

void FakeControl::serve_client(int fd) {
  LineSplitter lines(kMaxLine);
  std::array<char, 4096> buffer;
  while (wait(fd)) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    lines.feed(std::string_view(buffer.data(), static_cast<std::size_t>(got)), [&](std::string_view line) {
      const auto message = decode_message(line);
      if (!message) return false;
      const Request& request = std::get<Request>(*message);
      if (request.command != "status") {
        const std::lock_guard<std::mutex> lock(mutex_);
        seen_.push_back(request.command + " " + dump(request.params));
      }
      const std::string answer = answer_(request);
      ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      return true;
    });
  }
}

}  // namespace zeroth
