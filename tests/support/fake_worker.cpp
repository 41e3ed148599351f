// A worker that follows the protocol with a tiny state {"count": n}, and breaks it where its behaviour file says so:
//   fake_worker BEHAVIOUR.json
// The file is read once, at the start; a changed file is new code.
//   {"generations": [2],            only these misbehave (default: all)
//    "capabilities": ["hold", …],   announced instead of all it can but env (checkpoint restore hold call reexec)
//    "schema": "fake/1",            fake/1 has {"count": n}, every other schema the same as {"total": n}
//    "migrate": true,               announced as it is; without it, a state of another schema is refused
//    "ignore_term": false,          SIGTERM does nothing
//    "beat_ms": 0,                  time between beats, 0 for none
//    "faults": ["wrong_pid", …],    see has_fault() below
//    "at": {"before_hello": ACTION or [ACTION, …], …}}
// Points: before_hello before_loaded in_restore before_ready at_go after_go at_checkpoint at_cut while_held at_resume
// at_drain at_stop at_call at_env at_reexec at_end. Actions: die, hang, exit N, garbage, long_line, late MS, flood,
// touch FILE, wait FILE, grow MB; at a request also silent, error, twice. Files lie beside the behaviour file.
// Commands: get, inc {by}, inc_saved (inc, answered after a save), save, variable {name} (of its environment).

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>

#include "common/clock.h"
#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/line_splitter.h"
#include "common/message.h"
#include "common/reexec.h"
#include "common/signals.h"
#include "common/worker_protocol.h"

namespace zeroth {
namespace {

enum class Stage { Loaded, Restored, Live, Held };
enum class Then { GoOn, Silent, Error, Twice };  // with the request at hand

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

class FakeWorker {
 public:
  explicit FakeWorker(std::string behaviour_file)
      : behaviour_file_(behaviour_file),
        folder_(folder_of(behaviour_file)),
        fd_(std::atoi(environment(env::kFd).c_str())) {
    auto parsed = parse_json(read_file(behaviour_file).value_or("{}"));
    if (parsed) behaviour_ = std::move(parsed->value);
    // A library leaves the SIGTERM of its supervisor's death to the end of the channel; so does this one when told.
    if (field_or<bool>(behaviour_, "ignore_term", false)) ::signal(SIGTERM, SIG_IGN);
    const Json* only = find_member(behaviour_, "generations");
    const int generation = std::atoi(environment(env::kGeneration).c_str());
    misbehaves_ = only == nullptr || std::find(only->begin(), only->end(), Json(generation)) != only->end();
  }

  int run() {
    act("before_hello");
    say_hello();
    if (has_fault("two_hellos")) say_hello();
    act("before_loaded");
    say_loaded();
    const auto beat = Milliseconds(field_or<std::int64_t>(behaviour_, "beat_ms", 0));
    while (!ended_) {
      serve(beat.count() > 0 ? static_cast<int>(beat.count()) : -1);
      const bool beats = stage_ == Stage::Live || (stage_ == Stage::Held && has_fault("beats_while_held")) ||
                         (stage_ == Stage::Restored && has_fault("beats_before_go"));
      if (beat.count() > 0 && beats) send(encode_event("beat", {{"iteration", count_}}));
    }
    act("at_end");
    if (was_live_ && !has_fault("no_emergency_file"))
      (void)write_file_atomically(environment(env::kEmergencyFile), state());
    return 0;
  }

 private:
  bool has_fault(std::string_view name) const {
    const Json* faults = find_member(behaviour_, "faults");
    return misbehaves_ && faults != nullptr && std::find(faults->begin(), faults->end(), Json(name)) != faults->end();
  }

  std::string schema() const { return field_or<std::string>(behaviour_, "schema", "fake/1"); }
  static std::string member_of(const std::string& schema) { return schema == "fake/1" ? "count" : "total"; }
  Json document() const { return {{member_of(schema()), count_}}; }
  std::string state() const { return dump(document()); }

  void send(std::string_view line) {
    if (!write_all(fd_, line)) ended_ = true;
  }

  // ---- The script

  Then act(std::string_view point) {
    const Json* at = find_member(behaviour_, "at");
    const Json* script = misbehaves_ && at != nullptr ? find_member(*at, point) : nullptr;
    if (script == nullptr) return Then::GoOn;
    Then then = Then::GoOn;
    for (const Json& action : script->is_array() ? *script : Json::array({*script})) {
      if (const Then one = perform(action.get<std::string>()); one != Then::GoOn) then = one;
    }
    return then;
  }

  Then perform(const std::string& action) {
    const std::size_t space = std::min(action.find(' '), action.size());
    const std::string verb = action.substr(0, space);
    const std::string word = space < action.size() ? action.substr(space + 1) : "";
    if (verb == "die") std::abort();
    if (verb == "hang") hang();
    if (verb == "exit") ::_exit(std::atoi(word.c_str()));
    if (verb == "garbage") send("this is no message\n");
    if (verb == "long_line") send(std::string(2 << 20, 'a'));
    if (verb == "late") ::poll(nullptr, 0, std::atoi(word.c_str()));
    if (verb == "flood") flood();
    if (verb == "grow") memory_.assign(static_cast<std::size_t>(std::atoi(word.c_str())) << 20, 'x');
    if (verb == "touch") (void)write_file_atomically(folder_ + "/" + word, "");
    if (verb == "wait") wait_for_file(folder_ + "/" + word);
    if (verb == "silent") return Then::Silent;
    if (verb == "error") return Then::Error;
    if (verb == "twice") return Then::Twice;
    return Then::GoOn;
  }

  [[noreturn]] static void hang() {
    for (;;) ::pause();
  }

  void flood() {
    for (int i = 0; i < 5'000; ++i) {
      std::printf("line %d of a flood\n", i);
      send(encode_event("log", {{"level", "info"}, {"message", "flood " + std::to_string(i)}}));
    }
    std::fflush(stdout);
  }

  static void wait_for_file(const std::string& path) {
    while (::access(path.c_str(), F_OK) != 0) ::poll(nullptr, 0, 2);
  }

  // ---- The protocol

  void say_hello() {
    const std::int64_t pid = has_fault("wrong_pid") ? 1 : ::getpid();
    send(encode_event("hello", to_json(Hello{kWorkerProtocol, "fake", "1", pid, ""})));
  }

  void say_loaded() {
    Json data = {{"capabilities", {"checkpoint", "restore", "hold", "call", "reexec"}}, {"schema", schema()}};
    if (const Json* migrate = find_member(behaviour_, "migrate")) data["migrate"] = *migrate;
    if (const Json* announced = find_member(behaviour_, "capabilities")) data["capabilities"] = *announced;
    data["commands"] = Json::array();
    for (const char* name : {"get", "inc", "inc_saved", "variable"})
      data["commands"].push_back({{"name", name}, {"help", "for tests"}, {"params", Json::object()}});
    send(encode_event("loaded", data));
  }

  void serve(int timeout_ms) {
    pollfd readable = {fd_, POLLIN, 0};
    if (::poll(&readable, 1, timeout_ms) <= 0) return;
    char buffer[65536];
    const ssize_t got = ::read(fd_, buffer, sizeof buffer);
    const bool fits = got > 0 && lines_.feed({buffer, static_cast<std::size_t>(got)}, [this](std::string_view line) {
      on_line(line);
      return true;
    });
    if (!fits) ended_ = true;
  }

  void on_line(std::string_view line) {
    auto message = decode_message(line, {.exempt_state = true});
    if (!message) {
      const Refusal refusal{ErrorCode::BadRequest, message.error().reason, "", nullptr};
      return send(encode_refusal(message.error().id, refusal));
    }
    if (const auto* response = std::get_if<Response>(&*message)) on_response(*response);
    if (const auto* request = std::get_if<Request>(&*message)) on_request(*request, line);
  }

  // A save was answered: so may be the call that asked for it.
  void on_response(const Response& response) {
    const auto asked = saves_.find(dump(response.id));
    if (asked == saves_.end()) return;
    if (response.outcome) {
      send(encode_result(asked->second, {{"count", count_}, {"saved", *response.outcome}}));
    } else {
      send(encode_refusal(asked->second, response.outcome.error()));
    }
    saves_.erase(asked);
  }

  void on_request(const Request& request, std::string_view line) {
    const std::string& command = request.command;
    const bool always = command == "resume" || command == "stop" || command == "ping" || command == "reexec";
    const bool early = stage_ < Stage::Live && (command == "restore" || command == "go");
    const bool asked_early = stage_ == Stage::Restored && command == "checkpoint" &&
                             !field_or<bool>(request.params, "hold", false) && !has_fault("mute_before_go");
    if (stage_ != Stage::Live && !always && !early && !asked_early && !has_fault("answers_while_held")) {
      waiting_.emplace_back(line);
      return;
    }
    if (command == "restore") return on_restore(request);
    if (command == "go") return on_go(request);
    if (command == "checkpoint") return on_checkpoint(request);
    if (command == "resume") return on_resume(request);
    if (command == "reexec") return on_reexec(request);
    if (command == "stop") return on_stop(request);
    if (command == "drain") return answer(request, act("at_drain"), {{"closed", 0}});
    if (command == "ping") return answer(request, Then::GoOn, Json::object());
    if (command == "call") return on_call(request);
    if (command == "env") return on_env(request);
    refuse(request, ErrorCode::UnknownCommand, command == "checkpont" ? "did you mean 'checkpoint'?" : "");
  }

  void refuse(const Request& request, ErrorCode code, const std::string& hint = "") {
    send(encode_refusal(request.id, {code, "the fake refuses " + request.command, hint, nullptr}));
  }

  void answer(const Request& request, Then then, const Json& result) {
    if (then == Then::Silent) return;
    if (then == Then::Error) return refuse(request, ErrorCode::Failed);
    const std::string line = encode_result(request.id, result);
    send(then == Then::Twice ? line + line : line);
  }

  void on_restore(const Request& request) {
    if (stage_ != Stage::Loaded) return refuse(request, ErrorCode::Refused);
    const Then then = act("in_restore");
    auto head = parse_restore_head(request.params);
    const Json* state = find_member(request.params, "state");
    Json from = state != nullptr ? *state : Json();
    if (head && head->state_file) {
      const std::string bytes = read_file(head->state_file->path).value_or("");
      if (bytes.size() >= head->state_file->offset + head->state_file->length) {
        auto parsed = parse_json(std::string_view(bytes).substr(head->state_file->offset, head->state_file->length));
        if (parsed) from = parsed->value;
      }
    }
    const std::string of = head && !head->schema.empty() ? head->schema : schema();
    if (!from.is_null() && of != schema() && find_member(behaviour_, "migrate") == nullptr)
      return refuse(request, ErrorCode::Refused);
    const auto count = field_or<std::int64_t>(from, member_of(of), -1);
    if (!from.is_null() && count < 0) return refuse(request, ErrorCode::Failed);
    if (!from.is_null()) count_ = count + (has_fault("changes_state") ? 1 : 0);
    RestoreSummary summary;
    if (!from.is_null()) summary.kept = NameCount::of({member_of(schema())});
    if (!from.is_null() && has_fault("drops")) summary.removed = NameCount::of({"lost"});
    if (!from.is_null() && has_fault("says_rewritten")) summary.rewritten = NameCount::of({"count"});
    answer(request, then, to_json(summary));
    if (then == Then::Silent || then == Then::Error) return;
    stage_ = Stage::Restored;
    act("before_ready");
    send(encode_event("ready", Json::object()));
  }

  void on_go(const Request& request) {
    if (stage_ != Stage::Restored) return refuse(request, ErrorCode::Refused);
    const Then then = act("at_go");
    stage_ = Stage::Live;
    was_live_ = true;
    answer(request, then, Json::object());
    act("after_go");
    take_waiting();
  }

  void on_checkpoint(const Request& request) {
    const bool hold = field_or<bool>(request.params, "hold", false);
    const Then then = act(hold ? "at_cut" : "at_checkpoint");
    if (hold && then != Then::Error) stage_ = Stage::Held;
    const bool other = has_fault("answers_other_schema");
    Json result = {{"state", document()}, {"schema", other ? "fake/other" : schema()}, {"pause_ms", 0.0}};
    if (has_fault("state_and_unchanged")) result["unchanged"] = true;
    answer(request, then, result);
    if (hold) act("while_held");
  }

  void on_resume(const Request& request) {
    const Then then = act("at_resume");
    if (stage_ == Stage::Held) stage_ = Stage::Live;
    answer(request, then, Json::object());
    take_waiting();
  }

  void on_reexec(const Request& request) {
    auto order = parse_reexec(request.params);
    if (!order || stage_ != Stage::Held) return refuse(request, ErrorCode::Refused);
    const Then then = act("at_reexec");
    if (then == Then::Silent) return;
    if (then == Then::Error) return refuse(request, ErrorCode::Failed);
    (void)exec_again({"/proc/self/exe", behaviour_file_}, *order, fd_);
    refuse(request, ErrorCode::Failed);
  }

  // What fails quotes a value, as real ones do: all of it, or with the fault env_callback_fails what is set first.
  void on_env(const Request& request) {
    const Then then = act("at_env");
    const Json* told = find_member(request.params, "set");
    const Json set = told != nullptr ? *told : Json::object();
    const auto unset = field_or<std::vector<std::string>>(request.params, "unset", {});
    Json applied = unset;
    if (then == Then::Error) {
      const std::string quoted = set.empty() ? "" : set.begin().value().get<std::string>();
      return send(encode_refusal(request.id, {ErrorCode::Failed, "the callback cannot use " + quoted, "", nullptr}));
    }
    for (const auto& [name, value] : set.items()) {
      ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
      applied.push_back(name);
    }
    for (const std::string& name : unset) ::unsetenv(name.c_str());
    Json result = {{"applied", applied}};
    if (has_fault("env_callback_fails") && !set.empty()) {
      const auto first = set.begin();
      result["failed"] = {{first.key(), "cannot use " + first.value().get<std::string>()}};
      result["applied"].erase(std::find(result["applied"].begin(), result["applied"].end(), Json(first.key())));
    }
    answer(request, then, result);
  }

  void on_stop(const Request& request) {
    const Then then = act("at_stop");
    answer(request, then, Json::object());
    if (then == Then::GoOn) std::exit(0);
  }

  void on_call(const Request& request) {
    const Then then = act("at_call");
    const std::string command = field_or<std::string>(request.params, "command", "");
    const Json* params = find_member(request.params, "params");
    if (command == "inc" || command == "inc_saved")
      count_ += params != nullptr ? field_or<std::int64_t>(*params, "by", 1) : 1;
    if (command == "variable") {
      const char* value = std::getenv(field_or<std::string>(*params, "name", "").c_str());
      return answer(request, then, {{"value", value != nullptr ? Json(value) : Json()}, {"pid", ::getpid()}});
    }
    if (command == "inc_saved") {
      const std::string id = "save-" + std::to_string(++last_save_);
      saves_[dump(Json(id))] = request.id;
      return send(encode_request(id, "save", Json::object()));
    }
    if (command != "get" && command != "inc") return refuse(request, ErrorCode::UnknownCommand);
    answer(request, then, {{"count", count_}, {"pid", ::getpid()}});
  }

  void take_waiting() {
    const std::deque<std::string> lines = std::exchange(waiting_, {});
    for (const std::string& line : lines) on_line(line);
  }

  std::string behaviour_file_, folder_;
  int fd_;
  Json behaviour_ = Json::object();
  bool misbehaves_ = true;
  LineSplitter lines_{kMaxLine};
  Stage stage_ = Stage::Loaded;
  bool was_live_ = false;
  bool ended_ = false;
  std::int64_t count_ = 0;
  std::deque<std::string> waiting_;    // lines that came while held or too early
  std::map<std::string, Json> saves_;  // id of a save -> id of the call that waits for it
  int last_save_ = 0;
  std::string memory_;  // only to take some
};

}  // namespace
}  // namespace zeroth

int main(int argc, char** argv) {
  zeroth::reset_signals();
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (argc != 2) return 2;
  return zeroth::FakeWorker(argv[1]).run();
}
