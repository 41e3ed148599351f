#include "tests/bench/supervised.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "common/files.h"
#include "common/message.h"

namespace zeroth {
namespace {

constexpr int kPatienceMs = 10'000;

[[noreturn]] void give_up(const std::string& what) {
  throw std::runtime_error("bench_reload: " + what);
}

// One line from `fd`, through `received`.
std::string read_line(int fd, std::string& received) {
  std::array<char, 65536> buffer;
  std::size_t end;
  while ((end = received.find('\n')) == std::string::npos) {
    pollfd one = {fd, POLLIN, 0};
    if (::poll(&one, 1, kPatienceMs) != 1) give_up("waited too long for a line");
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got <= 0) give_up("the supervisor has gone");
    received.append(buffer.data(), static_cast<std::size_t>(got));
  }
  std::string line = received.substr(0, end);
  received.erase(0, end + 1);
  return line;
}

}  // namespace

Json payload_of(const std::string& line) {
  auto message = decode_message(line);
  if (!message) give_up(message.error().reason);
  if (auto* event = std::get_if<Event>(&*message)) return event->data;
  if (auto* response = std::get_if<Response>(&*message); response != nullptr && response->outcome)
    return *response->outcome;
  give_up("unexpected: " + line);
}

Supervised::Supervised(const std::string& bin) {
  std::string pattern = (std::filesystem::temp_directory_path() / "zeroth-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) give_up("mkdtemp");
  folder_ = pattern;
  write_program(0).reset();
  int said[2];
  if (::pipe2(said, O_CLOEXEC) != 0) give_up("pipe2");
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(said[1], STDERR_FILENO);
    const std::string program = bin + "/zeroth-supervise", file = path("bench.zero");
    const std::string state = path("state"), run = path("run");
    ::execl(program.c_str(), "zeroth-supervise", "--state-dir", state.c_str(), "--runtime-dir", run.c_str(),
            "--min-uptime", "1ms", "--max-failures", "0", "--no-sidecar", "--control-port", "off", file.c_str(),
            nullptr);
    ::_exit(127);
  }
  ::close(said[1]);
  said_.reset(said[0]);
  std::string received;
  while (!read_line(said_.get(), received).starts_with("generation 1 ")) {
  }
  ::fcntl(said_.get(), F_SETPIPE_SZ, 1 << 20);  // nobody reads on: room for all that it will say
  events_ = connect("events");
}

Supervised::~Supervised() {
  ::kill(process_, SIGTERM);
  ::waitpid(process_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

UniqueFd Supervised::connect(const std::string& command) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path("run/control.sock").c_str(), sizeof address.sun_path - 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("connect");
  if (!write_all(fd.get(), encode_request(1, command, Json::object()))) give_up("write");
  return fd;
}

UniqueFd Supervised::write_program(int edition) const {
  UniqueFd file(::open(path("bench.zero").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string text =
      "state A\nstate B\nstate C\nalign A B strength 0.01\nalign B C strength 0.02\n"
      "observe convergence epsilon 0.001\n# edition " +
      std::to_string(edition) + "\n";
  if (!file || !write_all(file.get(), text)) give_up("cannot write the program");
  return file;
}

std::string Supervised::next_event(const std::string& type) {
  const std::string start = R"("event":")" + type + '"';
  for (;;) {
    std::string line = read_line(events_.get(), received_);
    if (line.find(start) != std::string::npos) return line;
  }
}

void Supervised::settle() {
  received_.clear();
  for (int beats = 0; beats < 2; ++beats) next_event("beat");
}

pid_t Supervised::worker_pid() const {
  const UniqueFd fd = connect("status");
  std::string received;
  return payload_of(read_line(fd.get(), received))["workers"][0]["pid"].get<pid_t>();
}

}  // namespace zeroth
