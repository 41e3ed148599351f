#include <sys/stat.h>

#include <array>
#include <csignal>

#include "common/files.h"
#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

std::string in_words(const Exit& exit) {
  return exit.signal != 0 ? "killed by signal " + std::to_string(exit.signal)
                          : "exit code " + std::to_string(exit.code);
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

Finding stop_ends(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto answer = subject->ask_ok("stop", {{"deadline_ms", deadline::kRestore.count()}}, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  auto exit = subject->wait_exit(deadline::kRestore);
  if (!exit) return broken(exit.error().message);
  if (exit->code != 0) return broken(in_words(*exit));
  return ok();
}

Finding stop_while_held(Bench& bench) {
  if (!bench.loaded->capabilities.hold) return skip("it does not announce hold");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto held = subject->ask_ok("checkpoint", {{"hold", true}, {"deadline_ms", 10'000}}, deadline::kRestore);
  if (!held) return broken(held.error().message);
  auto answer = subject->ask_ok("stop", {{"deadline_ms", deadline::kRestore.count()}}, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  auto exit = subject->wait_exit(deadline::kRestore);
  if (!exit) return broken(exit.error().message);
  if (exit->code != 0) return broken(in_words(*exit));
  return ok();
}

// The supervisor dies: what was live saves itself.
Finding saved_at_end(Subject& subject, const std::string& expected) {
  subject.close_channel();
  auto exit = subject.wait_exit(deadline::kRestore);
  if (!exit) return broken(exit.error().message);
  auto bytes = read_file(subject.emergency_file());
  if (!bytes) return broken("no state was written: " + bytes.error().message);
  const nlohmann::json state = nlohmann::json::parse(*bytes, nullptr, false);
  if (state.is_discarded()) return broken("what was written is no JSON value");
  if (!expected.empty() && state != nlohmann::json::parse(expected, nullptr, false))
    return broken("what was written is not what the checkpoint returned");
  return ok(std::to_string(bytes->size()) + " bytes, " + in_words(*exit));
}

Finding end_after_go(Bench& bench) {
  if (!bench.loaded->capabilities.checkpoint) return skip("it does not announce checkpoint");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  return saved_at_end(*subject, "");
}

Finding end_while_held(Bench& bench) {
  if (!bench.loaded->capabilities.hold) return skip("it does not announce hold");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto held = subject->ask_ok("checkpoint", {{"hold", true}, {"deadline_ms", 10'000}}, deadline::kRestore);
  if (!held) return broken(held.error().message);
  return saved_at_end(*subject, held->state_text);
}

Finding end_before_go(Bench& bench) {
  for (const Stage stage : {Stage::Loaded, Stage::Ready}) {
    auto subject = bench.start(stage);
    if (!subject) return broken(subject.error().message);
    subject->close_channel();
    auto exit = subject->wait_exit(deadline::kRestore);
    const std::string when = stage == Stage::Loaded ? "before restore: " : "after ready: ";
    if (!exit) return broken(when + exit.error().message);
    if (exists(subject->emergency_file())) return broken(when + "it wrote a state that was never live");
  }
  return ok();
}

// What it does with the nonsense it was sent: answers bad_request, or ends by itself.
Finding survives(Subject& subject) {
  std::string said = "it ended";
  auto answer = subject.expect_answer(nullptr, deadline::kGo);
  if (answer) {
    if (answer->outcome || answer->outcome.error().code != ErrorCode::BadRequest)
      return broken("the answer is not bad_request");
    if (auto ping = subject.ask_ok("ping", Json::object(), deadline::kGo)) return ok("bad_request, and it goes on");
    said = "bad_request, then it ended";
  }
  auto exit = subject.wait_exit(deadline::kGo);
  if (!exit) return broken("neither an answer nor an end within " + human_duration(deadline::kGo));
  if (exit->signal != 0) return broken(in_words(*exit));
  return ok(said + ", " + in_words(*exit));
}

Finding no_json(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  if (Status sent = subject->send("GET / HTTP/1.1"); !sent) return broken(sent.error().message);
  return survives(*subject);
}

Finding long_line(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  // As much as fits: the worker may close its end in the middle.
  const std::string line = R"({"id":1,"command":"ping","params":{"a":")" + std::string(2 * kMaxLine, 'a') + "\"}}";
  if (Status sent = subject->send(line); !sent) {
    auto exit = subject->wait_exit(deadline::kRestore);
    if (!exit) return broken("it closed its channel and " + exit.error().message);
    return exit->signal != 0 ? broken(in_words(*exit)) : ok("it ended, " + in_words(*exit));
  }
  return survives(*subject);
}

constexpr std::array<Rule, 7> kEndRules = {{
    {"stop", "`stop` is answered, then exit 0", Stage::Loaded, stop_ends},
    {"stop while held", "`stop` ends a held worker as well", Stage::Loaded, stop_while_held},
    {"channel ends after go", "a worker that got `go` writes its state to $ZEROTH_EMERGENCY_FILE and exits",
     Stage::Loaded, end_after_go},
    {"channel ends while held", "the same while held: exactly the state its checkpoint returned", Stage::Loaded,
     end_while_held},
    {"channel ends before go", "a worker that never got `go` exits without writing", Stage::Loaded, end_before_go},
    {"a line that is no JSON", "answers `bad_request` or ends by itself", Stage::Loaded, no_json},
    {"a line over 1 MiB", "answers `bad_request` or ends by itself", Stage::Loaded, long_line},
}};

}  // namespace

std::span<const Rule> end_rules() {
  return kEndRules;
}

}  // namespace zeroth::conformance
