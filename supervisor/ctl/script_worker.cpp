#include "supervisor/ctl/script_worker.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"

namespace zeroth {
namespace {

constexpr Milliseconds kToTake{10'000};          // for the supervisor to save a file whose command has ended
constexpr Milliseconds kToEndAlone{5'000};       // for the command, when the supervisor is gone; it waits 10 s for us
constexpr Milliseconds kForItsEnd{1'000};        // of the channel, after a SIGTERM that may tell of it
constexpr std::string_view kLastSave = "ended";  // id of our only request
constexpr std::string_view kCommands[] = {"restore", "go", "checkpoint", "resume", "stop", "ping"};

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> environment_of(const ScriptPlan& plan) {
  return {{"ZEROTH_STATE_FILE", plan.file}, {env::kFd, ""}, {env::kSocket, ""}, {env::kKey, ""}};
}

ScriptWorker::ScriptWorker(ScriptPlan plan, UniqueFd channel, UniqueFd signals, std::string key)
    : plan_(std::move(plan)),
      place_(plan_.file),
      channel_(std::move(channel)),
      signals_(std::move(signals)),
      key_(std::move(key)),
      lines_(kMaxLine) {}

int ScriptWorker::run() {
  say_hello();
  while (!status_) {
    pollfd ready[] = {
        {channel_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {watch_ ? watch_->fd() : -1, POLLIN, 0}};
    if (::poll(ready, std::size(ready), timeout_ms()) < 0 && errno != EINTR) break;
    if (ready[0].revents != 0) read_channel();  // first: a SIGTERM after its end means another thing
    if (ready[1].revents != 0 && !status_) read_signals();
    if (ready[2].revents != 0 && watch_) watch_->read();
    if (!status_) on_time();
    if (!status_) start_if_due();
  }
  place_.forget();
  return status_.value_or(W_EXITCODE(1, 0));
}

// ---- The channel

void ScriptWorker::say_hello() {
  const std::string name = name_of(plan_.command[0]);
  send(encode_event("hello", to_json(Hello{kWorkerProtocol, name, ZEROTH_VERSION, ::getpid(), key_})));
  Loaded loaded;
  loaded.capabilities.checkpoint = loaded.capabilities.restore = loaded.capabilities.hold = true;
  loaded.schema = kFileSchema;
  loaded.program_path = plan_.command[0];
  send(encode_event("loaded", to_json(loaded)));
}

void ScriptWorker::send(std::string_view line) {
  while (!line.empty()) {
    const ssize_t sent = ::send(channel_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;  // its end is read
    line.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void ScriptWorker::tell(const std::string& level, const std::string& message) {
  send(encode_event("log", {{"level", level}, {"message", message}, {"fields", Json::object()}}));
  complain(escape_control(message));
}

void ScriptWorker::refuse(const Json& id, ErrorCode code, const std::string& message, const std::string& hint) {
  send(encode_refusal(id, {code, message, hint, nullptr}));
}

void ScriptWorker::read_channel() {
  std::array<char, 64 * 1024> buffer;
  const ssize_t got = ::recv(channel_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) return on_channel_end();
  const bool fits = lines_.feed({buffer.data(), static_cast<std::size_t>(got)}, [this](std::string_view line) {
    if (!status_) on_line(line);
    return true;
  });
  if (fits || status_) return;
  refuse(nullptr, ErrorCode::BadRequest, "a line longer than 1 MiB");
  on_channel_end();
}

void ScriptWorker::on_line(std::string_view line) {
  auto message = decode_message(line, {.exempt_state = true});
  if (!message) return refuse(message.error().id, ErrorCode::BadRequest, message.error().reason);
  if (const auto* response = std::get_if<Response>(&*message)) {
    if (stage_ == Stage::Ended && response->id == Json(kLastSave)) finish(ended_with_);
    return;
  }
  const auto* request = std::get_if<Request>(&*message);
  if (request == nullptr) return;
  if (must_wait(*request)) {
    waiting_.emplace_back(line);
  } else {
    on_request(*request, line);
  }
}

// In order of arrival, but for what ends the one before it.
bool ScriptWorker::must_wait(const Request& request) const {
  const std::string& command = request.command;
  if (command == "stop") return false;
  if (stage_ == Stage::Stopping) return true;
  if (pending_) return pending_->hold || command != "checkpoint" || !field_or<bool>(request.params, "hold", false);
  return stage_ == Stage::Held && command != "resume" && command != "ping";
}

void ScriptWorker::take_waiting() {
  const std::deque<std::string> lines = std::exchange(waiting_, {});
  for (const std::string& line : lines) {
    if (!status_) on_line(line);
  }
}

void ScriptWorker::on_request(const Request& request, std::string_view line) {
  if (request.command == "restore") return on_restore(request, line);
  if (request.command == "go") return on_go(request);
  if (request.command == "checkpoint") return on_checkpoint(request);
  if (request.command == "resume") return on_resume(request);
  if (request.command == "stop") return on_stop(request);
  if (request.command == "ping") return answer(request.id, Json::object());
  const std::vector<std::string_view> known(std::begin(kCommands), std::end(kCommands));
  const std::string_view meant = nearest(request.command, known);
  refuse(request.id, ErrorCode::UnknownCommand, "unknown command '" + escape_control(request.command) + "'",
         meant.empty() ? "" : "did you mean '" + std::string(meant) + "'?");
}

void ScriptWorker::on_restore(const Request& request, std::string_view line) {
  if (stage_ != Stage::Loaded) return refuse(request.id, ErrorCode::Refused, "restore comes exactly once");
  const auto head = parse_restore_head(request.params);
  if (!head) return refuse(request.id, ErrorCode::BadParams, head.error().message);
  const SchemaRule rule = {kFileSchema, {}};
  if (!rule.takes(head->schema)) return refuse(request.id, ErrorCode::Refused, rule.refusal(head->schema));
  const Status staged =
      place_.stage(json_span(line, "params", "state"), head->state_file, head->fresh ? kFileSchema : head->schema);
  if (!staged) return refuse(request.id, ErrorCode::Failed, staged.error().message);
  stage_ = Stage::Restored;
  answer(request.id, to_json(RestoreSummary{}));
  send(encode_event("ready", Json::object()));
}

void ScriptWorker::on_go(const Request& request) {
  if (stage_ != Stage::Restored) return refuse(request.id, ErrorCode::Refused, "go comes once, after ready");
  if (Status put = place_.put(); !put) return refuse(request.id, ErrorCode::Failed, put.error().message);
  stage_ = Stage::Live;
  start_due_ = true;
  answer(request.id, Json::object());
}

void ScriptWorker::on_resume(const Request& request) {
  if (stage_ == Stage::Held) {
    place_.release();
    stage_ = Stage::Live;
    start_due_ = true;
  }
  answer(request.id, Json::object());
  take_waiting();
}

void ScriptWorker::on_stop(const Request& request) {
  if (pending_) finish_checkpoint(fail("stopped meanwhile", EBUSY));
  stage_ = Stage::Stopping;
  stop_id_ = request.id;
  if (!command_) return on_ended(0);
  const auto deadline = Milliseconds(field_or<std::int64_t>(request.params, "deadline_ms", 10'000));
  kill_at_ = monotonic_now() + deadline * 9 / 10;
  end_command();
}

// ---- The command

// Not before all that has come is read: a hold that came with `go` finds the state as it was restored.
void ScriptWorker::start_if_due() {
  if (!std::exchange(start_due_, false)) return;
  auto started = ScriptProcess::start(plan_.command, environment_of(plan_));
  if (started) {
    command_ = *started;
    return;
  }
  tell("error", started.error().message);
  constexpr int kNotExecuted = 127;
  finish(W_EXITCODE(kNotExecuted, 0));
}

// Also one that is stopped by a signal.
void ScriptWorker::end_command() {
  command_->signal_group(SIGTERM);
  command_->signal_group(SIGCONT);
}

void ScriptWorker::on_ended(int status) {
  command_.reset();
  kill_at_.reset();
  if (stage_ == Stage::Stopping) {
    answer(*stop_id_, Json::object());
    return finish(0);
  }
  if (pending_ && pending_->step == Pending::Step::Ending) return read_state();
  stage_ = Stage::Ended;
  ended_with_ = status;
  give_up_at_ = monotonic_now() + kToTake;
  if (pending_) return after_saving();
  ask_to_take();
}

void ScriptWorker::ask_to_take() {
  if (!std::exchange(asked_to_take_, true)) send(encode_request(kLastSave, "save", Json::object()));
}

void ScriptWorker::read_signals() {
  signalfd_siginfo info{};
  while (!status_ && ::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) {
      if (const auto saved = save_ ? save_->reap() : std::nullopt) on_save_ended(*saved);
      if (const auto ended = command_ ? command_->reap() : std::nullopt) on_ended(*ended);
      continue;
    }
    const bool to_all = number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
    if (command_) {
      to_all ? command_->signal_group(number) : command_->signal(number);
    } else if (to_all && !give_up_at_) {
      // The end of the channel may be about to follow: each thread of a supervisor that dies sends us one.
      ended_with_ = number;
      give_up_at_ = monotonic_now() + kForItsEnd;
    }
  }
}

// The supervisor is gone: what was live saves itself.
void ScriptWorker::on_channel_end() {
  drop_save();
  if (stage_ == Stage::Loaded || stage_ == Stage::Restored) return finish(0);
  if (command_) {
    end_command();
    const MonotonicTime until = monotonic_now() + kToEndAlone;
    while (!command_->reap()) {
      pollfd ended = {signals_.get(), POLLIN, 0};
      const int left = ms_until(until);
      if (left == 0) command_->signal_group(SIGKILL);
      signalfd_siginfo info{};
      if (::poll(&ended, 1, std::clamp(left, 10, 100)) > 0)
        while (::read(signals_.get(), &info, sizeof info) > 0) continue;
    }
    command_.reset();
  }
  const std::string path = from_environment(env::kEmergencyFile);
  if (path.empty()) return finish(0);
  const Status written = replace_file(path, 0600, [this](int to) -> Status {
    const auto file = place_.open();
    if (!file) return fail(file.error());
    if (!*file) return write_all(to, kNoFile);
    return encode_file(file->get(), is_json_name(plan_.file), to, 0).map([](std::uint64_t) {});
  });
  if (!written) complain("the state is not saved: " + escape_control(written.error().message));
  finish(written ? 0 : W_EXITCODE(1, 0));
}

void ScriptWorker::finish(int status) {
  status_ = status;
}

// ---- Time

void ScriptWorker::on_time() {
  const MonotonicTime now = monotonic_now();
  if (kill_at_ && now >= *kill_at_ && command_) {
    kill_at_.reset();
    tell("warning", "the command did not end on TERM and was killed");
    command_->signal_group(SIGKILL);
  }
  if (pending_) on_pending_time();
  if (give_up_at_ && now >= *give_up_at_) finish(ended_with_);
}

int ScriptWorker::timeout_ms() const {
  int timeout = -1;
  const auto at_most = [&](const std::optional<MonotonicTime>& when) {
    if (when) timeout = timeout < 0 ? ms_until(*when) : std::min(timeout, ms_until(*when));
  };
  at_most(kill_at_);
  at_most(give_up_at_);
  if (watch_) at_most(watch_->ask_at());
  if (pending_ && pending_->step != Pending::Step::Ending) at_most(pending_->until);
  const bool looks = pending_ && (pending_->step == Pending::Step::Asking || pending_->step == Pending::Step::Reading);
  if (looks) at_most(pending_->look_at);
  return timeout;
}

}  // namespace zeroth
