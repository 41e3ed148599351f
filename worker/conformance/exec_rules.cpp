#include <algorithm>
#include <array>

#include "common/files.h"
#include "common/json_fields.h"
#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

constexpr std::uint64_t kNextGeneration = 2;
constexpr std::string_view kNextEmergencyFile = "/emergency-next.json";

Json order_for(const Subject& subject) {
  ReexecOrder order;
  order.generation = kNextGeneration;
  order.cause = "edit";
  order.emergency_file = subject.folder() + std::string(kNextEmergencyFile);
  return to_json(order);
}

// A worker that is held; its state as text.
Result<std::string> hold(Subject& subject) {
  const Json params = {{"hold", true}, {"deadline_ms", deadline::kRestore.count()}};
  auto cut = subject.ask_ok("checkpoint", params, deadline::kRestore);
  if (!cut) return fail(std::move(cut.error()));
  if (cut->state_text.empty()) return fail("checkpoint: no file was offered, but the state is not in the answer");
  return std::move(cut->state_text);
}

bool has_variable(const Subject& subject, const std::string& assignment) {
  const std::string all = read_file("/proc/" + std::to_string(subject.pid()) + "/environ").value_or("");
  return std::string_view('\0' + all).find('\0' + assignment + '\0') != std::string_view::npos;
}

Finding becomes_the_next(Bench& bench) {
  if (!bench.loaded->capabilities.reexec) return skip("it does not announce reexec");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto state = hold(*subject);
  if (!state) return broken(state.error().message);
  if (Status sent = subject->send(encode_request("becomes", "reexec", order_for(*subject))); !sent)
    return broken(sent.error().message);
  auto data = subject->expect_event("hello", deadline::kHello);
  if (!data) return broken(data.error().message);
  auto hello = parse_hello(*data);
  if (!hello) return broken(hello.error().message);
  if (hello->pid != subject->pid()) return broken("it has another pid than before");
  if (!has_variable(*subject, std::string(env::kGeneration) + "=" + std::to_string(kNextGeneration)))
    return broken("$ZEROTH_GENERATION is not the next one");
  if (auto loaded = subject->expect_event("loaded", deadline::kLoaded); !loaded) return broken(loaded.error().message);
  RestoreHead head;
  head.generation = kNextGeneration;
  head.cause = "edit";
  head.schema = bench.loaded->schema;
  head.from_generation = 1;
  if (Status sent = subject->send(encode_restore("again", head, *state)); !sent) return broken(sent.error().message);
  auto restored = subject->expect_answer("again", deadline::kRestore);
  if (!restored) return broken("restore: " + restored.error().message);
  if (!restored->outcome) return broken("restore: refused, " + restored->outcome.error().message);
  if (auto ready = subject->expect_event("ready", deadline::kRestore); !ready) return broken(ready.error().message);
  if (auto live = subject->ask_ok("go", Json::object(), deadline::kGo); !live) return broken(live.error().message);
  subject->close_channel();
  if (auto exit = subject->wait_exit(deadline::kRestore); !exit) return broken(exit.error().message);
  auto saved = read_file(subject->folder() + std::string(kNextEmergencyFile));
  return saved ? ok("the same pid") : broken("its emergency file is not the one that was named");
}

Finding only_while_held(Bench& bench) {
  if (!bench.loaded->capabilities.reexec) return skip("it does not announce reexec");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto answer = subject->ask("reexec", order_for(*subject), deadline::kHello);
  if (!answer) return broken(answer.error().message);
  if (answer->outcome) return broken("it was accepted");
  if (auto ping = subject->ask_ok("ping", Json::object(), deadline::kGo); !ping) return broken(ping.error().message);
  return ok(answer->outcome.error().message);
}

constexpr std::array<Rule, 2> kExecRules = {{
    {"reexec", "`reexec` while held: hello again on the channel, the same pid, restored under the next generation",
     Stage::Loaded, becomes_the_next},
    {"reexec only while held", "`reexec` of a worker that is not held is refused", Stage::Loaded, only_while_held},
}};

}  // namespace

std::span<const Rule> exec_rules() {
  return kExecRules;
}

}  // namespace zeroth::conformance
