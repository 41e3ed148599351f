#include <array>

#include "common/json_fields.h"
#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

constexpr Milliseconds kQuiet{100};  // long enough for a worker that goes on by itself to be seen

Finding hello_first(Bench& bench) {
  auto subject = bench.start(Stage::Spawned);
  if (!subject) return broken(subject.error().message);
  auto incoming = subject->next(deadline::kHello);
  if (!incoming) return broken(incoming.error().message);
  if (!*incoming) return broken("no hello within " + human_duration(deadline::kHello));
  const auto& event = (*incoming)->event;
  if (!event || event->name != "hello") return broken("something else came first");
  auto hello = parse_hello(event->data);
  if (!hello) return broken(hello.error().message);
  if (hello->pid != subject->pid())
    return broken("pid " + std::to_string(hello->pid) + " is not its own, " + std::to_string(subject->pid()));
  return ok(hello->name + " " + hello->version);
}

// Anything a worker announces must have the form that a supervisor reads.
Finding loaded_next(Bench& bench) {
  auto subject = bench.start(Stage::Hello);
  if (!subject) return broken(subject.error().message);
  auto data = subject->expect_event("loaded", deadline::kLoaded);
  if (!data) return broken(data.error().message);
  for (const char* member : {"capabilities", "commands"}) {
    const Json* value = find_member(*data, member);
    if (value == nullptr || !value->is_array()) return broken(std::string(member) + ": expected an array");
  }
  if (auto schema = required_field<std::string>(*data, "schema"); !schema) return broken(schema.error().message);
  auto loaded = parse_loaded(*data);
  if (!loaded) return broken(loaded.error().message);
  bench.loaded = *loaded;
  return ok(dump(to_json(loaded->capabilities)) + ", " + std::to_string(loaded->commands.size()) +
            " commands, schema " + loaded->schema);
}

Finding waits_for_restore(Bench& bench) {
  auto subject = bench.start(Stage::Loaded);
  if (!subject) return broken(subject.error().message);
  if (Status quiet = subject->expect_silence(kQuiet); !quiet) return broken("before restore " + quiet.error().message);
  return ok();
}

Finding restore_null(Bench& bench) {
  auto subject = bench.start(Stage::Loaded);
  if (!subject) return broken(subject.error().message);
  RestoreHead head;
  head.generation = 1;
  head.cause = "start";
  if (Status sent = subject->send(encode_restore(1, head, "")); !sent) return broken(sent.error().message);
  auto answer = subject->expect_answer(1, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  if (!answer->outcome) return broken("refused: " + answer->outcome.error().message);
  for (const char* member : {"kept", "added", "removed", "renamed", "warnings"}) {
    if (find_member(*answer->outcome, member) == nullptr) return broken(std::string(member) + " is missing");
  }
  if (auto summary = parse_restore_summary(*answer->outcome); !summary) return broken(summary.error().message);
  return ok();
}

Finding ready_after_restore(Bench& bench) {
  auto subject = bench.start(Stage::Restored);
  if (!subject) return broken(subject.error().message);
  auto data = subject->expect_event("ready", deadline::kRestore);
  if (!data) return broken(data.error().message);
  if (auto ready = parse_ready(*data); !ready) return broken(ready.error().message);
  return ok();
}

Finding silent_before_go(Bench& bench) {
  auto subject = bench.start(Stage::Ready);
  if (!subject) return broken(subject.error().message);
  if (Status quiet = subject->expect_silence(kQuiet); !quiet) return broken(quiet.error().message);
  return ok("nothing for " + human_duration(kQuiet));
}

Finding state_before_go(Bench& bench) {
  if (!bench.loaded->capabilities.checkpoint) return skip("it does not announce checkpoint");
  auto subject = bench.start(Stage::Ready);
  if (!subject) return broken(subject.error().message);
  const Json params = {{"hold", false}, {"deadline_ms", deadline::kRestore.count()}};
  auto answer = subject->ask_ok("checkpoint", params, deadline::kGo);
  if (!answer) return broken(answer.error().message);
  auto live = subject->ask_ok("go", Json::object(), deadline::kGo);
  return live ? ok(std::to_string(answer->state_text.size()) + " bytes")
              : broken("afterwards: " + live.error().message);
}

Finding go_without_ready(Bench& bench) {
  auto subject = bench.start(Stage::Loaded);
  if (!subject) return broken(subject.error().message);
  auto answer = subject->ask("go", Json::object(), deadline::kGo);
  if (!answer) return broken(answer.error().message);
  if (answer->outcome) return broken("it was accepted");
  return ok(answer->outcome.error().message);
}

Finding second_restore(Bench& bench) {
  auto subject = bench.start(Stage::Ready);
  if (!subject) return broken(subject.error().message);
  RestoreHead head;
  head.generation = 1;
  if (Status sent = subject->send(encode_restore(2, head, "")); !sent) return broken(sent.error().message);
  auto answer = subject->expect_answer(2, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  if (answer->outcome) return broken("it was accepted");
  return ok(answer->outcome.error().message);
}

Finding go_answered(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  return ok();
}

constexpr std::array<Rule, 10> kStartRules = {{
    {"hello first", "`hello` {protocol:1, name, version, pid} comes first: this process speaks", Stage::Spawned,
     hello_first},
    {"loaded", "`loaded` {capabilities[], commands[], schema} follows when all code is loaded", Stage::Spawned,
     loaded_next},
    {"waits for restore", "after `loaded` nothing comes until `restore`", Stage::Loaded, waits_for_restore},
    {"restore null", "`restore` with null is a fresh start, answered with kept, added, removed, renamed, warnings",
     Stage::Loaded, restore_null},
    {"ready", "`ready` follows the answer to `restore`", Stage::Loaded, ready_after_restore},
    {"silent before go", "after `ready` still nothing visible: no beat, no other event", Stage::Loaded,
     silent_before_go},
    {"state before go", "between `ready` and `go` a checkpoint without hold is answered (--verify-restore asks)",
     Stage::Loaded, state_before_go},
    {"go before ready", "`go` before `ready` is refused", Stage::Loaded, go_without_ready},
    {"restore once", "`restore` comes exactly once; a second one is refused", Stage::Loaded, second_restore},
    {"go", "`go` is answered within 2 s", Stage::Loaded, go_answered},
}};

}  // namespace

std::span<const Rule> start_rules() {
  return kStartRules;
}

}  // namespace zeroth::conformance
