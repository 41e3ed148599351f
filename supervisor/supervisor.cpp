#include "supervisor/supervisor.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "common/diagnostic.h"
#include "common/exit_codes.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr Milliseconds kSayProgressAfter{3'000};
constexpr Milliseconds kLookForSocket{20'000};
constexpr Milliseconds kLockLeaves{2'000};  // after the death of its holder; it takes an exec
constexpr Milliseconds kLockRetry{5};

tl::unexpected<StartError> refuse(int exit_code, std::string message) {
  return tl::unexpected(StartError{exit_code, std::move(message)});
}

// Of zeroth-worker, which lies beside this program.
std::string sibling(const std::string& name) {
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  self.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return folder_of(self) + "/" + name;
}

std::string working_folder() {
  std::string path(4096, '\0');
  return ::getcwd(path.data(), path.size()) == nullptr ? "/" : std::string(path.c_str());
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

// The program must be a regular file that can be read: said before anything is touched.
tl::expected<void, StartError> check_program(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return refuse(exit_code_for(errno), last_error(escape_control(path)).message);
  if (!S_ISREG(info.st_mode)) return refuse(kExitNotFound, escape_control(path) + ": not a regular file");
  if (::access(path.c_str(), R_OK) != 0) return refuse(exit_code_for(errno), last_error(escape_control(path)).message);
  return {};
}

// Of a supervisor that was just killed, a child between clone and exec may still hold the lock for a moment.
Result<InstanceLock> take_lock(const std::string& state) {
  const MonotonicTime until = monotonic_now() + kLockLeaves;
  for (;;) {
    auto lock = InstanceLock::take(state);
    if (lock || lock.error().code != EWOULDBLOCK || monotonic_now() >= until) return lock;
    const auto holder = read_instance_record(state);
    if (holder && is_alive(holder->process)) return lock;
    std::this_thread::sleep_for(kLockRetry);
  }
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
  if (!lock_ || record_.process.pid == 0) return;
  struct stat info {};
  if (::stat(record_.pid_file.c_str(), &info) == 0) ::unlink(record_.pid_file.c_str());
}

// Whose instance this is: folders, lock, what a dead one left.
tl::expected<void, StartError> Supervisor::claim() {
  const std::string cwd = options_.cwd.empty() ? working_folder() : options_.cwd;
  if (options_.command.empty()) {
    if (auto checked = check_program(options_.program); !checked) return checked;
    auto identity = identify_program(options_.program);
    if (!identity) return refuse(exit_code_for(identity.error().code), identity.error().message);
    identity_ = std::move(*identity);
  } else {
    identity_ = identify_command(cwd, options_.command);
  }
  auto folders = choose_folders(identity_, {options_.name, options_.state_dir, options_.runtime_dir, options_.adopt},
                                process_environment);
  if (!folders)
    return refuse(folders.error().code == EACCES ? kExitPermission : kExitConfiguration, folders.error().message);
  folders_ = std::move(*folders);
  for (const std::string& folder : {folders_.state, folders_.runtime, folder_of(folders_.socket)}) {
    if (Status prepared = prepare_private_folder(folder); !prepared)
      return refuse(kExitPermission, prepared.error().message);
  }
  auto lock = take_lock(folders_.state);
  if (!lock) {
    if (lock.error().code != EWOULDBLOCK) return refuse(exit_code_for(lock.error().code), lock.error().message);
    const auto other = read_instance_record(folders_.state);
    const std::string who = other ? ", pid " + std::to_string(other->process.pid) : "";
    return refuse(kExitTaken,
                  folders_.name + " runs already" + who + "; see 'zerothctl -n " + folders_.name + " status'");
  }
  lock_ = std::make_unique<InstanceLock>(std::move(*lock));
  if (const auto dead = read_instance_record(folders_.state)) {
    if (dead->identity != identity_.key && !options_.adopt) {
      return refuse(kExitConfiguration, folders_.state + " belongs to " + escape_control(dead->identity) + ", not to " +
                                            escape_control(identity_.key) + "; --adopt takes it over");
    }
    remove_leftovers(*dead);
  }
  return {};
}

tl::expected<void, StartError> Supervisor::open_listeners() {
  for (const std::string& text : options_.listen) {
    const auto address = parse_listen_address(text);
    if (!address) return refuse(kExitUsage, address.error().message);
    auto listener = open_listener(*address);
    if (!listener) {
      const bool taken = listener.error().code == EADDRINUSE;
      return refuse(taken ? kExitTaken : exit_code_for(listener.error().code), "--listen " + listener.error().message);
    }
    listeners_.push_back(std::move(*listener));
  }
  return {};
}

tl::expected<void, StartError> Supervisor::open_worker() {
  fingerprint_ = xxh3_hex(dump(describe(options_)));
  auto log = Log::open(folders_.state + "/supervisor.log", options_, events_);
  if (!log) return refuse(kExitPermission, log.error().message);
  log_ = std::move(*log);
  const std::string shown = options_.program.empty() ? identity_.stem : name_of(options_.program);
  console_ = std::make_unique<Console>(loop_, options_,
                                       Console::Names{escape_control(shown), folders_.socket, folders_.state}, events_);

  const std::string folder = folders_.state + "/" + folders_.name;
  for (const std::string& made : {folder, folder + "/own"}) {
    if (Status done = make_folders(made); !done) return refuse(exit_code_for(done.error().code), done.error().message);
  }
  auto generations = GenerationLog::open(folder);
  if (!generations) return refuse(exit_code_for(generations.error().code), generations.error().message);

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
  setup.folder = folder;
  setup.fingerprint = fingerprint_;
  setup.worker_binary = sibling("zeroth-worker");
  setup.cwd = options_.cwd;
  setup.scope = scope_;
  setup.listeners = &listeners_;
  if (!options_.command.empty()) setup.hello_socket = folder_of(folders_.socket) + "/worker.sock";
  if (Status adopted = Orphans::become_subreaper(); !adopted) return refuse(kExitFailed, adopted.error().message);
  orphans_ = std::make_unique<Orphans>(loop_, [this](pid_t pid) { return worker_ && worker_->owns(pid); });
  setup.orphans = orphans_.get();
  Worker::Hooks hooks;
  hooks.emit = [this](std::string_view type, const Json& data) { events_.publish(type, data); };
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
    return refuse(kExitTaken, "another instance answers on " + folders_.socket + "; see 'zerothctl -n " +
                                  folders_.name + " status'");
  }
  auto control = ControlServer::listen(loop_, folders_.socket, true, make_dispatcher(targets_));
  if (!control) return refuse(kExitTaken, control.error().message);
  control_ = std::move(*control);

  record_.identity = identity_.key;
  record_.runtime = folders_.runtime;
  record_.socket = folders_.socket;
  record_.pid_file = options_.pid_file.empty() ? folders_.runtime + "/pid" : options_.pid_file;
  if (Status written = write_pid_file(record_.pid_file); !written)
    return refuse(kExitPermission, written.error().message);
  auto process = identity_of(::getpid());
  if (!process) return refuse(kExitFailed, process.error().message);
  record_.process = std::move(*process);
  if (Status written = write_instance_record(folders_.state, record_); !written)
    return refuse(kExitPermission, written.error().message);
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
  watch();
  progress_ = std::make_unique<Timer>(loop_);
  progress_->start(kSayProgressAfter, [this] {
    if (worker_->state() == WorkerState::Starting)
      console_->progress("still starting; the program loads or its state is being restored");
  });
  keep_socket_ = std::make_unique<Timer>(loop_);
  keep_socket_->start_repeating(kLookForSocket, [this] { restore_socket(); });
  events_.publish("supervisor", {{"state", "started"}, {"pid", ::getpid()}, {"program", identity_.key}});
  worker_->start();
  loop_.run();
  return exit_code_;
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
  ::unlink(record_.pid_file.c_str());
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
