#include "supervisor/process/probe.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/files.h"
#include "supervisor/process/process_identity.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

HealthCheck check_of(const std::string& text) {
  auto check = parse_health(text);
  REQUIRE_MESSAGE(check.has_value(), (check ? "" : check.error().message));
  return *check;
}

// The outcome of one attempt: "" if it succeeded, else why not.
std::string outcome_of(Loop& loop, const std::string& text, const std::string& cwd = "") {
  std::optional<Status> outcome;
  const Probe probe(loop, check_of(text), {{"PATH=/usr/bin:/bin", "GREETING=hello"}, cwd},
                    [&](Status told) { outcome = std::move(told); });
  CHECK(!outcome);  // not before the caller has the probe
  REQUIRE(run_until(loop, [&] { return outcome.has_value(); }));
  return *outcome ? "" : outcome->error().message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A TCP socket on a port of its own; connections are refused until listen().
struct Port {
  UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string number;

  Port() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    number = std::to_string(ntohs(address.sin_port));
  }
  void listen() const { REQUIRE(::listen(fd.get(), 1) == 0); }
};

// Answers each connection with the same, whatever is asked: by a thread of its own, until it is destroyed.
class Answering {
 public:
  // `forever`: says it again and again. `stays`: does not close the connection.
  explicit Answering(std::string answer, bool forever = false, bool stays = false) {
    port_.listen();
    thread_ = std::thread([this, answer = std::move(answer), forever, stays] { serve(answer, forever, stays); });
  }
  ~Answering() {
    ::shutdown(port_.fd.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + port_.number + path; }
  // The first request; once somebody has asked.
  std::string asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

 private:
  void serve(const std::string& answer, bool forever, bool stays) {
    std::vector<UniqueFd> kept;
    for (;;) {
      UniqueFd client(::accept4(port_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      char request[4096];
      const ssize_t got = ::recv(client.get(), request, sizeof request, 0);
      if (const std::scoped_lock lock(mutex_); asked_.empty() && got > 0)
        asked_.assign(request, static_cast<std::size_t>(got));
      do {
        if (::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
      } while (forever);
      if (stays) kept.push_back(std::move(client));
    }
  }
  Port port_;
  std::mutex mutex_;
  std::string asked_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("probe: an http answer counts by its status") {
  Loop loop;
  const auto outcome = [&](const std::string& line, const std::string& more = "") {
    const Answering server(line + "\r\nContent-Length: 2\r\n\r\nok" + more);
    return outcome_of(loop, server.url());
  };
  CHECK(outcome("HTTP/1.1 200 OK") == "");
  CHECK(outcome("HTTP/1.1 302 Found") == "");
  CHECK(outcome("HTTP/1.1 404 Not Found") == "status 404");
  CHECK(outcome("HTTP/1.1 503 Unavailable", std::string(300'000, 'x')) == "status 503");
  Answering server("HTTP/1.0 204 No Content\r\n\r\n");
  CHECK(outcome_of(loop, server.url("/deep?a=1")) == "");
  CHECK(server.asked().starts_with("GET /deep?a=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
  CHECK(has(server.asked(), "\r\nConnection: close\r\n"));
}

TEST_CASE("probe: an http server that talks nonsense, without end or not at all fails in time") {
  Loop loop;
  CHECK(has(outcome_of(loop, Answering("SSH-2.0-OpenSSH\r\n").url()), "no HTTP answer: 'SSH-2.0"));
  CHECK(has(outcome_of(loop, Answering("").url()), "closed without an answer"));
  CHECK(has(outcome_of(loop, Answering("HTTP/1.1 ").url()), "closed without an answer"));
  CHECK(has(outcome_of(loop, Answering(std::string(4096, 'H'), true).url()), "no HTTP answer"));
  std::string goes_on;  // much at a time: what counts is that it ends, not how fast it came
  for (int i = 0; i < 2'000; ++i) goes_on += "HTTP/1.1 100 Continue\r\n\r\n";
  const std::string endless = outcome_of(loop, Answering(goes_on, true).url());
  CHECK((has(endless, "an answer without end") || has(endless, "no answer within 1 s")));  // a slow machine reads less
  CHECK(has(outcome_of(loop, Answering("", false, true).url()), "no answer within 1 s"));
  CHECK(has(outcome_of(loop, Answering("HTTP/1.1 2", false, true).url()), "no answer within 1 s"));
  // Whose status is known is not held against it that it goes on, or keeps the connection.
  CHECK(outcome_of(loop, Answering("HTTP/1.1 200 OK\r\n\r\n", true).url()) == "");
  CHECK(outcome_of(loop, Answering("HTTP/1.1 200 OK\r\n\r\n", false, true).url()) == "");
  const Port nobody;
  CHECK(has(outcome_of(loop, "http://127.0.0.1:" + nobody.number), "Connection refused"));
}

TEST_CASE("probe: a port is refused until somebody listens") {
  Loop loop;
  const Port port;
  CHECK(has(outcome_of(loop, "tcp:" + port.number), "127.0.0.1:" + port.number + ": "));
  port.listen();
  CHECK(outcome_of(loop, "tcp:" + port.number) == "");
}

TEST_CASE("probe: a port whose queue is full is no answer") {
  Loop loop;
  const Port port;
  REQUIRE(::listen(port.fd.get(), 0) == 0);
  CHECK(outcome_of(loop, "tcp:" + port.number) == "");  // nobody accepts it: it stays in the queue
  const UniqueFd second(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(port.fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  (void)::connect(second.get(), reinterpret_cast<const sockaddr*>(&address), size);
  CHECK(has(outcome_of(loop, "tcp:" + port.number), "no answer within 1 s"));
}

TEST_CASE("probe: a command tells by its exit code, and why by its last line") {
  Loop loop;
  const TempDir dir;
  CHECK(outcome_of(loop, "exec:true") == "");
  CHECK(outcome_of(loop, "exec:sh -c 'echo one; echo the table is missing >&2; exit 3'") ==
        "exited with code 3: the table is missing");
  CHECK(has(outcome_of(loop, "exec:/no/such/check"), "No such file"));
  CHECK(outcome_of(loop, "exec:sh -c 'test $GREETING = hello && test -f marker'", dir.path()) == "exited with code 1");
  dir.write("marker", "");
  CHECK(outcome_of(loop, "exec:sh -c 'test $GREETING = hello && test -f marker'", dir.path()) == "");
}

TEST_CASE("probe: a command that hangs is killed with all it started, and reaped") {
  Loop loop;
  const TempDir dir;
  CHECK(outcome_of(loop, "exec:sh -c 'sleep 1000 & echo $! > other; echo $$ > self; wait'", dir.path()) ==
        "no answer within 1 s");
  for (const char* file : {"self", "other"}) {
    const pid_t pid = std::stoi(read_file(dir.path(file)).value());
    CHECK(run_until(loop, [&] {
      const auto stat = read_proc_stat(pid);
      return !stat || stat->state == 'Z' || stat->state == 'X';
    }));
  }
}

TEST_CASE("probe: what prints without end neither fills memory nor lasts") {
  Loop loop;
  CHECK(outcome_of(loop, "exec:yes") == "no answer within 1 s");
}

TEST_CASE("probe: destroying it ends its command") {
  Loop loop;
  const auto starter = std::make_shared<Starter>(loop);
  bool told = false;
  const auto begin = [&](const std::string& command) {
    const Probe::Place place{{"PATH=/usr/bin:/bin"}, "", {}, starter};
    return std::make_unique<Probe>(loop, check_of("exec:" + command), place, [&](const Status&) { told = true; });
  };
  SUBCASE("that runs") {
    auto probe = begin("sleep 1000");
    REQUIRE(run_until(loop, [&] { return probe->pid() > 0; }));
    const pid_t pid = probe->pid();
    probe.reset();
    CHECK_FALSE(read_proc_stat(pid));
  }
  SUBCASE("that is being started, and another one cannot be meanwhile") {
    begin("sleep 1000").reset();
    CHECK(starter->busy());
    CHECK_FALSE(starter->awaited());
    std::optional<Status> second;
    const Probe probe(loop, check_of("exec:true"), {{}, "", {}, starter}, [&](Status status) { second = status; });
    CHECK_FALSE(probe.owns(1));
    REQUIRE(run_until(loop, [&] { return second && !starter->busy(); }));
    CHECK(second->error().code == EBUSY);
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
  }
  CHECK_FALSE(told);
}

}  // namespace zeroth
