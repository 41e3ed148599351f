// zerothctl state: which part a pointer names, and whom it asks.

#include "supervisor/ctl/state.h"

#include <doctest/doctest.h>

#include "common/exit_codes.h"
#include "common/json_reader.h"
#include "tests/support/fake_control.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

Json shop() {
  return {{"visits", {{"anna", 2}, {"a/b", 3}, {"c~d", 4}, {"", 5}}}, {"log", {"x", {{"y", true}}}}};
}

struct Instance {
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), ZEROTH_BIN_DIR "/zerothctl");
    return run_process(words, {{"HOME", dir.path()}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  }
  TempDir dir;
};

// One that keeps this snapshot as its newest.
FakeControl::Answer keeping(const Json& state, std::uint64_t bytes) {
  return FakeControl::running("/p/shop.py", [state, bytes](const Request& request) {
    if (request.command == "snapshots")
      return encode_result(request.id, {{"total", 7}, {"snapshots", {{{"sequence", 12}}}}});
    if (request.command == "state")
      return encode_refusal(request.id, {ErrorCode::UnknownCommand, "unknown command 'state'", "", nullptr});
    return encode_result(request.id,
                         {{"sequence", 12}, {"bytes", bytes}, {"path", "/s/12.snapshot"}, {"state", state}});
  });
}

}  // namespace

TEST_CASE("zerothctl state: a pointer names a part of the state") {
  const Json state = shop();
  struct Case {
    const char* pointer;
    Json part;
  };
  const std::vector<Case> cases = {
      {"", state},     {"/visits/anna", 2}, {"/visits/a~1b", 3}, {"/visits/c~0d", 4},
      {"/visits/", 5}, {"/log/0", "x"},     {"/log/1/y", true},
  };
  for (const Case& one : cases) {
    CAPTURE(one.pointer);
    const auto part = find_part(state, one.pointer);
    REQUIRE(part.has_value());
    CHECK(**part == one.part);
  }
}

TEST_CASE("zerothctl state: the first part that is not there is named, with the nearest that is") {
  const Json state = shop();
  struct Case {
    const char* pointer;
    const char* said;
  };
  const std::vector<Case> cases = {
      {"/vists/anna", "'/vists' is not there, did you mean '/visits'?"},
      {"/visits/ana/x", "'/visits/ana' is not there, did you mean '/visits/anna'?"},
      {"/visits/a~1c", "did you mean '/visits/a~1b'?"},
      {"/visits/anna/x", "'/visits/anna/x' is not there: /visits/anna has no parts (number)"},
      {"/log/2", "'/log/2' is not there: /log is a list of 2"},
      {"/log/01", "numbers from 0"},
      {"/log/-", "numbers from 0"},
      {"/a~2", "'~0'"},
      {"visits", "begins with '/'"},
      {"/\x1b[2J", "'/\\x1b[2J' is not there"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.pointer);
    const auto part = find_part(state, one.pointer);
    REQUIRE(!part);
    CHECK_MESSAGE(says(part.error().message, one.said), part.error().message);
  }
}

TEST_CASE("zerothctl state: people get indented JSON without control characters") {
  CHECK(state_text(2) == "2\n");
  CHECK(state_text({{"a", {1}}}) == "{\n  \"a\": [\n    1\n  ]\n}\n");
  const std::string text = state_text("\x1b\x7f\xc2\x9b\xc3\xa9");
  CHECK(text == "\"\\u001b\\u007f\\u009b\xc3\xa9\"\n");
  CHECK(parse_json(text)->value == "\x1b\x7f\xc2\x9b\xc3\xa9");
}

TEST_CASE("zerothctl state: the newest snapshot is asked for, of the worker that is named") {
  const Instance instance;
  FakeControl fake(instance.dir.path("run"), keeping(shop(), 90));
  CHECK(instance.ctl({"state", "/visits/anna"}).out == "2\n");
  CHECK(fake.seen() == std::vector<std::string>{R"(snapshots {"limit":1})", R"(snapshot {"sequence":12})"});
  CHECK(parse_json(instance.ctl({"state", "--json"}).out)->value == shop());
  instance.ctl({"state", "--worker", "b"});
  CHECK(fake.seen().back() == R"(snapshot {"sequence":12,"worker":"b"})");
  const ProcessResult none = instance.ctl({"state", "/vists"});
  CHECK(none.exit_code == kExitFailed);
  CHECK(none.out == "");
  CHECK(says(none.err, "did you mean '/visits'?"));
  const ProcessResult word = instance.ctl({"state", "visits"});
  CHECK(word.exit_code == kExitUsage);
  CHECK(says(word.err, "did you mean '/visits'?"));
  CHECK(instance.ctl({"state", "--inject", "1"}).exit_code == kExitUsage);
}

TEST_CASE("zerothctl state: what is too large to be shown is named with its file; a state may be null") {
  const Instance instance;
  {
    const FakeControl fake(instance.dir.path("run"), keeping(nullptr, 3'000'000));
    const ProcessResult large = instance.ctl({"state"});
    CHECK(large.exit_code == kExitFailed);
    CHECK(says(large.err, "3,000,000 bytes; it is in /s/12.snapshot"));
  }
  const FakeControl fake(instance.dir.path("run"), keeping(nullptr, 4));
  CHECK(instance.ctl({"state"}).out == "null\n");
}

TEST_CASE("zerothctl state: help and completion know it, whatever the worker announces") {
  const Instance instance;
  CHECK(says(instance.ctl({"help"}).out, "\n  state "));
  CHECK(says(instance.ctl({"help", "state"}).out, "state [POINTER|NAME]"));
  CHECK(says(instance.ctl({"completion", "fish"}).out, "-a state "));
}

}  // namespace zeroth
