#include "supervisor/control/control_server.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <deque>

#include "common/files.h"
#include "supervisor/control/dispatcher.h"
#include "tests/supervisor/control/raw_client.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// A server on a loop that the test itself turns. `ping` answers at once, `later` when the test says so, `big` with that
// many bytes, `watch` becomes a stream.
struct TestServer {
  explicit TestServer(ControlLimits limits = {}) {
    auto listening = ControlServer::listen(loop, path, true, dispatcher(), limits);
    REQUIRE_MESSAGE(listening.has_value(), listening.error().message);
    server = std::move(*listening);
  }

  Dispatcher dispatcher() {
    const auto ping = [](const std::shared_ptr<Connection>& c, const Request& r) { c->reply(encode_result(r.id, {})); };
    const auto later = [this](const std::shared_ptr<Connection>& c, const Request& r) { owed.push_back({c, r.id}); };
    const auto big = [](const std::shared_ptr<Connection>& c, const Request& r) {
      c->reply(encode_result(r.id, std::string(r.params["bytes"].get<std::size_t>(), 'x')));
    };
    const auto watch = [this](const std::shared_ptr<Connection>& c, const Request& r) {
      c->begin_stream();
      c->reply(encode_result(r.id, Json::object()));
      streams.push_back(c);
    };
    const auto observe = [](const std::shared_ptr<Connection>& c, const Request& r) {
      c->reply(encode_result(r.id, "from the worker"));
    };
    return Dispatcher({{"ping", ping}, {"later", later}, {"big", big}, {"events", watch}},
                      {[] { return std::vector<std::string>{"observe"}; },
                       [](const std::string& name) { return name == "observe"; }, observe});
  }

  bool until(const std::function<bool()>& done, Milliseconds deadline = Milliseconds(20'000)) {
    const MonotonicTime end = monotonic_now() + deadline;
    while (!done()) {
      if (monotonic_now() > end) return false;
      uv_run(loop.uv(), UV_RUN_NOWAIT);
    }
    return true;
  }
  void turn(int times = 20) {
    while (times-- > 0) uv_run(loop.uv(), UV_RUN_NOWAIT);
  }
  // The next line the client gets; "" if the connection ends before or nothing comes.
  std::string line(RawClient& client) {
    std::string got;
    until([&] { return client.next_line(got) || client.ended(); });
    return got;
  }
  bool ends(RawClient& client) {
    return until([&] {
      std::string ignored;
      while (client.next_line(ignored)) {
      }
      return client.ended();
    });
  }
  void answer_all() {
    for (auto& [connection, id] : std::exchange(owed, {})) connection->reply(encode_result(id, "late"));
  }

  TempDir dir;
  std::string path = dir.path() + "/run/control.sock";
  Loop loop;
  std::deque<std::pair<std::shared_ptr<Connection>, Json>> owed;
  std::vector<std::shared_ptr<Connection>> streams;
  int heard = 0;  // answers
  std::unique_ptr<ControlServer> server;
};

constexpr const char* kPing = "{\"id\":1,\"command\":\"ping\"}\n";

}  // namespace

TEST_CASE("control: the socket is private, and replaced only under the lock") {
  TestServer test;
  struct stat info {};
  REQUIRE(::lstat(test.path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(::stat(folder_of(test.path).c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  const auto nothing = [](const std::shared_ptr<Connection>&, const Request&) {};
  CHECK(ControlServer::listen(test.loop, test.path, false, nothing).error().code == EADDRINUSE);
  auto second = ControlServer::listen(test.loop, test.path, true, nothing);
  REQUIRE(second.has_value());
  test.server.reset();  // must leave the second one's socket alone
  CHECK(::lstat(test.path.c_str(), &info) == 0);
  second->reset();
  CHECK(::lstat(test.path.c_str(), &info) != 0);
}

TEST_CASE("control: a path that holds a file, or a folder of others, is refused") {
  TempDir dir;
  Loop loop;
  const auto nothing = [](const std::shared_ptr<Connection>&, const Request&) {};
  REQUIRE(write_file_atomically(dir.path() + "/control.sock", "precious").has_value());
  CHECK(ControlServer::listen(loop, dir.path() + "/control.sock", true, nothing).error().code == EEXIST);
  CHECK(*read_file(dir.path() + "/control.sock") == "precious");
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  CHECK(ControlServer::listen(loop, dir.path() + "/other.sock", true, nothing).error().code == EPERM);
}

TEST_CASE("control: another user is turned away") {
  if (::getuid() != 0) {
    MESSAGE("skipped: only root can become another user");
    return;
  }
  TestServer test;
  for (const std::string& path : {test.dir.path(), folder_of(test.path), test.path}) ::chmod(path.c_str(), 0777);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(9);
    ::_exit(RawClient::blocking_answer(test.path, kPing).find("unauthorized") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  CHECK(test.until([&] { return ::waitpid(child, &status, WNOHANG) == child; }));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("control: pipelined requests are all answered, in order, by id") {
  TestServer test;
  RawClient client(test.path);
  std::string all;
  for (int i = 0; i < 3'000; ++i) all += "{\"id\":" + std::to_string(i) + ",\"command\":\"ping\"}\n";
  client.send(all);
  for (int i = 0; i < 3'000; ++i) {
    REQUIRE(says(test.line(client), "{\"id\":" + std::to_string(i) + ",\"success\":true"));
  }
}

TEST_CASE("control: many small requests of one client do not hold up another") {
  TestServer test;
  RawClient greedy(test.path), modest(test.path);
  std::string all;
  for (int i = 0; i < 5'000; ++i) all += kPing;
  greedy.send(all.substr(0, 150'000));
  modest.send(kPing);
  test.turn(10);
  std::string got;
  CHECK(modest.next_line(got));
}

TEST_CASE("control: what a client has sent is served a turn at a time, and the loop goes round between") {
  constexpr int kRequests = 1'500;
  TestServer test;
  RawClient greedy(test.path);
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += "{\"id\":1,\"command\":\"later\"}\n";
  greedy.send(all);
  std::size_t most = 0;
  CHECK(test.until([&] {
    most = std::max(most, test.owed.size());
    test.answer_all();
    std::string ignored;
    while (greedy.next_line(ignored)) ++test.heard;
    return test.heard == kRequests;
  }));
  CHECK(most > 0);
  CHECK(most <= 32);
}

TEST_CASE("control: what is no JSON object is answered, then the connection closes") {
  TestServer test;
  RawClient browser(test.path);
  browser.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"command\":\"later\"}\n");
  CHECK(says(test.line(browser), "bad_request"));
  CHECK(test.ends(browser));
  CHECK(test.owed.empty());
  CHECK(test.server->connections() == 0);
}

TEST_CASE("control: duplicate keys, bad params and unknown commands keep the connection") {
  TestServer test;
  RawClient client(test.path);
  client.send("{\"id\":7,\"id\":7,\"command\":\"ping\"}\n");
  CHECK(says(test.line(client), "bad_request"));
  client.send("{\"id\":8,\"command\":\"ping\",\"params\":[]}\n");
  CHECK(says(test.line(client), "\"id\":8,\"success\":false"));
  client.send("{\"id\":9,\"command\":\"pnig\"}\n");
  const std::string unknown = test.line(client);
  CHECK(says(unknown, "unknown_command"));
  CHECK(says(unknown, "did you mean 'ping'?"));
  client.send("{\"id\":10,\"command\":\"obsrve\"}\n{\"id\":11,\"command\":\"observe\"}\n{\"event\":\"whatever\"}\n");
  CHECK(says(test.line(client), "did you mean 'observe'?"));
  CHECK(says(test.line(client), "from the worker"));
  client.send(kPing);
  CHECK(says(test.line(client), "\"success\":true"));
}

TEST_CASE("control: a line of 1 MiB is read, a longer one closes, also without its end") {
  TestServer test;
  const auto request = [](std::size_t length) {
    const std::string head = "{\"id\":1,\"command\":\"ping\",\"params\":{\"x\":\"";
    return head + std::string(length - head.size() - 3, 'x') + "\"}}";
  };
  RawClient fits(test.path);
  fits.send(request(kMaxLine) + "\n");
  CHECK(says(test.line(fits), "\"success\":true"));
  RawClient longer(test.path), endless(test.path);
  longer.send(request(kMaxLine + 1) + "\n");
  CHECK(says(test.line(longer), "longer than 1 MiB"));
  CHECK(test.ends(longer));
  endless.send(std::string(kMaxLine + 100, ' '));
  CHECK(says(test.line(endless), "longer than 1 MiB"));
  CHECK(test.ends(endless));
}

TEST_CASE("control: too deep and too many members close") {
  TestServer test;
  RawClient deep(test.path), wide(test.path);
  deep.send("{\"id\":1,\"command\":\"ping\",\"params\":{\"x\":" + std::string(63, '[') + std::string(63, ']') + "}}\n");
  CHECK(says(test.line(deep), "nested deeper than 64"));
  std::string many = "{\"id\":1,\"command\":\"ping\",\"params\":{\"x\":[0";
  for (int i = 0; i < 10'000; ++i) many += ",0";
  wide.send(many + "]}}\n");
  CHECK(says(test.line(wide), "more than 10000 members"));
  CHECK(test.ends(deep));
  CHECK(test.ends(wide));
}

TEST_CASE("control: an unfinished first line closes at its deadline, a later one does not") {
  TestServer test({.first_line = Milliseconds(50)});
  RawClient silent(test.path), slow(test.path), fine(test.path);
  slow.send("{\"id\":");
  fine.send(std::string(kPing) + "{\"id\":");
  CHECK(says(test.line(silent), "timeout"));
  CHECK(test.ends(silent));
  CHECK(test.ends(slow));
  CHECK(says(test.line(fine), "\"success\":true"));
  CHECK(test.server->connections() == 1);
}

TEST_CASE("control: the 65th client is told that it is one too many") {
  TestServer test;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(std::make_unique<RawClient>(test.path));
  CHECK(test.until([&] { return test.server->connections() == 64; }));
  RawClient last(test.path);
  CHECK(says(test.line(last), "busy"));
  CHECK(test.ends(last));
  clients.pop_back();
  CHECK(test.until([&] { return test.server->connections() == 63; }));
  RawClient next(test.path);
  next.send(kPing);
  CHECK(says(test.line(next), "\"success\":true"));
}

// Not under the sanitizers: their check of virtual tables needs a descriptor itself and reports when it gets none.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("control: out of descriptors, a client is still turned away") {
  TestServer test;
  RawClient client(test.path);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  const rlimit low{static_cast<rlim_t>(64), old.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::vector<UniqueFd> hoard;
  for (UniqueFd fd(::dup(0)); fd; fd = UniqueFd(::dup(0))) hoard.push_back(std::move(fd));
  const std::string got = test.line(client);
  hoard.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
  CHECK(says(got, "out of file descriptors"));
  RawClient next(test.path);
  next.send(kPing);
  CHECK(says(test.line(next), "\"success\":true"));
}
#endif

TEST_CASE("control: a client that ends its half still gets its answers") {
  TestServer test;
  RawClient client(test.path);
  client.send("{\"id\":1,\"command\":\"later\"}\n{\"id\":2,\"command\":\"big\",\"params\":{\"bytes\":900000}}\n");
  client.end_half();
  CHECK(test.until([&] { return test.owed.size() == 1; }));
  test.turn();
  test.answer_all();
  const std::string first = test.line(client), second = test.line(client);
  CHECK(first.size() + second.size() > 900'000);
  CHECK(says(first + second, "late"));
  CHECK(test.ends(client));
  CHECK(test.server->connections() == 0);
}

TEST_CASE("control: an answer for a client that has gone is dropped") {
  TestServer test;
  auto client = std::make_unique<RawClient>(test.path);
  client->send("{\"id\":1,\"command\":\"later\"}\n");
  CHECK(test.until([&] { return test.owed.size() == 1; }));
  client.reset();
  test.turn();
  test.answer_all();
  CHECK(test.until([&] { return test.server->connections() == 0; }));
  RawClient second(test.path);
  second.send("{\"id\":1,\"command\":\"later\"}\n");
  CHECK(test.until([&] { return test.owed.size() == 1; }));
  test.server.reset();
  test.answer_all();
  CHECK(test.ends(second));
}

TEST_CASE("control: requests without an answer are bounded, and read on when answered") {
  TestServer test({.in_flight = 10});
  RawClient client(test.path);
  for (int i = 0; i < 25; ++i) client.send("{\"id\":1,\"command\":\"later\"}\n");
  test.turn(100);
  CHECK(test.owed.size() == 10);
  test.answer_all();
  CHECK(test.until([&] { return test.owed.size() == 10; }));
  test.answer_all();
  CHECK(test.until([&] { return test.owed.size() == 5; }));
}

TEST_CASE("control: a slow reader of answers is waited for") {
  TestServer test;
  RawClient client(test.path);
  for (int i = 0; i < 10; ++i) client.send("{\"id\":1,\"command\":\"big\",\"params\":{\"bytes\":700000}}\n");
  test.turn(100);
  for (int i = 0; i < 10; ++i) REQUIRE(test.line(client).size() > 700'000);
}

TEST_CASE("control: an answer over 1 MiB becomes bad_params") {
  TestServer test;
  RawClient client(test.path);
  client.send("{\"id\":\"a\",\"command\":\"big\",\"params\":{\"bytes\":1048576}}\n");
  const std::string got = test.line(client);
  CHECK(says(got, "{\"id\":\"a\",\"success\":false"));
  CHECK(says(got, "bad_params"));
}

TEST_CASE("control: a slow reader of events is dropped and told") {
  TestServer test;
  RawClient client(test.path);
  client.send("{\"id\":1,\"command\":\"events\"}\n");
  CHECK(says(test.line(client), "\"success\":true"));
  const std::string event = encode_event("log", std::string(1'000, 'x'));
  int sent = 0;
  while (test.streams[0]->stream(event) && sent < 10'000) ++sent;
  CHECK(sent > 1'000);
  CHECK(sent < 2'000);
  std::string last, line;
  while (!(line = test.line(client)).empty()) last = line;
  CHECK(says(last, "\"event\":\"dropped\""));
  CHECK(test.server->connections() == 0);
}

TEST_CASE("control: a stream outlives the client's half-close, not the client") {
  TestServer test({.hang_up = Milliseconds(20)});
  auto client = std::make_unique<RawClient>(test.path);
  client->send("{\"id\":1,\"command\":\"events\"}\n");
  client->end_half();
  CHECK(says(test.line(*client), "\"success\":true"));
  test.turn();
  CHECK(test.streams[0]->stream(encode_event("beat", Json::object())));
  CHECK(says(test.line(*client), "beat"));
  client.reset();
  CHECK(test.until([&] { return test.server->connections() == 0; }));
  CHECK_FALSE(test.streams[0]->stream(encode_event("beat", Json::object())));
}

}  // namespace zeroth
