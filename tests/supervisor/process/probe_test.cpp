#include "supervisor/process/probe.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/files.h"
#include "supervisor/process/process_identity.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

using Kind = HealthCheck::Kind;

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

}  // namespace

TEST_CASE("health: what may be given") {
  CHECK(check_of("tcp:8080").address.text == "127.0.0.1:8080");
  CHECK(check_of("tcp:localhost:8080").address.text == "127.0.0.1:8080");
  CHECK(check_of("tcp:[::1]:8080").address.text == "[::1]:8080");
  CHECK(check_of("notify").kind == Kind::Notify);
  CHECK(check_of("exec:curl -fs 'a b' \"c \\\" d\" e\\ f ''").argv ==
        std::vector<std::string>{"curl", "-fs", "a b", "c \" d", "e f", ""});
  CHECK(check_of("exec: sh  -c 'a; b'").argv == std::vector<std::string>{"sh", "-c", "a; b"});
  for (const char* text :
       {"", "tcp", "tcp:", "tcp:0", "tcp:x", "tcp:70000", "tcp:example.org:80", "tcp:*:80", "tcp::80", "tcp:a=80",
        "tcp:unix:/x", "exec:", "exec:  ", "exec:''", "exec:'a", "http://x/", "https:", "NOTIFY", "udp:1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_health(text));
  }
  CHECK(has(parse_health("http://127.0.0.1/health").error().message, "http is not offered; there are tcp:PORT"));
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
  pid_t pid = 0;
  {
    bool told = false;
    const Probe probe(loop, check_of("exec:sleep 1000"), {{"PATH=/usr/bin:/bin"}, ""},
                      [&](const Status&) { told = true; });
    pid = probe.pid();
    CHECK(pid > 0);
    CHECK_FALSE(told);
  }
  CHECK_FALSE(read_proc_stat(pid));
}

}  // namespace zeroth
