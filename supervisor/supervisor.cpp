#include "supervisor/supervisor.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "common/diagnostic.h"
#include "common/exit_codes.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/signals.h"
#include "common/text.h"
#include "supervisor/instance/claim.h"

namespace zeroth {
namespace {

constexpr Milliseconds kSayProgressAfter{3'000};
constexpr Milliseconds kLookForSocket{20'000};

// Of zeroth-worker, which lies beside this program.
std::string sibling(const std::string& name) {
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  self.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return folder_of(self) + "/" + name;
}

// Does anybody accept on this socket? The instance lock is ours, so it can only be one whose state folder was taken
// away.
bool answers(const std::string& socket) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd || socket.size() >= sizeof address.sun_path) return false;
  socket.copy(address.sun_path, socket.size());
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

tl::expected<std::unique_ptr<Supervisor>, StartError> Supervisor::create(Options options) {
  std::unique_ptr<Supervisor> made(new Supervisor(std::move(options)));
  if (auto claimed = made->claim(); !claimed) return tl::unexpected(claimed.error());
  if (auto opened = made->open_listeners(); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->open_worker(); !opened) return tl::unexpected(opened.error());
  return made;
}

Supervisor::Supervisor(Options options) : options_(std::move(options)) {}

Supervisor::~Supervisor() {
  control_.reset();
  worker_.reset();
  if (record_.process.pid != 0) remove_pid_file(record_.pid_file);
}

tl::expected<void, StartError> Supervisor::claim() {
  auto claim = claim_instance(options_);
  if (!claim) return tl::unexpected(std::move(claim.error()));
  identity_ = std::move(claim->identity);
  folders_ = std::move(claim->folders);
  lock_ = std::make_unique<InstanceLock>(std::move(claim->lock));
  record_ = std::move(claim->record);
  return {};
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
  fingerprint_ = xxh3_hex(dump(describe(options_)));
  auto log = Log::open(folders_.state + "/supervisor.log", options_, events_);
  if (!log) return refuse_start(kExitPermission, log.error().message);
  log_ = std::move(*log);
  const std::string shown = options_.program.empty() ? identity_.stem : name_of(options_.program);
  console_ = std::make_unique<Console>(loop_, options_,
                                       Console::Names{escape_control(shown), folders_.socket, folders_.state}, events_);

  const std::string folder = folders_.state + "/" + folders_.name;
  for (const std::string& made : {folder, folder + "/own"}) {
    if (Status done = make_folders(made); !done) return refuse_start(done.error(), folders_.state);
  }
  auto generations = GenerationLog::open(folder);
  if (!generations) return refuse_start(generations.error(), folders_.state);
  if (const std::size_t lines = generations->unreadable_lines(); lines > 0) {
    events_.publish("log",
                    {{"level", "warning"},
                     {"message", folder + "/generations.jsonl: " + std::to_string(lines) +
                                     (lines == 1 ? " line cannot be read and is" : " lines cannot be read and are") +
                                     " passed over"}});
  }

  what_runs_ = {options_.program, options_.command, options_.cwd.empty() ? working_folder() : options_.cwd};
  const bool nothing = options_.no_watch && !options_.command.empty() && options_.watch.empty();
  std::vector<std::string> not_watched = {folders_.state, folders_.runtime};
  for (const std::string& own : {options_.log_file, options_.pid_file}) {
    if (!own.empty()) not_watched.push_back(own);
  }
  scope_ = std::make_shared<const WatchScope>(
      nothing ? std::vector<std::string>() : watch_targets(options_.watch, what_runs_),
      IgnoreRules::of(options_.ignore), not_watched);

  Worker::Setup setup;
  setup.options = &options_;
  setup.name = folders_.name;
  setup.identity = identity_.key;
  setup.former = record_.former;
  setup.folder = folder;
  setup.fingerprint = fingerprint_;
  setup.worker_binary = sibling("zeroth-worker");
  setup.cwd = options_.cwd;
  setup.scope = scope_;
  setup.listeners = &listeners_;
  if (!options_.command.empty()) setup.hello_socket = folder_of(folders_.socket) + "/worker.sock";
  if (Status adopted = Orphans::become_subreaper(); !adopted) return refuse_start(kExitFailed, adopted.error().message);
  orphans_ = std::make_unique<Orphans>(loop_, [this](pid_t pid) { return worker_ && worker_->owns(pid); });
  setup.orphans = orphans_.get();
  Worker::Hooks hooks;
  hooks.emit = [this](std::string_view type, const Json& data) {
    events_.publish(type, data);
    // Snapshots fail, or succeed again: the state folder may have been taken away.
    if (type == "checkpoint" && data.contains("degraded")) ask_for_place();
  };
  hooks.on_start_failed = [this](int exit_code, const Receipt& receipt) {
    const std::string told = receipt.diagnostics.empty() ? "zeroth-supervise: " + receipt.reason + "\n"
                                                         : render_reported(receipt.diagnostics);
    std::fputs(told.c_str(), stderr);
    end(exit_code);
  };
  hooks.on_generation = [this] {
    if (gate_) gate_->on_generation();
  };
  hooks.on_restart = [this] {
    if (gate_) gate_->reset();
  };
  hooks.on_gave_up = [this] {
    if (options_.exit_on_failure) end(kExitFailed);
  };
  worker_ = std::make_unique<Worker>(loop_, std::move(setup), std::move(*generations), std::move(hooks));
  output_ =
      worker_->output().subscribe([this](const OutputEntry& entry) { console_->on_output(worker_->name(), entry); });

  targets_.workers = {worker_.get()};
  targets_.events = &events_;
  targets_.status = [this] { return status(); };
  targets_.config = [this] { return describe(options_); };
  targets_.shutdown = [this](bool force, Worker::Reply reply) { shutdown(force, std::move(reply)); };
  if (answers(folders_.socket)) {
    return refuse_start(kExitTaken, "another instance answers on " + folders_.socket + "; see 'zerothctl -n " +
                                        folders_.name + " status'");
  }
  auto control = ControlServer::listen(loop_, folders_.socket, true, make_dispatcher(targets_));
  if (!control && control.error().code == ENOSPC) return refuse_start(control.error(), folders_.runtime);
  if (!control) return refuse_start(kExitTaken, control.error().message);
  control_ = std::move(*control);

  auto process = identity_of(::getpid());
  if (!process) return refuse_start(kExitFailed, process.error().message);
  record_.process = std::move(*process);
  if (Status written = write_record(); !written) return refuse_start(written.error(), folders_.state);
  return {};
}

void Supervisor::reload_edited(const Changes& changes) {
  Worker::ReloadRequest request;
  request.cause = "edit";
  request.changed = changes.paths;
  request.began = changes.first_event;
  worker_->reload(std::move(request));
}

// What a command writes itself is to be told from edits; the files it was started with are the program.
void Supervisor::open_gate() {
  if (options_.command.empty()) return;
  std::set<std::string> trusted;
  for (const std::string& path : files_named_by(what_runs_)) trusted.insert(path);
  for (const std::string& path : options_.watch) {
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error)) trusted.insert(std::filesystem::canonical(path, error).string());
  }
  gate_ = std::make_unique<EditGate>(
      loop_, std::move(trusted), [this](const Changes& changes) { reload_edited(changes); },
      [this](const std::string& note) {
        events_.publish("log", {{"level", "warning"}, {"message", note}});
      });
}

void Supervisor::watch() {
  if (options_.no_watch || scope_->targets().empty()) return;
  if (!gate_) open_gate();
  FileWatcher::Options options;
  options.scope = scope_;
  options.quiet = options_.debounce;
  options.poll = options_.poll;
  options.poll_interval = options_.watch_interval;
  watcher_ = std::make_unique<FileWatcher>(
      loop_, options, [this](const Changes& changes) { gate_ ? gate_->on_change(changes) : reload_edited(changes); },
      [this](const std::string& note) {
        events_.publish("log", {{"level", "warning"}, {"message", note}});
      });
  // A compiled program is not watched: it is somebody's build product, read again by reload and restart.
  const bool compiled = options_.watch.empty() && options_.program.ends_with(".z");
  if (compiled) {
    watcher_.reset();
  } else {
    watcher_->start();
  }
}

int Supervisor::run() {
  for (const int number : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<SignalWatch>(loop_, number, [this] { on_signal(); }));
  }
  // There is no configuration to read again yet; losing the terminal is no reason to end.
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGHUP, [] {}));
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGUSR1, [this] { log_->reopen(); }));
  let_stop_signals_through();
  watch();
  progress_ = std::make_unique<Timer>(loop_);
  progress_->start(kSayProgressAfter, [this] {
    if (worker_->state() == WorkerState::Starting)
      console_->progress("still starting; the program loads or its state is being restored");
  });
  keep_socket_ = std::make_unique<Timer>(loop_);
  keep_socket_->start_repeating(kLookForSocket, [this] {
    keep_place();
    restore_socket();
  });
  events_.publish("supervisor", {{"state", "started"}, {"pid", ::getpid()}, {"program", identity_.key}});
  worker_->start();
  loop_.run();
  return exit_code_;
}

// Behind the callback that is running now.
void Supervisor::ask_for_place() {
  loop_.post([this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) keep_place();
  });
}

Status Supervisor::write_record() {
  if (Status written = write_pid_file(record_.pid_file); !written) return written;
  return write_instance_record(folders_.state, record_);
}

// The state folder may be removed under us: what is locked then excludes nobody from the one that is made anew.
void Supervisor::keep_place() {
  if (!lock_) return;
  if (lock_->holds(folders_.state)) {
    if (record_due_) record_due_ = !write_record();
    return;
  }
  Status again = prepare_private_folder(folders_.state);
  Result<InstanceLock> lock = again ? InstanceLock::take(folders_.state) : fail(again.error());
  if (!lock && lock.error().code == EWOULDBLOCK) return yield_place(lock.error());
  if (lock) {
    *lock_ = std::move(*lock);
    log_->reopen();
    restore_socket();  // the runtime folder may lie within
    (void)make_folders(folders_.state + "/" + folders_.name + "/own");
    again = write_record();
    record_due_ = !again;
  } else {
    again = fail(lock.error());
  }
  const std::string what = folders_.state + " was removed while we run: it is made again and locked anew";
  events_.publish("log", {{"level", again ? "warning" : "error"},
                          {"message", again ? what : folders_.state + " was removed: " + again.error().message}});
}

// Somebody else runs on the folder that was made in place of ours: nothing may be written into it any more.
void Supervisor::yield_place(const Error& why) {
  const StartError taken = describe_taken(folders_, why);
  lock_.reset();
  std::fprintf(stderr, "zeroth-supervise: %s was removed while we ran, and %s\n", folders_.state.c_str(),
               taken.message.c_str());
  watcher_.reset();
  end(taken.exit_code);
}

// The runtime folder may be cleared under us (a session that ends): everything in it is made again.
void Supervisor::restore_socket() {
  struct stat info {};
  if (::stat(folders_.socket.c_str(), &info) == 0) return;
  control_.reset();
  for (const std::string& folder : {folders_.runtime, folder_of(folders_.socket)}) (void)prepare_private_folder(folder);
  auto control = ControlServer::listen(loop_, folders_.socket, true, make_dispatcher(targets_));
  if (!control) return events_.publish("log", {{"level", "error"}, {"message", control.error().message}});
  control_ = std::move(*control);
  (void)write_pid_file(record_.pid_file);
  events_.publish(
      "log", {{"level", "warning"}, {"message", "the control socket was gone and is made again: " + folders_.socket}});
}

void Supervisor::on_signal() {
  if (++stop_signals_ > 1 && worker_->state() == WorkerState::Stopping) return worker_->kill_now();
  shutdown(true, {});
}

void Supervisor::shutdown(bool insist, Worker::Reply reply) {
  watcher_.reset();
  const MonotonicTime began = monotonic_now();
  worker_->stop(insist, [this, reply = std::move(reply), began](const Worker::StopOutcome& outcome) {
    if (outcome.given_up) {
      if (reply)
        reply(tl::unexpected(Refusal{ErrorCode::Refused, "its state cannot be saved: " + outcome.error,
                                     "--force stops it without", nullptr}));
      watch();
      return worker_->reload({"edit", false, {}, monotonic_now(), {}});
    }
    const auto& newest = worker_->snapshots().newest();
    std::string line = outcome.sequence != 0 ? "saved and stopped"
                       : outcome.saved       ? "stopped"
                                             : "stopped without a final snapshot: " + outcome.error;
    if (newest) {
      line += "; snapshot " + std::to_string(newest->sequence) + " of " + rfc3339(newest->created_at) + " in " +
              folders_.state + "/" + worker_->name() + "/snapshots";
    }
    if (options_.verbosity >= 0 || !outcome.saved)
      console_->progress(line + (newest ? "; the same command goes on from here" : ""));
    events_.publish("supervisor", {{"state", "stopped"}, {"saved", outcome.saved}});
    const Json receipt = {{"operation", "stop"},
                          {"worker", worker_->name()},
                          {"verdict", outcome.saved ? "ok" : "failed"},
                          {"reason", outcome.error},
                          {"snapshot", newest ? Json(newest->sequence) : Json()},
                          {"ms", {{"total", elapsed_ms(began, monotonic_now())}}}};
    orphans_->kill_all([this, reply, receipt, saved = outcome.saved](const std::vector<pid_t>&) {
      leave();
      if (reply) reply(receipt);
      end(saved ? kExitOk : kExitFailed);
    });
  });
}

// Whoever asks or starts from now on finds nobody; told before the answer to `stop`, so that what follows it is true.
void Supervisor::leave() {
  ::unlink(folders_.socket.c_str());
  remove_pid_file(record_.pid_file);
  lock_.reset();
}

void Supervisor::end(int exit_code) {
  exit_code_ = exit_code;
  loop_.stop();
}

Json Supervisor::status() const {
  Json worker = worker_->status();
  const bool healthy = worker_->state() == WorkerState::Ready || worker_->state() == WorkerState::Reloading;
  return {{"schema", 1},
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
            {"state_dir", folders_.state},
            {"runtime_dir", folders_.runtime},
            {"control", {{"socket", folders_.socket}, {"port", nullptr}}},
            {"web_port", nullptr},
            {"config_fingerprint", fingerprint_},
            {"watch_mode", watcher_ ? Json(to_string(watcher_->mode())) : Json("off")},
            {"unit", nullptr}}},
          {"workers", Json::array({std::move(worker)})}};
}

}  // namespace zeroth
