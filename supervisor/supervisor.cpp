#include "supervisor/supervisor.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "common/diagnostic.h"
#include "common/exit_codes.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/signals.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr Milliseconds kSameKeyPress{300};
constexpr Milliseconds kLastWork{1'000};  // for the disk to end what nobody waits for

// Of zeroth-worker, which lies beside this program.
std::string sibling(const std::string& name) {
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  self.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return folder_of(self) + "/" + name;
}

}  // namespace

tl::expected<std::unique_ptr<Supervisor>, StartError> Supervisor::create(Options options) {
  std::unique_ptr<Supervisor> made(new Supervisor(std::move(options)));
  auto place = InstancePlace::claim(made->loop_, made->options_);
  if (!place) return tl::unexpected(std::move(place.error()));
  made->place_ = std::move(*place);
  if (auto opened = made->open_listeners(); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->place_->open_port(made->options_); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->open_worker(); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->open_control(); !opened) return tl::unexpected(opened.error());
  return made;
}

Supervisor::Supervisor(Options options) : options_(std::move(options)) {}

Supervisor::~Supervisor() {
  close();
}

void Supervisor::close() {
  if (place_) place_->close();  // no client outlives what it asks
  if (terminal_) terminal_->detach();
  worker_.reset();
}

tl::expected<void, StartError> Supervisor::open_listeners() {
  for (const std::string& text : options_.listen) {
    const auto address = parse_listen_address(text);
    if (!address) return refuse_start(kExitUsage, address.error().message);
    auto listener = open_listener(*address);
    if (!listener) {
      const bool taken = listener.error().code == EADDRINUSE;
      return refuse_start(taken ? kExitTaken : exit_code_for(listener.error().code),
                          "--listen " + listener.error().message);
    }
    listeners_.push_back(std::move(*listener));
  }
  return {};
}

tl::expected<void, StartError> Supervisor::open_worker() {
  const Identity& identity = place_->identity();
  const Folders& folders = place_->folders();
  fingerprint_ = xxh3_hex(dump(describe(options_)));
  auto log = Log::open(folders.state + "/supervisor.log", options_, events_);
  if (!log) return refuse_start(kExitPermission, log.error().message);
  log_ = std::move(*log);
  const std::string shown = options_.program.empty() ? identity.stem : name_of(options_.program);
  terminal_ = std::make_unique<Terminal>(
      loop_, options_, Console::Names{escape_control(shown), place_->control(), folders.name}, events_);

  const std::string folder = folders.state + "/" + folders.name;
  for (const std::string& made : {folder, folder + "/own"}) {
    if (Status done = make_folders(made); !done) return refuse_start(done.error(), folders.state);
  }
  auto generations = GenerationLog::open(folder);
  if (!generations) return refuse_start(generations.error(), folders.state);
  if (const std::size_t lines = generations->unreadable_lines(); lines > 0) {
    events_.publish("log",
                    {{"level", "warning"},
                     {"message", folder + "/generations.jsonl: " + std::to_string(lines) +
                                     (lines == 1 ? " line cannot be read and is" : " lines cannot be read and are") +
                                     " passed over"}});
  }

  std::vector<std::string> not_watched = {folders.state, folders.runtime};
  for (const std::string& own : {options_.log_file, options_.pid_file}) {
    if (!own.empty()) not_watched.push_back(own);
  }
  for (const char* stream : {"/proc/self/fd/1", "/proc/self/fd/2"}) {  // what we say is no edit
    std::error_code error;
    const auto file = std::filesystem::read_symlink(stream, error);
    if (!error && file.is_absolute()) not_watched.push_back(file.string());
  }
  watch_ =
      std::make_unique<ProgramWatch>(loop_, options_, std::move(not_watched),
                                     ProgramWatch::Hooks{[this](const Changes& changes) { reload_edited(changes); },
                                                         [this](const std::string& note) { say("warning", note); }});

  Worker::Setup setup;
  setup.options = &options_;
  setup.name = folders.name;
  setup.identity = identity.key;
  setup.former = place_->former();
  setup.folder = folder;
  setup.fingerprint = fingerprint_;
  setup.worker_binary = sibling("zeroth-worker");
  setup.cwd = options_.cwd;
  setup.scope = watch_->scope();
  setup.listeners = &listeners_;
  setup.terminal = &terminal_->of_workers();
  if (!options_.command.empty()) setup.hello_socket = folder_of(folders.socket) + "/worker.sock";
  if (Status adopted = Orphans::become_subreaper(); !adopted) return refuse_start(kExitFailed, adopted.error().message);
  orphans_ = std::make_unique<Orphans>(loop_, [this](pid_t pid) { return worker_ && worker_->owns(pid); });
  setup.orphans = orphans_.get();
  Worker::Hooks hooks;
  hooks.emit = [this](std::string_view type, const Json& data) {
    events_.publish(type, data);
    // Snapshots fail, or succeed again: the state folder may have been taken away.
    if (type == "checkpoint" && data.contains("degraded")) place_->look_soon();
  };
  hooks.on_start_failed = [this](int exit_code, const Receipt& receipt) {
    const std::string told = receipt.diagnostics.empty() ? "zeroth-supervise: " + receipt.reason + "\n"
                                                         : render_reported(receipt.diagnostics);
    terminal_->close();
    terminal_->console().say(told);
    end(exit_code);
  };
  hooks.on_generation = [this] { watch_->on_generation(); };
  hooks.on_restart = [this] { watch_->on_restart(); };
  hooks.on_gave_up = [this] {
    if (options_.exit_on_failure) end(kExitFailed);
  };
  worker_ = std::make_unique<Worker>(loop_, std::move(setup), std::move(*generations), std::move(hooks));
  return {};
}

tl::expected<void, StartError> Supervisor::open_control() {
  targets_.workers = {worker_.get()};
  targets_.events = &events_;
  targets_.status = [this] { return status(); };
  targets_.config = [this] { return describe(options_); };
  targets_.shutdown = [this](bool force, Worker::Reply reply) { shutdown(force, std::move(reply)); };
  InstancePlace::Hooks hooks;
  hooks.say = [this](std::string_view level, const std::string& message) { say(level, message); };
  hooks.on_folder_made = [this] {
    log_->reopen();
    (void)make_folders(place_->folders().state + "/" + worker_->name() + "/own");
    worker_->restore_files();
  };
  hooks.on_runtime_folder = [this] { worker_->restore_hello_socket(); };
  hooks.lost = [this](const StartError& taken) {
    terminal_->close();
    terminal_->console().say("zeroth-supervise: " + taken.message);
    watch_->stop();
    end(taken.exit_code);
  };
  return place_->open(make_dispatcher(targets_), std::move(hooks));
}

void Supervisor::say(std::string_view level, const std::string& message) {
  events_.publish("log", {{"level", level}, {"message", message}});
}

void Supervisor::reload_edited(const Changes& changes) {
  Worker::ReloadRequest request;
  request.cause = "edit";
  request.changed = changes.paths;
  request.began = changes.first_event;
  worker_->reload(std::move(request));
}

int Supervisor::run() {
  for (const int number : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<SignalWatch>(loop_, number, [this] { on_signal(); }));
  }
  // There is no configuration to read again yet; losing the terminal is no reason to end.
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGHUP, [] {}));
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGUSR1, [this] { log_->reopen(); }));
  let_stop_signals_through();
  watch_->start();
  terminal_->attach(*worker_, {[this] { return watch_->files(); }, [this] { on_signal(); }});
  place_->keep();
  events_.publish("supervisor", {{"state", "started"}, {"pid", ::getpid()}, {"program", place_->identity().key}});
  worker_->start();
  loop_.run();
  close();
  return exit_code_;
}

bool Supervisor::hangs() {
  return !loop_.wait_for_pool(kLastWork);
}

void Supervisor::on_signal() {
  const bool stopping = stop_asked_ && worker_->state() == WorkerState::Stopping;
  // One key press may come twice: to us and, through whoever started us, once more.
  if (stopping && monotonic_now() - *stop_asked_ < kSameKeyPress) return;
  if (stopping) return worker_->kill_now();
  stop_asked_ = monotonic_now();
  shutdown(true, {});
}

void Supervisor::shutdown(bool insist, Worker::Reply reply) {
  watch_->stop();
  const MonotonicTime began = monotonic_now();
  worker_->stop(insist, [this, reply = std::move(reply), began](const Worker::StopOutcome& outcome) {
    if (outcome.given_up) {
      if (reply)
        reply(tl::unexpected(
            Refusal{ErrorCode::Refused, "its state cannot be saved: " + outcome.error, outcome.hint, nullptr}));
      watch_->start();
      return worker_->reload({"edit", false, {}, monotonic_now(), {}});
    }
    const auto& newest = worker_->snapshots().newest();
    say_stopped(describe_stop(outcome), outcome.saved, newest.has_value());
    events_.publish("supervisor", {{"state", "stopped"}, {"saved", outcome.saved}});
    const Json receipt = {{"operation", "stop"},
                          {"worker", worker_->name()},
                          {"verdict", outcome.saved ? "ok" : "failed"},
                          {"reason", outcome.error},
                          {"snapshot", newest ? Json(newest->sequence) : Json()},
                          {"ms", {{"total", elapsed_ms(began, monotonic_now())}}}};
    orphans_->kill_all([this, reply, receipt, saved = outcome.saved](const std::vector<pid_t>&) {
      place_->leave();  // told before the answer, so that what follows it is true
      if (reply) reply(receipt);
      end(saved ? kExitOk : kExitFailed);
    });
  });
}

// What is kept of it, and where.
std::string Supervisor::describe_stop(const Worker::StopOutcome& outcome) const {
  const auto& newest = worker_->snapshots().newest();
  const std::string folder = place_->folders().state + "/" + worker_->name() + "/snapshots";
  const std::string number = newest ? "snapshot " + std::to_string(newest->sequence) : "";
  if (outcome.saved) {
    const std::string line = outcome.sequence != 0 ? "saved and stopped" : "stopped";
    return newest ? line + "; " + number + " of " + rfc3339(newest->created_at) + " in " + folder : line;
  }
  const std::string line = "stopped without a final snapshot: " + outcome.error;
  if (!newest) return line + "; nothing of it is kept";
  return line + "; what is kept is " + number + ", " + human_duration(wall_now() - newest->created_at) +
         " old: " + folder + "/" + snapshot_name(newest->sequence);
}

// How to go on is the last line, to be copied.
void Supervisor::say_stopped(const std::string& line, bool saved, bool goes_on) {
  terminal_->close();
  if (options_.log_format == LogFormat::JsonLines || (options_.verbosity < 0 && saved)) return;
  terminal_->console().tell(line);
  if (goes_on) terminal_->console().say("go on from here: " + quoted_command(options_.again));
}

void Supervisor::end(int exit_code) {
  exit_code_ = exit_code;
  loop_.stop();
}

Json Supervisor::status() const {
  Json worker = worker_->status();
  const bool healthy = worker_->state() == WorkerState::Ready || worker_->state() == WorkerState::Reloading;
  return {
      {"schema", 1},
      {"state", "running"},
      {"message", worker_->name() + " is " + std::string(to_string(worker_->state()))},
      {"pid", ::getpid()},
      {"healthy", healthy},
      {"leftovers", Json::array()},
      {"last_failure", worker["last_failure"]},
      {"config_fingerprint", fingerprint_},
      {"config_fingerprint_match", true},
      {"supervisor",
       {{"pid", ::getpid()},
        {"version", ZEROTH_VERSION},
        {"started_at", rfc3339(started_at_)},
        {"uptime_s", std::chrono::duration<double>(monotonic_now() - started_).count()},
        {"state_dir", place_->folders().state},
        {"runtime_dir", place_->folders().runtime},
        {"control", {{"socket", place_->folders().socket}, {"port", place_->port() ? Json(*place_->port()) : Json()}}},
        {"web_port", nullptr},
        {"config_fingerprint", fingerprint_},
        {"watch_mode", watch_->mode()},
        {"unit", nullptr}}},
      {"workers", Json::array({std::move(worker)})}};
}

}  // namespace zeroth
