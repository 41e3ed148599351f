// Clients of control that are broken, greedy or mean, on the socket and on the port: each gets the answer that the
// protocol promises or none, nobody else waits for it, the worker does not notice, and a save is live all the same.

#include <atomic>
#include <random>
#include <thread>

#include "common/files.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"
#include "tests/support/raw_connection.h"

namespace zeroth::scenario {
namespace {

enum class Transport { Socket, Port };
constexpr Transport kBoth[] = {Transport::Socket, Transport::Port};

// A way in to a supervisor, with what a client must know to be served there.
struct Door {
  Door(Daemon& daemon, Transport over) : transport(over), socket(daemon.socket()) {
    port = daemon.status()["supervisor"]["control"]["port"].get<std::uint16_t>();
    if (over == Transport::Port) token = read_file(daemon.runtime_dir() + "/token").value_or("");
  }
  RawConnection enter() const {
    return transport == Transport::Socket ? RawConnection::to_socket(socket) : RawConnection::to_port(port);
  }
  std::string request(std::string_view command, const Json& params = Json::object(), const Json& id = 1) const {
    Json line = {{"id", id}, {"command", command}, {"params", params}};
    if (!token.empty()) line["token"] = token;
    return dump(line) + "\n";
  }
  std::string name() const { return transport == Transport::Socket ? "socket" : "port"; }

  Transport transport;
  std::string socket, token;
  std::uint16_t port = 0;
};

// A supervisor that clients beset, and how it stands.
struct Beset {
  explicit Beset(std::vector<std::string> options = {"--control-port", "0"}) : daemon(kApart, std::move(options)) {}

  // Same process, still counting, answering.
  void check_untouched(pid_t worker) {
    CHECK(daemon.worker_pid() == worker);
    const std::uint64_t before = daemon.iteration();
    daemon.wait_until([&](const Json& now) { return now["beat"]["iteration"] > before; });
    CHECK(daemon.ask("state-list")["total"] == 2);
  }
  // A save becomes live while the client is there.
  void check_reloads() {
    edited = !edited;
    CHECK(edit(daemon, edited ? kApartWider : kApart)["restarts"] == 0);
  }

  Daemon daemon;
  bool edited = false;
};

std::string garbage(std::size_t size) {
  std::mt19937 random(7);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  bytes[size / 2] = '\n';
  return bytes;
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

struct Nonsense {
  const char* name;
  std::string bytes;
  const char* answer;  // part of it
};

// What is no line of ours: answered once, then the door closes.
std::vector<Nonsense> nonsense(const Door& door) {
  const std::string steal = door.request("shutdown");
  const std::string host = "127.0.0.1:" + std::to_string(door.port);
  // What Chromium sends for fetch(url, {method: "POST", mode: "no-cors", body}) from a page of another origin.
  const std::string post = "POST / HTTP/1.1\r\nHost: " + host +
                           "\r\nConnection: keep-alive\r\nContent-Length: " + std::to_string(steal.size()) +
                           "\r\nsec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
                           "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
                           "Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://evil.example\r\n"
                           "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n"
                           "Referer: https://evil.example/\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n" +
                           steal;
  const std::string get = "GET /?q=" + std::to_string(door.port) + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
  const std::string million(1'000'000, '[');
  return {{"a page's cross-origin POST", post, "bad_request"},
          {"HTTP GET", get, "bad_request"},
          {"HTTP with a request as its first header", "POST / HTTP/1.1\n" + steal, "bad_request"},
          {"binary garbage", garbage(100'000), "bad_request"},
          {"a line of 3 MB", std::string(3'000'000, 'x') + "\n" + steal, "longer than 1 MiB"},
          {"a valid request of 3 MB", door.request("ping", {{"x", std::string(3'000'000, 'x')}}), "longer than 1 MiB"},
          {"a depth bomb", "{\"id\":1,\"command\":\"ping\",\"params\":{\"value\":" + nested(100'000) + "}}\n" + steal,
           "nested deeper than 64"},
          {"a million brackets", million + "\n" + steal, "nested deeper than 64"},
          {"11,000 members", door.request("ping", {{"x", std::vector<int>(11'000)}}), "more than 10000 members"},
          {"no object", "[]\n" + steal, "not a JSON object"},
          {"an empty line", "\n" + steal, "bad_request"},
          {"NULs", std::string(1'000, '\0') + "\n" + steal, "bad_request"},
          {"invalid UTF-8", "{\"id\":1,\"command\":\"\xff\"}\n" + steal, "bad_request"},
          {"a lone surrogate", "{\"id\":1,\"command\":\"\\ud800\"}\n" + steal, "bad_request"}};
}

// Pings without end, of one client that reads its answers and of four that do not.
class Flood {
 public:
  explicit Flood(const Door& door) : greedy_(door.enter()) {
    while (pings_.size() < 60'000) pings_ += door.request("ping");
    for (int i = 0; i < 4; ++i) deaf_.push_back({door.enter(), 0});
    thread_ = std::thread([this] { run(); });
  }
  ~Flood() {
    over_ = true;
    thread_.join();
  }
  bool wait_answered(std::uint64_t count) const {
    const MonotonicTime until = monotonic_now() + kPatience;
    while (answered < count && monotonic_now() < until) std::this_thread::yield();
    return answered >= count;
  }

  std::atomic<std::uint64_t> answered{0}, refused{0};

 private:
  struct Deaf {
    RawConnection client;
    std::size_t sent;  // of pings_
  };

  void run() {
    while (!over_) {
      for (Deaf& deaf : deaf_) deaf.sent = (deaf.sent + deaf.client.offer(pings_.substr(deaf.sent))) % pings_.size();
      greedy_.send(pings_);
      while (const auto line = greedy_.line(Milliseconds(0))) {
        ++answered;
        refused += !says(*line, "\"success\":true");
      }
    }
  }

  RawConnection greedy_;
  std::vector<Deaf> deaf_;
  std::string pings_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("hostile: what is no line of ours is answered once and shut out, and runs nothing") {
  Beset beset;
  for (const Transport transport : kBoth) {
    const Door door(beset.daemon, transport);
    const pid_t worker = beset.daemon.worker_pid();
    for (const Nonsense& each : nonsense(door)) {
      CAPTURE(door.name());
      CAPTURE(each.name);
      RawConnection client = door.enter();
      client.send(each.bytes);
      const std::string answer = client.line().value_or("");
      CHECK(says(answer, "\"success\":false"));
      CHECK(says(answer, each.answer));
      if (!door.token.empty()) CHECK_FALSE(says(answer, door.token.substr(0, 16)));
      CHECK(client.ends([](const std::string& more) { FAIL_CHECK("answered on: ", more); }));
    }
    beset.check_untouched(worker);
    beset.check_reloads();
  }
}

TEST_CASE("hostile: half a line, a TLS hello and silence are told so and shut out, a client byte by byte is served") {
  // A TLS 1.3 ClientHello as OpenSSL begins it; no byte of it ends a line.
  const std::string tls("\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03\x5c\x1f\x8e\x77\x21\x90\x3d\xaa", 19);
  Beset beset;
  const pid_t worker = beset.daemon.worker_pid();
  for (const Transport transport : kBoth) {
    const Door door(beset.daemon, transport);
    CAPTURE(door.name());
    std::vector<RawConnection> stalled;
    for (const std::string& bytes : {std::string("{\"id\":1,\"comm"), tls, std::string()}) {
      stalled.push_back(door.enter());
      stalled.back().send(bytes);
    }
    RawConnection slow = door.enter();
    for (const char byte : door.request("ping")) slow.send(std::string(1, byte));
    CHECK(says(slow.line().value_or(""), "\"success\":true"));
    beset.check_untouched(beset.daemon.worker_pid());
    beset.check_reloads();
    for (RawConnection& client : stalled) {
      CHECK(says(client.line().value_or(""), "\"timeout\""));
      CHECK(client.ends());
    }
    slow.send(door.request("ping"));  // its first line was whole: it may stay
    CHECK(says(slow.line().value_or(""), "\"success\":true"));
  }
  CHECK(beset.daemon.worker_pid() != worker);
}

TEST_CASE(
    "hostile: a hundred stalled clients: 64 are taken, the others told, and one transport leaves the other alone") {
  Beset beset;
  const pid_t worker = beset.daemon.worker_pid();
  EventStream reloads = beset.daemon.events({"reload"});
  for (const Transport transport : kBoth) {
    const Door door(beset.daemon, transport),
        other(beset.daemon, transport == Transport::Port ? Transport::Socket : Transport::Port);
    CAPTURE(door.name());
    std::vector<RawConnection> crowd;
    for (int i = 0; i < 100; ++i) crowd.push_back(door.enter());
    RawConnection guest = other.enter();
    guest.send(other.request("ping"));
    CHECK(says(guest.line().value_or(""), "\"success\":true"));
    const std::string program = transport == Transport::Socket ? std::string(kApartWider) : std::string(kApart);
    if (transport == Transport::Socket) CHECK(beset.daemon.worker_pid() == worker);
    beset.daemon.write(program);
    CHECK(reloads.wait_for("reload", is_receipt)["verdict"] == "ok");
    std::size_t busy = 0, timeout = 0;
    for (RawConnection& client : crowd) {
      const std::string answer = client.line().value_or("");
      busy += says(answer, "\"busy\"");
      timeout += says(answer, "\"timeout\"");
      CHECK(client.ends());
    }
    // The test's own two have places at the socket.
    CHECK(busy == (transport == Transport::Socket ? 38 : 36));
    CHECK(busy + timeout == 100);
    RawConnection next = door.enter();
    next.send(door.request("ping"));
    CHECK(says(next.line().value_or(""), "\"success\":true"));
  }
}

TEST_CASE("hostile: a flood of pings delays nobody else, and is answered") {
  Beset beset;
  for (const Transport transport : kBoth) {
    const Door door(beset.daemon, transport);
    CAPTURE(door.name());
    const pid_t worker = beset.daemon.worker_pid();
    Flood flood(door);
    CHECK(flood.wait_answered(1'000));
    RawConnection modest = door.enter();
    for (int i = 0; i < 100; ++i) {
      modest.send(door.request("ping"));
      CHECK(says(modest.line().value_or(""), "\"success\":true"));
    }
    beset.check_untouched(worker);
    beset.check_reloads();
    CHECK(flood.wait_answered(flood.answered + 1'000));  // it was under way all the time
    CHECK(flood.refused == 0);
  }
}

TEST_CASE("hostile: who reads no events while output floods is dropped, and the program stays") {
  Daemon daemon("while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done\n",
                {"--control-port", "0", Daemon::kMuteCommand, "sh"}, "flood.sh");
  const pid_t worker = daemon.worker_pid();
  for (const Transport transport : kBoth) {
    const Door door(daemon, transport);
    CAPTURE(door.name());
    RawConnection deaf = door.enter();
    deaf.send(door.request("events"));
    deaf.send(door.request("logs", {{"follow", true}}));
    RawConnection reads = door.enter();
    reads.send(door.request("logs", {{"follow", true}}));
    std::size_t heard = 0;  // more than the buffers on the way and the queue hold together
    while (heard < 12'000'000) {
      const auto line = reads.line();
      if (!line || says(*line, "\"event\":\"dropped\"")) break;
      heard += line->size();
    }
    CHECK(deaf.ends());
    CHECK(daemon.worker_pid() == worker);
  }
  EventStream reloads = daemon.events({"reload"});
  daemon.write_renamed("sleep 1000\n");
  CHECK(reloads.wait_for("reload", is_receipt)["verdict"] == "ok");
}

TEST_CASE("hostile: a client that goes away in the middle of a restart does not take it along") {
  for (const Transport transport : kBoth) {
    FakeDaemon daemon(behaviour_at("before_ready", {"touch reached", "wait released"}, {2}), {"--control-port", "0"});
    const Door door(daemon, transport);
    CAPTURE(door.name());
    daemon.increment(7);
    {
      RawConnection client = door.enter();
      client.send(door.request("restart"));
      const MonotonicTime until = monotonic_now() + kPatience;
      while (!read_file(daemon.beside("reached"))) REQUIRE(monotonic_now() < until);
    }
    RawConnection half = door.enter();
    half.send(door.request("restart").substr(0, 20));
    daemon.touch("released");
    CHECK(daemon.wait_generation(2)["last_reload"]["cause"] == "restart");
    CHECK(daemon.count() == 7);
  }
}

}  // namespace zeroth::scenario
