#include "supervisor/generation/generation.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "common/json_reader.h"

namespace zeroth {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kGoDeadline = 2s;
constexpr Milliseconds kStillLoads = 100ms;
constexpr Milliseconds kExitAfterChannelEnd = 1s;    // a worker that closed its channel is about to end, or is broken
constexpr std::size_t kMaxEarlyStderr = 256 * 1024;  // longer is no list of diagnostics
constexpr std::size_t kMaxChanged = 32 * 1024;       // bytes of $ZEROTH_CHANGED

// One a message: Node takes one with each read. The socket is new and its buffer empty: what does not go out at once
// never will.
bool send_with_descriptor(int socket, const std::string& line, int descriptor) {
  iovec bytes{const_cast<char*>(line.data()), line.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(line.size());
}

}  // namespace

Generation::Generation(Loop& loop, GenerationPlan plan)
    : loop_(loop), plan_(std::move(plan)), env_(plan_.env), start_timer_(loop), stop_timer_(loop) {}

void Generation::took_env(EnvMap env) {
  env_ = std::move(env);
  doubtful_env_.clear();
}

void Generation::left_env(const EnvChange& change) {
  for (const auto& [name, value] : change.set) doubtful_env_.insert(name);
  doubtful_env_.insert(change.unset.begin(), change.unset.end());
}

std::vector<std::string> Generation::environment() const {
  EnvMap all = inherited_variables();
  if (plan_.user) {
    all["HOME"] = plan_.user->home;
    all["USER"] = all["LOGNAME"] = plan_.user->name;
  }
  if (plan_.unbuffered) all.emplace("PYTHONUNBUFFERED", "1");
  if (readiness_ && !readiness_->notify_address().empty()) all["NOTIFY_SOCKET"] = readiness_->notify_address();
  for (const auto& [name, value] : plan_.env) all[name] = value;
  all[env::kWorker] = plan_.worker;
  all[env::kGeneration] = std::to_string(plan_.number);
  all[env::kCause] = plan_.cause;
  all[env::kWorkerDir] = plan_.worker_dir;
  all[env::kEmergencyFile] = plan_.emergency_file;
  all[env::kAlive] = plan_.alive_file;
  if (!plan_.key.empty()) {
    all[env::kSocket] = plan_.socket;
    all[env::kKey] = plan_.key;
  }
  if (!plan_.lent.empty()) all["LISTEN_FDNAMES"] = plan_.lent_names;
  const auto [changed, more] = changed_files();
  if (!changed.empty()) all[env::kChanged] = changed;
  if (more > 0) all[env::kChangedMore] = std::to_string(more);
  std::vector<std::string> assignments;
  assignments.reserve(all.size());
  for (const auto& [name, value] : all) assignments.push_back(name + "=" + value);
  return assignments;
}

std::pair<std::string, std::size_t> Generation::changed_files() const {
  std::string text;
  std::size_t shown = 0;
  for (; shown < plan_.changed.size() && text.size() + plan_.changed[shown].size() < kMaxChanged; ++shown)
    text += (shown == 0 ? "" : "\n") + plan_.changed[shown];
  return {std::move(text), plan_.changed.size() - shown};
}

Child::Hooks Generation::child_hooks() {
  Child::Hooks hooks;
  hooks.on_output = [this](OutputStream stream, std::string_view bytes) { on_output(stream, bytes); };
  hooks.on_exit = [this](const ExitInfo& info) { on_exit(info); };
  return hooks;
}

WorkerChannel::Callbacks Generation::channel_callbacks() {
  WorkerChannel::Callbacks callbacks;
  callbacks.on_event = [this](const Event& event) { on_event(event); };
  callbacks.on_request = [this](const Request& incoming) { on_request(incoming); };
  callbacks.on_end = [this](const std::string& reason) { on_channel_end(reason); };
  return callbacks;
}

void Generation::open_channel(UniqueFd fd) {
  channel_ = std::make_unique<WorkerChannel>(loop_, std::move(fd), channel_callbacks());
}

bool Generation::take_channel(const std::string& key, UniqueFd& connection) {
  if (plan_.key.empty() || key != plan_.key || hello_ || gone_) return false;
  std::string_view names = plan_.lent_names;
  for (const int lent : plan_.lent) {
    const std::string_view name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    const std::string line = encode_event("sockets", {{"names", Json::array({name})}});
    if (!send_with_descriptor(connection.get(), line, lent)) return false;
  }
  open_channel(std::move(connection));
  if (mute_ && !go_answered_) channel_->pause();
  return true;
}

void Generation::await_loaded() {
  start_timer_.start(plan_.start_timeout, [this] {
    fail(std::string(hello_ ? "not loaded" : "no hello") + " within " + human_duration(plan_.start_timeout));
  });
}

void Generation::make_readiness(Result<NotifySocket::Bound> notify) {
  Readiness::Hooks hooks;
  hooks.on_ready = [this] {
    told_ready_ = true;
    settle();
  };
  hooks.on_status = [this](const std::string& status) {
    if (hello_) return;
    if (!beat_) beat_.emplace();
    beat_->status = status;
  };
  readiness_ = std::make_unique<Readiness>(loop_, plan_.health, std::move(notify), std::move(hooks));
}

void Generation::on_no_hello() {
  const bool loads = monotonic_now() - spawned_at_ < plan_.mute_latest && is_at_work(child_->pid());
  if (!loads) return settle();
  start_timer_.start(kStillLoads, [this] { on_no_hello(); });
}

// Whatever comes first: a hello, the check, or, where there is none, having lived for a while.
void Generation::await_readiness() {
  if (!plan_.health) return start_timer_.start(*plan_.mute_after, [this] { on_no_hello(); });
  start_timer_.start(plan_.start_timeout, [this] {
    fail("not ready within " + human_duration(plan_.start_timeout) + ": " + readiness_->waits_for());
  });
  readiness_->ask(probe_place());
}

// It is taken as one that does not speak. Should it after all, that is heard when it is live.
void Generation::settle() {
  start_timer_.stop();
  readiness_->stop();
  mute_ = said_loaded_ = said_ready_ = true;
  channel_->pause();
  const auto call = hooks_.on_loaded;
  if (call) call();
}

void Generation::on_hello(const Event& event) {
  if (hello_) return fail("a second hello");
  auto hello = parse_hello(event.data);
  if (!hello) return fail(hello.error().message);
  hello_ = std::move(*hello);
  spoke_ = true;
  if (readiness_) readiness_->stop();
  if (!mute_) return await_loaded();
  mute_ = said_loaded_ = said_ready_ = false;
  live_since_.reset();
  const auto call = hooks_.on_late_hello;
  if (call) call();
}

// As if it had answered, but not before the caller has returned.
void Generation::answer_for_mute(Answer on_answer) {
  loop_.post([this, on_answer = std::move(on_answer), alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || gone_) return;
    on_answer(Json::object(), "{}");
  });
}

void Generation::fail(const std::string& reason) {
  if (gone_ || !failure_.empty()) return;
  failure_ = reason;
  start_timer_.stop();
  if (readiness_) readiness_->stop();
  const auto call = hooks_.on_failed;
  if (call) call(reason);
}

void Generation::on_event(const Event& event) {
  if (event.name == "beat") {
    beat_ = parse_beat(event.data);
    last_beat_at_ = monotonic_now();
    const auto call = hooks_.on_beat;
    if (call) call();
    return;
  }
  if (event.name == "hello") return on_hello(event);
  if (event.name == "loaded") {
    if (!hello_ || said_loaded_) return fail(hello_ ? "a second loaded" : "loaded before hello");
    auto loaded = parse_loaded(event.data);
    if (!loaded) return fail(loaded.error().message);
    loaded_ = std::move(*loaded);
    said_loaded_ = true;
    start_timer_.stop();
    const auto call = hooks_.on_loaded;
    if (call) call();
    return;
  }
  if (event.name == "ready") {
    if (!said_loaded_ || said_ready_) return fail(said_loaded_ ? "a second ready" : "ready before loaded");
    auto ready = parse_ready(event.data);
    if (!ready) return fail(ready.error().message);
    if (ready->capabilities) loaded_.capabilities = *ready->capabilities;
    for (CommandInfo& command : ready->commands) loaded_.commands.push_back(std::move(command));
    said_ready_ = true;
    const auto call = hooks_.on_ready;
    if (call) call();
  }
}

void Generation::on_request(const Request& request) {
  if (request.command == "save") {
    const auto call = hooks_.on_save;
    if (call) return call(request.id);
  }
  const bool known = request.command == "save";
  respond(encode_refusal(request.id, {known ? ErrorCode::Unavailable : ErrorCode::UnknownCommand,
                                      known ? "not live" : "a worker may only request save", "", nullptr}));
}

void Generation::on_channel_end(const std::string& reason) {
  if (gone_) return;
  if (plan_.mute_after && !hello_) return;  // closed unused, as wrappers do
  if (!reason.empty()) return fail(reason);
  start_timer_.start(kExitAfterChannelEnd, [this] { fail("it closed its channel and did not end"); });
}

void Generation::on_output(OutputStream stream, std::string_view bytes) {
  const bool may_be_diagnostics = plan_.built_in && !said_loaded_ && stream == OutputStream::Stderr;
  if (may_be_diagnostics && early_stderr_.size() + bytes.size() <= kMaxEarlyStderr) {
    early_stderr_.append(bytes);
    return;
  }
  const auto call = hooks_.on_output;
  if (!call) return;
  if (!early_stderr_.empty()) {
    const std::string early = std::exchange(early_stderr_, {});
    call(OutputStream::Stderr, early);
  }
  call(stream, bytes);
}

void Generation::on_exit(const ExitInfo& info) {
  exit_ = info;
  gone_ = true;
  spoke_ = spoke_ || (channel_ && channel_->has_unread());
  start_timer_.stop();
  stop_timer_.stop();
  readiness_.reset();
  if (!early_stderr_.empty()) {
    auto parsed = parse_json(early_stderr_, {.members = 100'000});
    if (parsed && parsed->value.is_array()) {
      diagnostics_ = std::move(parsed->value);
    } else if (hooks_.on_output) {
      const auto call = hooks_.on_output;
      call(OutputStream::Stderr, early_stderr_);
    }
    early_stderr_.clear();
  }
  const auto call = hooks_.on_gone;
  if (call) call();
}

void Generation::go(Answer on_answer) {
  live_since_ = mute_ && !told_ready_ ? spawned_at_ : monotonic_now();
  if (reexeced_) child_->rename_alive_file(plan_.alive_file, plan_.noted);  // before, it never writes an emergency file
  if (mute_) {
    return answer_for_mute([this, on_answer = std::move(on_answer)](const auto& outcome, std::string_view text) {
      const std::weak_ptr<bool> alive = alive_;
      on_answer(outcome, text);
      if (alive.expired()) return;
      go_answered_ = true;
      channel_->resume();
    });
  }
  channel_->request("go", Json::object(), kGoDeadline, std::move(on_answer));
}

void Generation::request(std::string_view command, const Json& params, Milliseconds deadline, Answer on_answer) {
  if (mute_) return on_answer(refuse(ErrorCode::Refused, "the worker does not speak the protocol"), {});
  channel_->request(command, params, deadline, std::move(on_answer));
}

void Generation::respond(std::string line) {
  if (channel_) channel_->respond(std::move(line));
}

void Generation::stop(Milliseconds deadline) {
  if (gone_) return;
  if (!child_) return kill("stopped");
  if (readiness_) readiness_->stop();
  if (failure_.empty()) failure_ = "stopped";
  const bool asked = !mute_ && (hello_ || !plan_.mute_after);
  if (asked)
    channel_->request("stop", {{"deadline_ms", deadline.count()}}, deadline, [](const auto&, std::string_view) {});
  stop_timer_.start(asked ? deadline : Milliseconds(0), [this, deadline] {
    (void)child_->signal_group(SIGTERM);
    stop_timer_.start(deadline, [this] { kill(); });
  });
}

void Generation::resize(TerminalSize size) {
  if (child_ && !gone_) child_->resize(size);
}

void Generation::type(std::string bytes) {
  if (child_ && !gone_) child_->type(std::move(bytes));
}

void Generation::kill(const std::string& why) {
  if (gone_) return;
  if (failure_.empty()) failure_ = why;
  doomed_ = true;
  stop_timer_.stop();
  if (!child_) return;
  (void)child_->signal_group(SIGKILL);
}

}  // namespace zeroth
