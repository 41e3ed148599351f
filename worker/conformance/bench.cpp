#include <sys/stat.h>

#include "common/files.h"
#include "worker/conformance/rules.h"

namespace zeroth::conformance {
namespace {

Status say_hello_and_loaded(Subject& subject, Stage stage) {
  if (stage < Stage::Hello) return {};
  if (auto hello = subject.expect_event("hello", deadline::kHello); !hello) return fail(std::move(hello.error()));
  if (stage < Stage::Loaded) return {};
  if (auto loaded = subject.expect_event("loaded", deadline::kLoaded); !loaded) return fail(std::move(loaded.error()));
  return {};
}

Status go_live(Subject& subject, Stage stage) {
  if (stage < Stage::Ready) return {};
  if (auto ready = subject.expect_event("ready", deadline::kRestore); !ready) return fail(std::move(ready.error()));
  if (stage < Stage::Live) return {};
  if (auto go = subject.ask_ok("go", Json::object(), deadline::kGo); !go) return fail(std::move(go.error()));
  return {};
}

RestoreHead head_of(const std::string& schema) {
  RestoreHead head;
  head.generation = 1;
  head.cause = "start";
  head.schema = schema;
  return head;
}

}  // namespace

Result<Subject> Bench::start(Stage stage, std::string_view state) {
  const std::string schema = loaded && !state.empty() ? loaded->schema : "";
  return start_restored(stage, encode_restore("restore", head_of(schema), state));
}

Result<Subject> Bench::start_from_file(const StateFile& file, const std::string& schema) {
  RestoreHead head = head_of(schema);
  head.state_file = file;
  return start_restored(Stage::Ready, encode_restore("restore", head, ""));
}

Result<Subject> Bench::start_restored(Stage stage, const std::string& restore_line) {
  const std::string folder = folder_ + "/" + std::to_string(++started_);
  if (::mkdir(folder.c_str(), 0700) != 0) return fail(last_error(folder));
  auto subject = Subject::start(command_, folder);
  if (!subject) return subject;
  if (Status loaded_said = say_hello_and_loaded(*subject, stage); !loaded_said) return fail(loaded_said.error());
  if (stage < Stage::Restored) return subject;
  if (Status sent = subject->send(restore_line); !sent) return fail(sent.error());
  auto restored = subject->expect_answer("restore", deadline::kRestore);
  if (!restored) return fail(std::move(restored.error()).in("restore"));
  if (!restored->outcome) return fail("restore: refused, " + restored->outcome.error().message);
  if (Status live = go_live(*subject, stage); !live) return fail(live.error());
  return subject;
}

std::string Bench::last_output() const {
  return read_file(folder_ + "/" + std::to_string(started_) + "/output").value_or("");
}

}  // namespace zeroth::conformance
