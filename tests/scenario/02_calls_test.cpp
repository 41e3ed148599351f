// Calls go on while generations change.

#include <set>

#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

// Sends numbered calls, a millisecond apart, and keeps account of the answers.
class Caller {
 public:
  explicit Caller(const std::string& socket) : client_(std::move(*ControlClient::connect(socket))) {}

  // Takes what has come within a millisecond, then sends one more if it is time.
  void turn() {
    take(Milliseconds(1));
    const MonotonicTime now = monotonic_now();
    if (now - last_ < Milliseconds(1)) return;
    last_ = now;
    waiting_.insert(client_.send("state", {{"name", "LEFT"}, {"inject", 1}}));
    ++sent;
  }

  // Until everything is answered or nothing comes any more.
  void finish() {
    while (!waiting_.empty() && take(kPatience)) {
    }
  }

  std::size_t unanswered() const { return waiting_.size(); }

  std::uint64_t sent = 0, done = 0, refused = 0, answered_twice = 0;
  std::string refusal;

 private:
  bool take(Milliseconds deadline) {
    const auto message = client_.receive(deadline);
    if (!message) return false;
    const auto* response = std::get_if<Response>(&*message);
    REQUIRE(response != nullptr);
    if (waiting_.erase(response->id.get<std::int64_t>()) == 0) ++answered_twice;
    response->outcome ? ++done : ++refused;
    if (!response->outcome) refusal = response->outcome.error().message;
    return true;
  }

  ControlClient client_;
  std::set<std::int64_t> waiting_;
  MonotonicTime last_;
};

TEST_CASE("calls: over 100 reloads every call is answered once, and what it did is kept") {
  constexpr int kReloads = 100;
  Daemon daemon(kApart, kStandingStill);
  const double before = daemon.ask("state", {{"name", "LEFT"}})["divergence"];
  const std::uint64_t first = daemon.generation();
  EventStream reloads = daemon.events({"reload"});
  Caller caller(daemon.socket());
  for (int i = 0; i < kReloads; ++i) {
    daemon.write(i % 2 == 0 ? kApartWider : kApart);
    const MonotonicTime until = monotonic_now() + kPatience;
    const auto done = [](const Json& receipt) { return receipt["verdict"] == "ok"; };
    while (!reloads.next("reload", done, Milliseconds(0))) {
      REQUIRE(monotonic_now() < until);
      caller.turn();
    }
  }
  caller.finish();
  CAPTURE(caller.refusal);
  CHECK(caller.unanswered() == 0);
  CHECK(caller.answered_twice == 0);
  CHECK(caller.refused == 0);
  CHECK(caller.done == caller.sent);
  CHECK(caller.sent > kReloads);
  const Json left = daemon.ask("state", {{"name", "LEFT"}});
  CHECK(left["divergence"].get<double>() == before + static_cast<double>(caller.done));
  CHECK(daemon.generation() == first + kReloads);
}

TEST_CASE("calls: one sent while nobody is live yet waits for the worker") {
  Daemon daemon(kApart, kStandingStill);
  auto client = ControlClient::connect(daemon.socket());
  REQUIRE(client);
  const std::int64_t restart = client->send("restart");
  const std::int64_t call = client->send("state", {{"name", "LEFT"}});
  std::set<Json> answered;
  for (int i = 0; i < 2; ++i) {
    const auto message = client->receive();
    REQUIRE(message);
    const auto& response = std::get<Response>(*message);
    CHECK(response.outcome);
    answered.insert(response.id);
  }
  CHECK(answered == std::set<Json>{restart, call});
}

}  // namespace
}  // namespace zeroth::scenario
