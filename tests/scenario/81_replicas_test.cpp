// What else a fleet file says of a worker: limits, replicas, a timetable; and what can be measured of them.

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

std::string fake_worker_named(const std::string& name, const std::string& more = "") {
  return "[worker." + name + "]\ncommand = [\"" + built("fake_worker") + "\", \"" + name +
         ".json\"]\nprotocol = true\ncheckpoint_interval = 0\n" + more + "\n";
}

class Replicas : public Daemon {
 public:
  explicit Replicas(const std::string& file) : Daemon(file, {}, "fleet.toml") {}

  Json named(const std::string& name) {
    const Json all = status();
    for (const Json& worker : all["workers"]) {
      if (worker["name"] == name) return worker;
    }
    return nullptr;
  }
  Json wait_ready_one(const std::string& name) {
    Json found;
    wait_until([&](const Json&) {
      found = named(name);
      return found.is_object() && found["state"] == "ready";
    });
    return found;
  }
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, environment());
  }
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// What somebody who is connected to says before he closes.
std::string who_answers(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  std::string all;
  char bytes[256];
  for (ssize_t got; (got = ::recv(fd.get(), bytes, sizeof bytes, 0)) > 0;)
    all.append(bytes, static_cast<std::size_t>(got));
  return all;
}

std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

// Says its name to whoever connects.
constexpr const char* kNamesItself = R"(
command = ["python3", "-c", """
import os, socket
server = socket.socket(fileno=3)
server.setblocking(True)
while True:
    client, _ = server.accept()
    client.sendall(os.environ['ZEROTH_WORKER'].encode())
    client.close()
"""]
no_watch = true
)";

}  // namespace

TEST_CASE("limits: a worker's processes have those of the fleet file and of --limit") {
  const std::string shows = "ulimit -n; ulimit -c; exec sleep 100000";
  const auto printed = [](Daemon& daemon) {
    std::vector<std::string> texts;
    daemon.wait_until([&](const Json&) {
      texts.clear();
      const Json told = daemon.ask("logs", {{"lines", 10}});
      for (const Json& line : told["lines"]) texts.push_back(line["text"]);
      return texts.size() >= 2;
    });
    return texts;
  };
  Replicas fleet("[worker.a]\ncommand = [\"sh\", \"-c\", \"" + shows + "\"]\nlimits = { nofile = 77, core = 0 }\n");
  CHECK(printed(fleet) == std::vector<std::string>{"77", "0"});
  Daemon daemon(shows + "\n", {"--limit", "nofile=78", "--limit", "core=0", Daemon::kMuteCommand, "sh"}, "job");
  CHECK(printed(daemon) == std::vector<std::string>{"78", "0"});
  const ProcessResult wrong = run_process({built("zeroth-supervise"), "--limit", "nofil=1", "--", "true"});
  CHECK(wrong.exit_code == kExitUsage);
  CHECK(says(wrong.err, "did you mean 'nofile'?"));
}

TEST_CASE("replicas: each has its own state, they come and go with their number, and return with their state") {
  const auto with = [](int count) { return fake_worker_named("web", "replicas = " + std::to_string(count)); };
  Replicas daemon(with(2));
  daemon.wait_ready_one("web-1");
  const Json second = daemon.wait_ready_one("web-2");
  daemon.ask("inc", {{"worker", "web-1"}, {"by", 5}});
  daemon.ask("inc", {{"worker", "web-2"}, {"by", 7}});
  CHECK(daemon.ctl({"restart", "web-1"}).exit_code == kExitOk);
  CHECK(daemon.ask("get", {{"worker", "web-1"}})["count"] == 5);
  CHECK(daemon.named("web-2")["pid"] == second["pid"]);
  daemon.write_renamed(with(3));
  CHECK(daemon.wait_ready_one("web-3")["generation"] == 1);
  CHECK(daemon.named("web-2")["pid"] == second["pid"]);
  daemon.write_renamed(with(1));
  daemon.wait_until([&](const Json&) { return daemon.status()["workers"].size() == 1; });
  daemon.write_renamed(with(2));
  daemon.wait_ready_one("web-2");
  CHECK(daemon.ask("get", {{"worker", "web-2"}})["count"] == 7);
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("replicas: they take turns at one address, and one that is stopped keeps nobody waiting") {
  const std::uint16_t port = free_port();
  Replicas daemon(
      "[worker.last]\ncommand = [\"sleep\", \"100000\"]\ndepends_on = [\"web\"]\n[worker.web]\nreplicas = 2\n" +
      std::string(kNamesItself) + "listen = " + std::to_string(port) + "\n");
  daemon.wait_ready_one("last");  // so both are
  std::set<std::string> answered;
  const MonotonicTime until = monotonic_now() + kPatience;
  while (answered.size() < 2 && monotonic_now() < until) answered.insert(who_answers(port));
  CHECK(answered == std::set<std::string>{"web-1", "web-2"});
  daemon.ask("stop", {{"worker", "web-1"}});
  for (int i = 0; i < 10; ++i) CHECK(who_answers(port) == "web-2");
  daemon.ask("start", {{"worker", "web-1"}});
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("cron: a worker is restarted with its state when its minute comes, and says when that is") {
  Replicas daemon(fake_worker_named("often", "cron = \"* * * * *\"") + fake_worker_named("never"));
  const Json before = daemon.wait_ready_one("often");
  CHECK(before["next_cron_at"].is_string());
  CHECK(daemon.named("never")["next_cron_at"].is_null());
  daemon.ask("inc", {{"worker", "often"}, {"by", 3}});
  EventStream reloads = daemon.events({"reload"});
  const auto of_cron = [](const Json& reload) { return reload["cause"] == "cron"; };
  const Json receipt = reloads.wait_for("reload", of_cron, Milliseconds(60'000) + kPatience);
  CHECK(receipt["worker"] == "often");
  CHECK(receipt["verdict"] == "ok");
  CHECK(daemon.ask("get", {{"worker", "often"}})["count"] == 3);
  CHECK(daemon.named("often")["next_cron_at"] != before["next_cron_at"]);
}

TEST_CASE("metrics: what was counted is what can be asked, over the socket and as text") {
  Replicas daemon(fake_worker_named("shop") + fake_worker_named("mail"));
  daemon.wait_ready_one("shop");
  daemon.wait_ready_one("mail");
  daemon.ask("restart", {{"worker", "shop"}});
  const std::string text = daemon.ask("metrics")["text"];
  for (const char* line : {"zeroth_worker_up{worker=\"shop\"} 1\n", "zeroth_worker_up{worker=\"mail\"} 1\n",
                           "zeroth_worker_generation{worker=\"shop\"} 2\n",
                           "zeroth_worker_reloads_total{worker=\"shop\",verdict=\"ok\"} 2\n",
                           "zeroth_worker_reloads_total{worker=\"mail\",verdict=\"ok\"} 1\n",
                           "zeroth_worker_resident_bytes{worker=\"shop\"} ", "zeroth_supervisor_info{version="}) {
    CAPTURE(line);
    CHECK(says(text, line));
  }
  const ProcessResult shown = daemon.ctl({"metrics"});
  CHECK(shown.exit_code == kExitOk);
  CHECK(says(shown.out, "# TYPE zeroth_worker_up gauge\nzeroth_worker_up{worker=\"shop\"} 1\n"));
}

}  // namespace zeroth::scenario
