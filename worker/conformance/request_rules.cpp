#include <array>

#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

Finding ping_answered(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto answer = subject->ask_ok("ping", Json::object(), deadline::kGo);
  return answer ? ok() : broken(answer.error().message);
}

Finding unknown_request(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  for (const auto& [name, meant] : {std::pair("checkpont", "checkpoint"), std::pair("qqqqqqqqqqqq", "")}) {
    auto answer = subject->ask(name, Json::object(), deadline::kCall);
    if (!answer) return broken(answer.error().message);
    if (answer->outcome) return broken(std::string(name) + " was accepted");
    const Refusal& refusal = answer->outcome.error();
    if (refusal.code != ErrorCode::UnknownCommand)
      return broken(std::string(name) + " was answered with " + std::string(to_string(refusal.code)));
    if (refusal.hint.find(meant) == std::string::npos)
      return broken(std::string(name) + ": the hint '" + refusal.hint + "' does not name " + meant);
  }
  return ok();
}

Finding unknown_ignored(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  const std::string lines = encode_event("weather", {{"rain", true}}) +
                            R"({"id":"p","command":"ping","params":{"why":[1]},"colour":"blue"})" + "\n";
  if (Status sent = subject->send(lines); !sent) return broken(sent.error().message);
  auto answer = subject->expect_answer("p", deadline::kGo);
  if (!answer) return broken(answer.error().message);
  return answer->outcome ? ok() : broken("ping with a field more was refused: " + answer->outcome.error().message);
}

Json call_params(std::string_view command) {
  return {{"command", command}, {"params", Json::object()}, {"timestamp", 0.0}};
}

Finding call_announced(Bench& bench) {
  if (!bench.loaded->capabilities.call || bench.loaded->commands.empty()) return skip("it announces no commands");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  for (const CommandInfo& command : bench.loaded->commands) {
    auto answer = subject->ask("call", call_params(command.name), deadline::kCall);
    if (!answer) return broken(std::move(answer.error()).in(command.name).message);
    const bool unknown = !answer->outcome && answer->outcome.error().code == ErrorCode::UnknownCommand;
    if (unknown) return broken(command.name + " is announced, but unknown");
  }
  return ok(std::to_string(bench.loaded->commands.size()) + " commands, each without params");
}

Finding call_unknown(Bench& bench) {
  if (!bench.loaded->capabilities.call) return skip("it does not announce call");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto answer = subject->ask("call", call_params("no-such-command-at-all"), deadline::kCall);
  if (!answer) return broken(answer.error().message);
  if (answer->outcome) return broken("it was accepted");
  const ErrorCode code = answer->outcome.error().code;
  if (code != ErrorCode::UnknownCommand) return broken("answered with " + std::string(to_string(code)));
  return ok();
}

Finding pipelined(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  const std::array<Json, 5> ids = {"first", 7, "third", 4'000'000'000'000, "fifth"};
  std::string lines;
  for (const Json& id : ids) lines += encode_request(id, "ping", Json::object());
  if (Status sent = subject->send(lines); !sent) return broken(sent.error().message);
  for (const Json& id : ids) {
    auto answer = subject->expect_answer(id, deadline::kGo);
    if (!answer) return broken(answer.error().message);
  }
  // Nothing is answered twice.
  auto last = subject->ask_ok("ping", Json::object(), deadline::kGo);
  return last ? ok() : broken(last.error().message);
}

Finding duplicate_keys(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  if (Status sent = subject->send(R"({"id":5,"command":"ping","params":{"a":1,"a":2}})"); !sent)
    return broken(sent.error().message);
  auto answer = subject->expect_answer(5, deadline::kGo);
  if (!answer) return broken(answer.error().message);
  if (answer->outcome || answer->outcome.error().code != ErrorCode::BadRequest)
    return broken("the answer is not bad_request");
  auto still = subject->ask_ok("ping", Json::object(), deadline::kGo);
  return still ? ok() : broken(still.error().message);
}

constexpr std::array<Rule, 7> kRequestRules = {{
    {"ping", "`ping` is answered within 2 s", Stage::Loaded, ping_answered},
    {"unknown request", "an unknown command answers `unknown_command` with the nearest known name as hint",
     Stage::Loaded, unknown_request},
    {"unknown event", "unknown fields and events are ignored", Stage::Loaded, unknown_ignored},
    {"call", "commands announced in `loaded` are answered", Stage::Loaded, call_announced},
    {"call of an unknown command", "a command that was not announced answers `unknown_command`", Stage::Loaded,
     call_unknown},
    {"pipelined", "requests may be pipelined; replies carry the id, in order of arrival, once each", Stage::Loaded,
     pipelined},
    {"duplicate keys", "duplicate keys answer `bad_request` and keep the channel open", Stage::Loaded, duplicate_keys},
}};

}  // namespace

std::span<const Rule> request_rules() {
  return kRequestRules;
}

}  // namespace zeroth::conformance
