// Snapshots that are kept, compared, and carried from one instance to another.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/snapshot_format.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

constexpr Milliseconds kLongWork{180'000};  // 100 MB on a busy disk
const std::vector<std::string> kTwoOnly = {"--rate", "0.001", "--checkpoint-interval", "0", "--keep-bytes", "1"};
const std::vector<std::string> kOnRequest = {"--rate", "0.001", "--checkpoint-interval", "0"};

std::uint64_t change_and_save(Daemon& daemon) {
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 1}});
  return daemon.ask("checkpoint")["sequence"];
}

std::vector<std::uint64_t> kept_in(Daemon& daemon) {
  std::vector<std::uint64_t> sequences;
  const Json answer = daemon.ask("snapshots", {{"limit", 100}});
  for (const Json& snapshot : answer["snapshots"]) sequences.push_back(snapshot["sequence"]);
  return sequences;
}

ProcessResult ctl(Daemon& daemon, std::vector<std::string> words, const std::string& locale = "C.UTF-8") {
  auto environment = daemon.environment();
  environment.emplace_back("LC_ALL", locale);
  words.insert(words.begin(), built("zerothctl"));
  return run_process(words, environment);
}

// A snapshot file as another instance would have exported it.
std::string write_snapshot(const std::string& path, const std::string& state) {
  SnapshotEnvelope envelope;
  envelope.sequence = 7;
  envelope.generation = 3;
  envelope.worker = "elsewhere";
  envelope.identity = "/srv/elsewhere.zero";
  envelope.schema = "shop/1";
  envelope.program_hash = std::string(32, 'e');
  envelope.cause = "manual";
  envelope.created_at = *parse_rfc3339("2026-01-31T10:02:11.123Z");
  const auto header = render_snapshot_header(envelope);
  REQUIRE(header);
  envelope.length = state.size();
  envelope.state_offset = header->size();
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  REQUIRE(fd);
  REQUIRE(write_all_at(fd.get(), *header, 0));
  REQUIRE(write_all_at(fd.get(), state, envelope.state_offset));
  REQUIRE(seal_snapshot(fd.get(), envelope));
  return path;
}

std::uint64_t import_state(Daemon& daemon, const std::string& name, const std::string& state) {
  const std::string path = write_snapshot(daemon.dir().path(name), state);
  const Json taken = daemon.ask("import", {{"path", path}}, kLongWork);
  fs::remove(path);
  return taken["sequence"];
}

// {"visits":{"name 0":0,…},…} of about this size.
std::string large_state(std::size_t bytes, const std::string& last) {
  std::string state = "{\"visits\":{";
  for (int i = 0; state.size() < bytes; ++i) {
    state += (i > 0 ? ",\"name " : "\"name ") + std::to_string(i) + "\":" + std::to_string(i * 7);
  }
  return state + ",\"last\":" + last + "}}";
}

}  // namespace

TEST_CASE("pins: a pinned snapshot survives retention and the supervisor's restart, until it is unpinned") {
  Daemon daemon(kApart, kTwoOnly);
  const std::uint64_t first = change_and_save(daemon);
  CHECK(daemon.ask("pin", {{"sequence", first}}) == Json{{"sequence", first}, {"pinned", true}});
  for (int i = 0; i < 3; ++i) change_and_save(daemon);
  CHECK(kept_in(daemon) == std::vector<std::uint64_t>{first + 3, first + 2, first});
  CHECK(daemon.terminate() == kExitOk);
  daemon.restart();
  for (int i = 0; i < 3; ++i) change_and_save(daemon);
  REQUIRE(kept_in(daemon).size() == 3);
  CHECK(kept_in(daemon).back() == first);
  const Json listed = daemon.ask("snapshots")["snapshots"];
  CHECK(listed[2]["pinned"] == true);
  CHECK(listed[0]["pinned"] == false);
  CHECK(daemon.ask("snapshot", {{"sequence", first}})["pinned"] == true);
  const std::string table = ctl(daemon, {"snapshots"}).out;
  CHECK(says(table, "Sequence  Generation  Cause   Created                   Bytes  Pin\n"));
  CHECK(says(table, "  pinned\n"));
  const ProcessResult unpinned = ctl(daemon, {"unpin", std::to_string(first)});
  CHECK(unpinned.exit_code == kExitOk);
  CHECK(unpinned.out == "snapshot " + std::to_string(first) + " is not pinned any more\n");
  change_and_save(daemon);
  CHECK(kept_in(daemon).size() == 2);
}

TEST_CASE("retention: what a reload dropped something of outlives a dozen editions and the supervisor's restart") {
  Daemon daemon(kApart, kOnRequest);
  change_and_save(daemon);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 1}});
  const Json dropping = edit(daemon, "state RIGHT\nobserve convergence epsilon 0.0001\n")["last_reload"];
  CHECK(dropping["removed"]["count"] == 1);
  const std::uint64_t before = dropping["snapshot"];
  const std::uint64_t kept_with_it = before + 1;  // nothing was dropped of this one
  const auto edit_often = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      daemon.ask("state", {{"name", "RIGHT"}, {"inject", 1}});
      edit(daemon,
           "state RIGHT\nobserve convergence epsilon 0.0001" + std::string(static_cast<std::size_t>(i), '1') + "\n");
    }
  };
  edit_often(1, 12);
  CHECK(daemon.terminate() == kExitOk);
  daemon.restart();
  edit_often(12, 24);
  const std::vector<std::uint64_t> kept = kept_in(daemon);
  CHECK(std::ranges::find(kept, before) != kept.end());
  CHECK(std::ranges::find(kept, kept_with_it) == kept.end());
  CHECK(state_of(daemon, before)["states"] == Json{"LEFT", "RIGHT"});
}

TEST_CASE("pins: a snapshot that is not there is not found, and it is said how to see those that are") {
  Daemon daemon(kApart, kOnRequest);
  change_and_save(daemon);
  for (const char* command : {"pin", "unpin"}) {
    const auto refused = daemon.call(command, {{"sequence", 999}});
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::NotFound);
    CHECK(refused.error().message == "there is no snapshot 999");
    CHECK(says(refused.error().hint, "zerothctl snapshots"));
    for (const Json& params :
         {Json::object(), Json{{"sequence", -1}}, Json{{"sequence", "x"}}, Json{{"sequence", 1.5}}}) {
      const auto bad = daemon.call(command, params);
      REQUIRE(!bad);
      CHECK(bad.error().code == ErrorCode::BadParams);
    }
  }
  CHECK(daemon.refused("diff", {{"a", 1}, {"b", 999}}).code == ErrorCode::NotFound);
  CHECK(daemon.refused("diff", {{"a", 1}}).code == ErrorCode::BadParams);
  CHECK(daemon.refused("export", {{"sequence", 999}, {"path", daemon.dir().path("out")}}).code == ErrorCode::NotFound);
  const ProcessResult result = ctl(daemon, {"pin", "999"});
  CHECK(result.exit_code == kExitFailed);
  CHECK(says(result.err, "there is no snapshot 999 (see zerothctl snapshots)"));
}

TEST_CASE("pins: a file of pins that is garbage is set aside, told, and costs no snapshot") {
  Daemon daemon(kApart, kTwoOnly);
  const std::uint64_t first = change_and_save(daemon);
  daemon.ask("pin", {{"sequence", first}});
  change_and_save(daemon);
  CHECK(daemon.terminate() == kExitOk);
  const std::string pins = daemon.worker_dir() + "/pins.json";
  REQUIRE(write_file_atomically(pins, "{\"pins\":["));
  daemon.restart();
  CHECK(fs::exists(pins + ".corrupt"));
  CHECK(daemon.logs("nobody knows which snapshots were pinned"));
  CHECK(daemon.worker()["snapshot"]["rejected"][0]["file"] == "pins.json");
  for (int i = 0; i < 3; ++i) change_and_save(daemon);
  CHECK(kept_in(daemon).back() == first);
}

TEST_CASE("diff: what was added, removed and changed, with names escaped, as JSON and for people") {
  Daemon daemon(kApart, kOnRequest);
  const std::uint64_t a = import_state(daemon, "a", R"({"visits":{"anna":3,"a/b~c":1.0},"gone":[1],"same":1e2})");
  const std::uint64_t b = import_state(daemon, "b", R"({"same":100,"visits":{"anna":5,"a/b~c":"x"},"new":{"n":null}})");
  const Json found = daemon.ask("diff", {{"a", a}, {"b", b}});
  CHECK(found["total"] == 4);
  CHECK(found["changed"] ==
        Json::parse(R"({"/visits/anna":{"from":3,"to":5},"/visits/a~1b~0c":{"from":1.0,"to":"x"}})"));
  CHECK(found["added"] == Json::parse(R"({"/new":{"n":null}})"));
  CHECK(found["removed"] == Json::parse(R"({"/gone":[1]})"));
  const std::vector<std::string> words = {"diff", std::to_string(a), std::to_string(b)};
  const std::string text = ctl(daemon, words).out;
  CHECK(says(text, "~ /visits/anna  3 → 5\n"));
  CHECK(says(text, "+ /new  {\"n\":null}\n"));
  CHECK(says(text, "- /gone  [1]\n"));
  CHECK(says(text, "2 changed, 1 added, 1 removed\n"));
  CHECK(says(ctl(daemon, words, "C").out, "~ /visits/anna  3 -> 5\n"));
  CHECK(says(ctl(daemon, {"diff", std::to_string(a), std::to_string(a)}).out, "no difference\n"));
}

TEST_CASE("diff: generations stand for their last snapshots") {
  Daemon daemon(kApart, kOnRequest);
  change_and_save(daemon);
  edit(daemon, kApartWider);
  change_and_save(daemon);
  const ProcessResult result = ctl(daemon, {"diff", "1", "2", "--generation", "--json"});
  CHECK(result.exit_code == kExitOk);
  const auto found = parse_json(result.out);
  REQUIRE(found);
  CHECK(found->value["a"]["generation"] == 1);
  CHECK(found->value["b"]["generation"] == 2);
  CHECK(found->value["total"].get<int>() > 0);
  const ProcessResult none = ctl(daemon, {"diff", "1", "77", "--generation"});
  CHECK(none.exit_code == kExitFailed);
  CHECK(says(none.err, "no snapshot of generation 77 is kept"));
}

TEST_CASE("export: a snapshot travels as a file, and nothing goes on from it unasked") {
  Daemon from(kApart, kOnRequest), to(kApart, kOnRequest);
  const std::uint64_t sequence = change_and_save(from);
  const std::string path = from.dir().path("moved.json");
  const ProcessResult exported = run_process(
      {"sh", "-c",
       "cd " + from.dir().path() + " && " + built("zerothctl") + " export " + std::to_string(sequence) + " moved.json"},
      from.environment());
  CHECK(exported.exit_code == kExitOk);
  CHECK(says(exported.out, path));
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const auto again = from.call("export", {{"sequence", sequence}, {"path", path}});
  REQUIRE(!again);
  CHECK(again.error().code == ErrorCode::Refused);
  CHECK(says(again.error().message, "is not overwritten"));
  CHECK(from.refused("export", {{"sequence", sequence}, {"path", "moved.json"}}).code == ErrorCode::BadParams);

  const Json before = living_state(to);
  const ProcessResult imported = ctl(to, {"import", path});
  CHECK(imported.exit_code == kExitOk);
  CHECK(says(imported.out, "warning: it was taken of " + from.program() + ", not of " + to.program()));
  CHECK(says(imported.out, "--state-only"));
  const Json taken = to.ask("snapshots")["snapshots"][0];
  CHECK(taken["pinned"] == true);
  CHECK(taken["imported"]["sequence"] == sequence);
  CHECK(taken["imported"]["identity"] == from.program());
  CHECK(state_of(to, taken["sequence"]) == state_of(from, sequence));
  CHECK(state_of(to, taken["sequence"]) != before);
  // A crash goes on from what lived, and so does the next start.
  to.kill_worker();
  to.wait_generation(2);
  CHECK(living_state(to)["divergence"] == before["divergence"]);
  CHECK(to.worker()["snapshot"]["sequence"] != taken["sequence"]);
  CHECK(to.worker()["snapshot"]["rejected"].empty());
  to.kill_supervisor();
  CHECK(to.wait_no_workers());
  to.restart();
  CHECK(living_state(to)["divergence"] == before["divergence"]);
}

TEST_CASE("import: what is damaged, no snapshot or not there is refused, naming it") {
  Daemon daemon(kApart, kOnRequest);
  const std::uint64_t sequence = change_and_save(daemon);
  const std::string good = daemon.dir().path("good");
  daemon.ask("export", {{"sequence", sequence}, {"path", good}});
  std::string bytes = *read_file(good);
  bytes[4100] ^= 1;
  const std::string bad = daemon.dir().write("bad", bytes);
  fs::create_symlink(good, daemon.dir().path("link"));
  for (const std::string& path : {bad, daemon.dir().path("link"), daemon.dir().path("absent"), daemon.dir().path(),
                                  daemon.program(), std::string("/dev/zero"), std::string("/proc/self/maps")}) {
    CAPTURE(path);
    const auto refused = daemon.call("import", {{"path", path}});
    REQUIRE(!refused);
    CHECK((refused.error().code == ErrorCode::Refused || refused.error().code == ErrorCode::NotFound));
    CHECK(says(refused.error().message, path));
  }
  CHECK(kept_in(daemon) == std::vector<std::uint64_t>{sequence});
  CHECK(daemon.refused("import", {{"path", "good"}}).code == ErrorCode::BadParams);
  CHECK(daemon.refused("import", Json::object()).code == ErrorCode::BadParams);
}

TEST_CASE("diff: of states of 100 MB it delays nobody") {
  Daemon daemon(kApart, kOnRequest);
  const std::uint64_t a = import_state(daemon, "a", large_state(100'000'000, "1"));
  const std::uint64_t b = import_state(daemon, "b", large_state(100'000'000, "2"));
  ControlClient client = connected(daemon.socket());
  const std::int64_t diff = client.send("diff", {{"a", a}, {"b", b}});
  const std::int64_t ping = client.send("ping");
  const std::int64_t second = client.send("diff", {{"a", a}, {"b", b}});
  std::vector<std::int64_t> order;
  Json found;
  while (order.size() < 3) {
    auto message = client.receive(kLongWork);
    REQUIRE(message);
    const auto* response = std::get_if<Response>(&*message);
    REQUIRE(response);
    order.push_back(response->id);
    if (order.back() == diff) found = response->outcome.value();
    if (order.back() == second) CHECK(response->outcome.error().code == ErrorCode::Busy);
  }
  CHECK(order.back() == diff);
  CHECK(std::find(order.begin(), order.end(), ping) != order.end());
  CHECK(found["total"] == 1);
  CHECK(found["changed"] == Json::parse(R"({"/visits/last":{"from":1,"to":2}})"));
}

}  // namespace zeroth::scenario
