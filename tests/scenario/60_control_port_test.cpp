// Control over TCP: where the port is, what the token opens, and where the token never shows.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/exit_codes.h"
#include "common/files.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"
#include "tests/support/raw_connection.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

const std::vector<std::string> kAnyPort = {"--control-port", "0"};

std::uint16_t port_of(Daemon& daemon) {
  const Json port = daemon.status()["supervisor"]["control"]["port"];
  REQUIRE(port.is_number());
  return port.get<std::uint16_t>();
}

std::string token_of(const Daemon& daemon) {
  return read_file(daemon.runtime_dir() + "/token").value_or("");
}

std::string request(const Json& more = Json::object()) {
  Json line = {{"id", 1}, {"command", "ping"}};
  line.update(more);
  return dump(line) + "\n";
}

// A port of 127.0.0.1 that this process holds.
struct HeldPort {
  explicit HeldPort(std::uint16_t wanted = 0) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(wanted);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length);
    held = bound == 0 && ::listen(fd.get(), 1) == 0;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    number = ntohs(address.sin_port);
  }
  UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  bool held = false;
  std::uint16_t number = 0;
};

}  // namespace

TEST_CASE("control port: status and the first line name it; the token opens it, anything else does not") {
  Daemon daemon(kDay, kAnyPort);
  const std::uint16_t port = port_of(daemon);
  CHECK(says(daemon.err(), "control " + daemon.socket() + ", 127.0.0.1:" + std::to_string(port)));
  const std::string token = token_of(daemon);

  RawConnection client = RawConnection::to_port(port);
  for (const char* command : {"ping", "status", "state-list"}) {
    client.send(request({{"command", command}, {"token", token}}));
    CHECK(says(client.line().value_or(""), "\"success\":true"));
  }
  client.send(request({{"token", token}, {"command", "nonsense"}}));
  CHECK(says(client.line().value_or(""), "unknown_command"));
  client.send("{\"event\":\"whatever\"}\n");
  client.send("{\"id\":7,\"id\":7,\"command\":\"ping\",\"token\":\"" + token + "\"}\n");
  CHECK(says(client.line().value_or(""), "duplicate key"));
  client.send(request({{"id", "after"}}));
  const std::string refused = client.line().value_or("");
  CHECK(says(refused, "\"id\":\"after\",\"success\":false"));
  CHECK(says(refused, "unauthorized"));
  CHECK(client.ends());

  std::string flipped = token;
  flipped.back() = flipped.back() == '0' ? '1' : '0';
  const std::vector<std::string> lines = {request(),
                                          request({{"token", ""}}),
                                          request({{"token", nullptr}}),
                                          request({{"token", 7}}),
                                          request({{"token", {token}}}),
                                          request({{"token", flipped}}),
                                          request({{"token", token.substr(1)}}),
                                          request({{"token", token + "\n"}}),
                                          request({{"params", {{"token", token}}}}),
                                          request({{"command", "shutdown"}}),
                                          "{\"event\":\"beat\",\"data\":{}}\n",
                                          "{\"id\":1,\"success\":true,\"result\":{},\"error\":null}\n",
                                          "{\"a\":1,\"a\":1}\n",
                                          "{}\n"};
  for (const std::string& line : lines) {
    CAPTURE(line);
    RawConnection stranger = RawConnection::to_port(port);
    stranger.send(line + request({{"command", "shutdown"}, {"token", token}}));
    const std::string answer = stranger.line().value_or("");
    CHECK(says(answer, "unauthorized"));
    CHECK_FALSE(says(answer, token));
    CHECK(stranger.ends([](const std::string& more) { FAIL_CHECK("answered on: ", more); }));
  }
  RawConnection torn = RawConnection::to_port(port);
  torn.send("{\"token\":\"" + token + "\n");
  const std::string answer = torn.line().value_or("");
  CHECK(says(answer, "bad_request"));
  CHECK_FALSE(says(answer, token.substr(0, 8)));
  CHECK(daemon.worker()["state"] == "ready");
}

TEST_CASE("control port: on the socket a token means nothing") {
  Daemon daemon(kDay, kAnyPort);
  for (const Json& token : {Json("wrong"), Json(7), Json(token_of(daemon))}) {
    RawConnection client = RawConnection::to_socket(daemon.socket());
    client.send(request({{"token", token}}));
    CHECK(says(client.line().value_or(""), "\"success\":true"));
  }
}

TEST_CASE("control port: the token is for its owner alone, new at each start and gone at the end") {
  Daemon daemon(kDay, kAnyPort);
  const std::string path = daemon.runtime_dir() + "/token", token = token_of(daemon);
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(token.size() == 64);
  CHECK(daemon.terminate() == kExitOk);
  CHECK(::access(path.c_str(), F_OK) != 0);
  daemon.restart();
  CHECK(token_of(daemon).size() == 64);
  CHECK(token_of(daemon) != token);
  daemon.kill_supervisor();
  CHECK(::access(path.c_str(), F_OK) == 0);
  CHECK(daemon.wait_no_workers());
  daemon.restart(std::vector<std::string>{"--control-port", "off"});
  CHECK(::access(path.c_str(), F_OK) != 0);  // a dead one's is cleared away
  CHECK(daemon.status()["supervisor"]["control"]["port"].is_null());
  CHECK(says(daemon.err(), "control " + daemon.socket() + "\n"));
}

TEST_CASE("control port: the token shows nowhere, and the worker never holds it") {
  FakeDaemon daemon(Json::object(), kAnyPort);
  const std::string token = token_of(daemon);
  REQUIRE(token.size() == 64);
  RawConnection client = RawConnection::to_port(port_of(daemon));
  client.send(request({{"command", "get"}, {"token", token}}));
  CHECK(says(client.line().value_or(""), "\"count\""));
  for (const char* command : {"status", "config", "generations", "version", "logs", "snapshots"}) {
    CAPTURE(command);
    CHECK_FALSE(says(dump(daemon.ask(command)), token));
  }
  for (const pid_t pid : {daemon.pid(), daemon.worker_pid()}) {
    const std::string folder = "/proc/" + std::to_string(pid);
    for (const char* file : {"/cmdline", "/environ"})
      CHECK_FALSE(says(read_file(folder + file).value_or(token), token));
  }
  CHECK(daemon.terminate() == kExitOk);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(daemon.dir().path())) {
    CAPTURE(entry.path().string());
    if (entry.is_regular_file()) CHECK_FALSE(says(read_file(entry.path()).value_or(""), token));
  }
}

TEST_CASE("control port: the same token is there again when the folders were removed under it") {
  Daemon daemon(kDay);
  CHECK(daemon.terminate() == kExitOk);
  const std::string run = daemon.state_dir() + "/run";
  daemon.launch(std::vector<std::string>{"--control-port", "0", "--runtime-dir", run});
  const auto wait_token = [&] {
    const MonotonicTime until = monotonic_now() + kPatience;
    while (!read_file(run + "/token", 100)) REQUIRE(monotonic_now() < until);
    return *read_file(run + "/token", 100);
  };
  const std::string token = wait_token();
  const auto port_said = [&] {
    const std::string err = daemon.err();
    const std::size_t at = err.rfind("127.0.0.1:");
    return at == std::string::npos ? 0 : std::atoi(err.c_str() + at + 10);
  };
  const MonotonicTime until = monotonic_now() + kPatience;
  while (port_said() == 0) REQUIRE(monotonic_now() < until);
  RawConnection client = RawConnection::to_port(static_cast<std::uint16_t>(port_said()));
  client.send(request({{"command", "events"}, {"params", {{"types", {"log"}}}}, {"token", token}}));
  CHECK(says(client.line().value_or(""), "\"success\":true"));
  std::filesystem::remove_all(daemon.state_dir());
  std::string told;
  while (!says(told, "the token of the control port was gone")) {
    const auto line = client.line();
    REQUIRE(line.has_value());
    told = *line;
  }
  CHECK(wait_token() == token);
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("control port: a taken one that was asked for is an error that names the holder") {
  const HeldPort taken;
  REQUIRE(taken.held);
  const TempDir dir;
  const std::string program = dir.write("day.zero", kDay), number = std::to_string(taken.number);
  std::vector<std::string> words = {built("zeroth-supervise"), program};
  std::string variable = number;
  SUBCASE("by the environment") {}
  SUBCASE("by an option, over the environment") {
    words.insert(words.end(), {"--control-port", number});
    variable = "off";
  }
  const ProcessResult result = run_process(words, {{"ZEROTH_STATE_DIR", dir.path("state")},
                                                   {"ZEROTH_RUNTIME_DIR", dir.path("run")},
                                                   {"ZEROTH_CONTROL_PORT", variable}});
  CHECK(result.exit_code == kExitTaken);
  CHECK(says(result.err, "127.0.0.1:" + number + " is taken by "));
  CHECK(says(result.err, "pid " + std::to_string(::getpid())));
  CHECK(::access(dir.path("run/token").c_str(), F_OK) != 0);
}

TEST_CASE("control port: the default one is for Zero programs; taken, the socket serves alone and it is said") {
  const HeldPort taken(4040);  // or somebody else holds it already
  Daemon daemon(kDay);
  CHECK(daemon.ask("config")["control-port"]["value"] == "off");
  CHECK(daemon.terminate() == kExitOk);
  daemon.set_variable("ZEROTH_CONTROL_PORT", "");
  daemon.restart();
  CHECK(daemon.ask("config")["control-port"] == Json{{"value", 4040}, {"origin", "default"}});
  CHECK(daemon.status()["supervisor"]["control"]["port"].is_null());
  CHECK(says(daemon.err(), "control port: 127.0.0.1:4040 is taken"));
  CHECK(says(daemon.err(), "control " + daemon.socket() + "\n"));
  CHECK(daemon.terminate() == kExitOk);
  FakeDaemon command;
  CHECK(command.terminate() == kExitOk);
  command.set_variable("ZEROTH_CONTROL_PORT", "");
  command.restart();
  CHECK(command.ask("config")["control-port"] == Json{{"value", "off"}, {"origin", "default"}});
}

TEST_CASE("control port: what is no port is a usage error") {
  for (const char* text : {"", "x", "-1", "65536", "40 40", "4040x", "OFF"}) {
    CAPTURE(text);
    const ProcessResult result = run_process({built("zeroth-supervise"), "--control-port", text, "x.zero"});
    CHECK(result.exit_code == kExitUsage);
    CHECK(says(result.err, "--control-port"));
    if (*text == '\0') continue;
    const ProcessResult by_variable =
        run_process({built("zeroth-supervise"), "x.zero"}, {{"ZEROTH_CONTROL_PORT", text}});
    CHECK(by_variable.exit_code == kExitUsage);
    CHECK(says(by_variable.err, "ZEROTH_CONTROL_PORT"));
  }
}

TEST_CASE("control port: a token file that is a link refuses the start") {
  const TempDir dir;
  const std::string program = dir.write("day.zero", kDay), precious = dir.write("precious", "precious");
  REQUIRE(::mkdir(dir.path("run").c_str(), 0700) == 0);
  REQUIRE(::symlink(precious.c_str(), dir.path("run/token").c_str()) == 0);
  const ProcessResult result =
      run_process({built("zeroth-supervise"), "--control-port", "0", program},
                  {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  CHECK(result.exit_code == kExitPermission);
  CHECK(says(result.err, dir.path("run/token")));
  CHECK(dir.read("precious") == "precious");
}

}  // namespace zeroth::scenario
