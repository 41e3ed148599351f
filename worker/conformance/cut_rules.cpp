#include <array>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

constexpr Milliseconds kHeld{300};                // watched for what must not come
constexpr Milliseconds kGoesOn{1'500};            // for the iteration to grow after resume
constexpr std::size_t kOffset = 4'096;            // of the state in an offered file
constexpr std::string_view kAlone = "{\"a\":1}";  // a state of nobody's

struct Cut {
  CheckpointReply reply;
  std::string state;  // JSON text
};

Json checkpoint_params(bool hold) {
  return {{"hold", hold}, {"deadline_ms", deadline::kRestore.count()}};
}

Result<Cut> read_cut(const Answer& answer) {
  auto reply = parse_checkpoint_reply(*answer.outcome);
  if (!reply) return fail(reply.error());
  if (auto schema = required_field<std::string>(*answer.outcome, "schema"); !schema) return fail(schema.error());
  if (auto pause = required_field<double>(*answer.outcome, "pause_ms"); !pause) return fail(pause.error());
  return Cut{*reply, answer.state_text};
}

// A cut whose state comes inline, as it must where no file is offered.
Result<Cut> take_cut(Subject& subject, bool hold) {
  auto answer = subject.ask_ok("checkpoint", checkpoint_params(hold), deadline::kRestore);
  if (!answer) return fail(std::move(answer.error()));
  auto cut = read_cut(*answer);
  if (cut && cut->state.empty()) return fail("checkpoint: no file was offered, but the state is not in the answer");
  return cut;
}

bool no_hold(const Bench& bench) {
  return !bench.loaded->capabilities.hold || !bench.loaded->capabilities.checkpoint;
}

Finding checkpoint_form(Bench& bench) {
  if (!bench.loaded->capabilities.checkpoint) return skip("it does not announce checkpoint");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto cut = take_cut(*subject, false);
  if (!cut) return broken(cut.error().message);
  if (cut->reply.schema != bench.loaded->schema)
    return broken("schema " + cut->reply.schema + ", but loaded said " + bench.loaded->schema);
  auto again = subject->ask_ok("ping", Json::object(), deadline::kGo);
  if (!again) return broken("afterwards: " + again.error().message);
  return ok(std::to_string(cut->state.size()) + " bytes");
}

Finding checkpoint_file(Bench& bench) {
  if (!bench.loaded->capabilities.checkpoint) return skip("it does not announce checkpoint");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  const std::string path = subject->folder() + "/state.tmp", before(kOffset, '#');
  if (Status written = write_file_atomically(path, before); !written) return broken(written.error().message);
  Json params = checkpoint_params(false);
  params["state_file"] = {{"path", path}, {"offset", kOffset}};
  auto answer = subject->ask_ok("checkpoint", params, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  auto cut = read_cut(*answer);
  if (!cut) return broken(cut.error().message);
  const std::string bytes = read_file(path).value_or("");
  if (bytes.substr(0, kOffset) != before) return broken("bytes before the offset were changed");
  if (!cut->reply.bytes) return ok("the file was not needed");
  if (bytes.size() < kOffset + *cut->reply.bytes) return broken("the file is shorter than the answer says");
  if (!Json::accept(bytes.substr(kOffset, *cut->reply.bytes))) return broken("what is in the file is no JSON value");
  return ok(std::to_string(*cut->reply.bytes) + " bytes in the file");
}

Finding held_is_silent(Bench& bench) {
  if (no_hold(bench)) return skip("it does not announce hold");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  if (auto cut = take_cut(*subject, true); !cut) return broken(cut.error().message);
  const bool calls = bench.loaded->capabilities.call && !bench.loaded->commands.empty();
  const Json call = {{"command", calls ? bench.loaded->commands[0].name : ""}, {"params", Json::object()}};
  const std::string lines = encode_request("waits", calls ? "call" : "checkpoint", call);
  if (Status sent = subject->send(lines); !sent) return broken(sent.error().message);
  if (Status quiet = subject->expect_silence(kHeld); !quiet) return broken("while held " + quiet.error().message);
  auto ping = subject->ask_ok("ping", Json::object(), deadline::kGo);
  return ping ? ok("only ping is answered") : broken("while held: " + ping.error().message);
}

// What waited while it was held is answered, and its own doings go on.
Finding resume_goes_on(Bench& bench) {
  if (no_hold(bench)) return skip("it does not announce hold");
  auto subject = bench.start(Stage::Live);
  if (!subject) return broken(subject.error().message);
  auto held = take_cut(*subject, true);
  if (!held) return broken(held.error().message);
  if (Status sent = subject->send(encode_request("waits", "checkpoint", checkpoint_params(false))); !sent)
    return broken(sent.error().message);
  if (auto resumed = subject->ask_ok("resume", Json::object(), deadline::kGo); !resumed)
    return broken(resumed.error().message);
  if (auto waited = subject->expect_answer("waits", deadline::kRestore); !waited)
    return broken("a request that waited: " + waited.error().message);
  const MonotonicTime until = monotonic_now() + kGoesOn;
  std::optional<std::uint64_t> beat;  // whoever beats with an iteration must get on
  while (!beat && monotonic_now() < until) {
    auto incoming = subject->next(Milliseconds(100));
    if (!incoming) return broken(incoming.error().message);
    if (*incoming && (*incoming)->event && (*incoming)->event->name == "beat")
      beat = parse_beat((*incoming)->event->data).iteration.value_or(0);
    if (beat && held->reply.iteration && *beat <= *held->reply.iteration) beat.reset();
  }
  if (auto ping = subject->ask_ok("ping", Json::object(), deadline::kGo); !ping) return broken(ping.error().message);
  return ok(beat ? "iteration " + std::to_string(held->reply.iteration.value_or(0)) + ", then " + std::to_string(*beat)
                 : "answers again");
}

// Members in any order.
nlohmann::json unordered(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, false);
}

// Equal, but for a worker that has moved on since: then the same names at the top.
Finding compare(const Cut& first, const Cut& second) {
  const nlohmann::json a = unordered(first.state), b = unordered(second.state);
  if (a == b) return ok("equal, " + std::to_string(first.state.size()) + " bytes");
  const nlohmann::json moved = nlohmann::json::diff(a, b);
  const std::string where = moved.empty() ? "" : moved[0].value("path", "");
  const bool moved_on = second.reply.iteration > first.reply.iteration;  // never, for a worker that counts none
  if (!a.is_object() || !b.is_object() || !moved_on) return broken("the state came back different, first at " + where);
  for (const auto& [name, value] : a.items()) {
    if (!b.contains(name)) return broken("/" + name + " is gone");
  }
  if (a.size() != b.size()) return broken("there is more in it than before");
  return ok("the same members; it had moved on to iteration " + std::to_string(*second.reply.iteration));
}

// go and checkpoint{hold} in one write: the worker has hardly a moment in between.
Result<Cut> cut_at_once(Subject& subject) {
  const std::string lines =
      encode_request("go", "go", Json::object()) + encode_request("cut", "checkpoint", checkpoint_params(true));
  if (Status sent = subject.send(lines); !sent) return fail(sent.error());
  if (auto gone = subject.expect_answer("go", deadline::kGo); !gone) return fail(std::move(gone.error()).in("go"));
  auto answer = subject.expect_answer("cut", deadline::kRestore);
  if (!answer) return fail(std::move(answer.error()).in("checkpoint"));
  if (!answer->outcome) return fail("checkpoint: refused, " + answer->outcome.error().message);
  return read_cut(*answer);
}

bool no_round_trip(const Bench& bench) {
  return no_hold(bench) || !bench.loaded->capabilities.restore;
}

// A state with something in it: every command was called once.
Result<Cut> used_state(Bench& bench) {
  auto subject = bench.start(Stage::Live);
  if (!subject) return fail(subject.error());
  if (bench.loaded->capabilities.call) {
    for (const CommandInfo& command : bench.loaded->commands) {
      auto called = subject->ask("call", {{"command", command.name}, {"params", Json::object()}}, deadline::kCall);
      if (!called) return fail(std::move(called.error()).in(command.name));
    }
  }
  return take_cut(*subject, true);
}

Finding round_trip(Bench& bench) {
  if (no_round_trip(bench)) return skip("it does not announce hold and restore");
  auto first = used_state(bench);
  if (!first) return broken(first.error().message);
  auto subject = bench.start(Stage::Ready, first->state);
  if (!subject) return broken(subject.error().message);
  auto second = cut_at_once(*subject);
  if (!second) return broken(second.error().message);
  return compare(*first, *second);
}

Finding round_trip_by_file(Bench& bench) {
  if (no_round_trip(bench)) return skip("it does not announce hold and restore");
  auto first = used_state(bench);
  if (!first) return broken(first.error().message);
  const std::string path = bench.folder() + "/restore.state";
  const std::string bytes = std::string(kOffset, '#') + first->state + "###";
  if (Status written = write_file_atomically(path, bytes); !written) return broken(written.error().message);
  auto subject = bench.start_from_file({path, kOffset, first->state.size()}, first->reply.schema);
  if (!subject) return broken(subject.error().message);
  auto second = cut_at_once(*subject);
  if (!second) return broken(second.error().message);
  return compare(*first, *second);
}

// A state that is not this worker's may be refused or taken; what must not happen is silence or death.
Finding strange_state(Bench& bench) {
  if (!bench.loaded->capabilities.restore) return skip("it does not announce restore");
  auto subject = bench.start(Stage::Loaded);
  if (!subject) return broken(subject.error().message);
  RestoreHead head;
  head.generation = 1;
  head.cause = "start";
  head.schema = "nobody/1";
  if (Status sent = subject->send(encode_restore(1, head, kAlone)); !sent) return broken(sent.error().message);
  auto answer = subject->expect_answer(1, deadline::kRestore);
  if (!answer) return broken(answer.error().message);
  return ok(answer->outcome ? "taken" : "refused: " + answer->outcome.error().message);
}

constexpr std::array<Rule, 7> kCutRules = {{
    {"checkpoint", "`checkpoint` answers exactly one of state, bytes, unchanged, with iteration, schema, pause_ms",
     Stage::Loaded, checkpoint_form},
    {"checkpoint into a file", "with `state_file` the bytes stand at the offset and nothing before it is touched",
     Stage::Loaded, checkpoint_file},
    {"hold", "after `checkpoint{hold}` no section runs and only resume, stop, ping are answered", Stage::Loaded,
     held_is_silent},
    {"resume", "after `resume` it goes on exactly where it held", Stage::Loaded, resume_goes_on},
    {"restore", "a state taken by `checkpoint` is restored by a fresh process to an equal state", Stage::Loaded,
     round_trip},
    {"restore from a file", "the same with `state_file` {path, offset, length}", Stage::Loaded, round_trip_by_file},
    {"restore of a strange state", "`restore` is answered whatever the state is", Stage::Loaded, strange_state},
}};

}  // namespace

std::span<const Rule> cut_rules() {
  return kCutRules;
}

}  // namespace zeroth::conformance
