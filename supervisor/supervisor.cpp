#include "supervisor/supervisor.h"

#include <unistd.h>

#include <algorithm>
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
#include "supervisor/instance/claim.h"
#include "supervisor/metrics.h"
#include "supervisor/process/memory_use.h"

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
  if (auto read = made->read_fleet(); !read) return tl::unexpected(read.error());
  auto place = InstancePlace::claim(made->loop_, made->options_);
  if (!place) return tl::unexpected(std::move(place.error()));
  made->place_ = std::move(*place);
  if (auto opened = made->place_->open_port(made->options_); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->open_workers(); !opened) return tl::unexpected(opened.error());
  if (auto opened = made->open_control(); !opened) return tl::unexpected(opened.error());
  return made;
}

Supervisor::Supervisor(Options options) : options_(std::move(options)) {}

Supervisor::~Supervisor() {
  close();
}

void Supervisor::close() {
  alive_.reset();
  if (place_) place_->close();  // no client outlives what it asks
  if (terminal_) terminal_->detach();
  fleet_.reset();
}

tl::expected<void, StartError> Supervisor::read_fleet() {
  if (alone()) return {};
  if (auto checked = check_program(options_.fleet); !checked) return checked;
  source_ = std::make_unique<FleetSource>(loop_, options_, events_, [this](FleetFile file) {
    fingerprint_.clear();
    fleet_->change(std::move(file.workers));
  });
  auto file = source_->read();
  if (!file) return refuse_start(kExitConfiguration, "the fleet file is wrong\n" + file.error());
  options_ = std::move(file->supervisor);
  of_file_ = std::move(file->workers);
  return {};
}

Surroundings Supervisor::surroundings() {
  Surroundings around;
  around.folders = place_->folders();
  around.identity = place_->identity().key;
  around.former = place_->former();
  around.worker_binary = sibling("zeroth-worker");
  around.not_watched = {around.folders.state, around.folders.runtime};
  for (const std::string& own : {options_.log_file, options_.pid_file, options_.fleet}) {
    if (!own.empty()) around.not_watched.push_back(own);
  }
  for (const char* stream : {"/proc/self/fd/1", "/proc/self/fd/2"}) {  // what we say is no edit
    std::error_code error;
    const auto file = std::filesystem::read_symlink(stream, error);
    if (!error && file.is_absolute()) around.not_watched.push_back(file.string());
  }
  around.inotify = InotifyHub::on(loop_);
  around.orphans = orphans_.get();
  around.terminal = &terminal_->of_workers();
  return around;
}

Fleet::Hooks Supervisor::fleet_hooks() {
  Fleet::Hooks hooks;
  hooks.on_event = [this](std::string_view type, const Json& data) {
    events_.publish(type, data);
    // Snapshots fail, or succeed again: the state folder may have been taken away.
    if (type == "checkpoint" && data.contains("degraded")) place_->look_soon();
  };
  hooks.on_added = [this](Worker& worker) {
    fingerprint_.clear();
    targets_.workers.push_back(&worker);
    terminal_->attach(worker);
  };
  hooks.on_leaving = [this](Worker& worker) {
    fingerprint_.clear();
    std::erase(targets_.workers, &worker);
    terminal_->detach(worker);
  };
  hooks.on_start_failed = [this](int exit_code, const Receipt& receipt) {
    const std::string told = receipt.diagnostics.empty() ? "zeroth-supervise: " + receipt.reason + "\n"
                                                         : render_reported(receipt.diagnostics);
    terminal_->close();
    terminal_->console().say(told);
    end(exit_code);
  };
  hooks.on_gave_up = [this] {
    if (options_.exit_on_failure) end(kExitFailed);
  };
  return hooks;
}

tl::expected<void, StartError> Supervisor::open_workers() {
  const Folders& folders = place_->folders();
  auto log = Log::open(folders.state + "/supervisor.log", options_, events_);
  if (!log) return refuse_start(kExitPermission, log.error().message);
  log_ = std::move(*log);
  const std::string shown = !alone()                   ? name_of(options_.fleet)
                            : options_.program.empty() ? folders.name
                                                       : name_of(options_.program);
  terminal_ = std::make_unique<Terminal>(
      loop_, options_,
      Console::Names{escape_control(shown), place_->control(), folders.name, alone() ? 0 : of_file_.size()}, events_);
  if (Status adopted = Orphans::become_subreaper(); !adopted) return refuse_start(kExitFailed, adopted.error().message);
  orphans_ = std::make_unique<Orphans>(loop_, [this](pid_t pid) { return fleet_ && fleet_->owns(pid); });
  Surroundings around = surroundings();
  around.events = &events_;
  fleet_ = std::make_unique<Fleet>(loop_, std::move(around), fleet_hooks());
  if (!alone()) {
    if (auto added = fleet_->add_all(std::exchange(of_file_, {}), options_.fresh); !added) return added;
  } else {
    Member::Plan plan;
    plan.name = folders.name;
    plan.identity = place_->identity().key;
    plan.options = options_;
    if (auto added = fleet_->add(std::move(plan)); !added) return added;
  }
  return {};
}

tl::expected<void, StartError> Supervisor::open_control() {
  targets_.fleet = fleet_.get();
  targets_.events = &events_;
  targets_.status = [this] { return status(); };
  targets_.config = [this] { return config(); };
  targets_.metrics = [this](std::function<void(std::string)> reply) { measure(std::move(reply)); };
  targets_.shutdown = [this](bool force, Worker::Reply reply) { shutdown(force, std::move(reply)); };
  InstancePlace::Hooks hooks;
  hooks.say = [this](std::string_view level, const std::string& message) { say(level, message); };
  hooks.on_folder_made = [this] {
    log_->reopen();
    for (const auto& member : fleet_->members()) member->make_files_again();
  };
  hooks.on_runtime_folder = [this] {
    for (const auto& member : fleet_->members()) member->worker().restore_hello_socket();
  };
  hooks.lost = [this](const StartError& taken) {
    terminal_->close();
    terminal_->console().say("zeroth-supervise: " + taken.message);
    for (const auto& member : fleet_->members()) member->stop_watching();
    end(taken.exit_code);
  };
  return place_->open(make_dispatcher(targets_), std::move(hooks));
}

// What the workers take of memory is looked up beside the loop.
void Supervisor::measure(std::function<void(std::string)> reply) {
  const auto memory = std::make_shared<std::map<pid_t, std::uint64_t>>();
  loop_.in_pool([memory] { *memory = memory_of_groups(); }, alive_,
                [this, memory, reply = std::move(reply)] { reply(render_metrics(status(), *memory)); });
}

void Supervisor::say(std::string_view level, const std::string& message) {
  events_.publish("log", {{"level", level}, {"message", message}});
}

int Supervisor::run() {
  for (const int number : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<SignalWatch>(loop_, number, [this] { on_signal(); }));
  }
  // Losing the terminal is no reason to end.
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGHUP, [this] {
    if (source_) source_->read_again();
    fleet_->reload_env();
  }));
  signals_.push_back(std::make_unique<SignalWatch>(loop_, SIGUSR1, [this] { log_->reopen(); }));
  let_stop_signals_through();
  terminal_->begin({[this] { return fleet_->watched_files(); }, [this] { on_signal(); },
                    [this](Worker::Reply reply) { fleet_->rolling_restart(std::move(reply)); }});
  place_->keep();
  events_.publish("supervisor", {{"state", "started"}, {"pid", ::getpid()}, {"program", place_->identity().key}});
  if (source_) source_->watch();
  fleet_->start();
  loop_.run();
  close();
  return exit_code_;
}

bool Supervisor::hangs() {
  const MonotonicTime until = monotonic_now() + kLastWork;
  const bool logged = !log_ || log_->flush(kLastWork);
  const auto left = std::chrono::duration_cast<Milliseconds>(until - monotonic_now());
  return !loop_.wait_for_pool(std::max(left, Milliseconds(0))) || !logged;
}

void Supervisor::on_signal() {
  const bool stopping = stop_asked_ && fleet_->stopping();
  // One key press may come twice: to us and, through whoever started us, once more.
  if (stopping && monotonic_now() - *stop_asked_ < kSameKeyPress) return;
  if (stopping) return fleet_->kill_now();
  stop_asked_ = monotonic_now();
  shutdown(true, {});
}

void Supervisor::shutdown(bool insist, Worker::Reply reply) {
  if (source_) source_->stop();
  fleet_->stop(insist, [this, reply = std::move(reply), began = monotonic_now()](const auto& stopped) {
    const auto refused =
        std::find_if(stopped.begin(), stopped.end(), [](const Fleet::Stopped& one) { return one.outcome.given_up; });
    if (refused == stopped.end()) return finish_shutdown(stopped, began, reply);
    const std::string whose = alone() ? "its" : "the";
    const std::string of = alone() ? "" : " of '" + refused->name + "'";
    if (reply)
      reply(tl::unexpected(Refusal{ErrorCode::Refused,
                                   whose + " state" + of + " cannot be saved: " + refused->outcome.error,
                                   refused->outcome.hint, nullptr}));
    if (source_) source_->watch();
    fleet_->start();
  });
}

void Supervisor::finish_shutdown(const std::vector<Fleet::Stopped>& stopped, MonotonicTime began,
                                 const Worker::Reply& reply) {
  bool saved = true, goes_on = false;
  Json workers = Json::array();
  for (const Fleet::Stopped& one : stopped) {
    const auto& newest = fleet_->find(one.name)->worker().snapshots().newest();
    saved = saved && one.outcome.saved;
    goes_on = goes_on || newest.has_value();
    workers.push_back({{"worker", one.name},
                       {"verdict", one.outcome.saved ? "ok" : "failed"},
                       {"reason", one.outcome.error},
                       {"snapshot", newest ? Json(newest->sequence) : Json()}});
  }
  say_stopped(stopped_line(stopped), saved, goes_on);
  events_.publish("supervisor", {{"state", "stopped"}, {"saved", saved}});
  Json receipt = alone() ? std::move(workers[0]) : Json{{"verdict", saved ? "ok" : "failed"}, {"workers", workers}};
  receipt["operation"] = "stop";
  receipt["ms"] = {{"total", elapsed_ms(began, monotonic_now())}};
  orphans_->kill_all([this, reply, receipt, saved](const std::vector<pid_t>&) {
    place_->leave();  // told before the answer, so that what follows it is true
    if (reply) reply(receipt);
    end(saved ? kExitOk : kExitFailed);
  });
}

std::string Supervisor::stopped_line(const std::vector<Fleet::Stopped>& stopped) const {
  if (!alone()) {
    const std::string many = "all " + std::to_string(stopped.size()) + " workers";
    std::string line = (stopped.size() == 1 ? "the worker" : many) + " saved and stopped";
    for (const Fleet::Stopped& one : stopped) {
      if (!one.outcome.saved) line += "; " + one.name + " without a final snapshot: " + one.outcome.error;
    }
    return line + "; the state is in " + place_->folders().state;
  }
  const Fleet::Stopped& one = stopped.front();
  const auto& newest = fleet_->find(one.name)->worker().snapshots().newest();
  const std::string folder = place_->folders().state + "/" + one.name + "/snapshots";
  const std::string number = newest ? "snapshot " + std::to_string(newest->sequence) : "";
  if (one.outcome.saved) {
    const std::string line = one.outcome.sequence != 0 ? "saved and stopped" : "stopped";
    return newest ? line + "; " + number + " of " + rfc3339(newest->created_at) + " in " + folder : line;
  }
  const std::string line = "stopped without a final snapshot: " + one.outcome.error;
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

// Of a fleet the supervisor's own settings, and of each worker what its file says: "web.command".
Json Supervisor::config() const {
  if (alone()) return describe(options_);
  Json all = describe(options_);
  for (const auto& member : fleet_->members()) {
    const Json described = describe(member->options());  // outlives the loop over it
    for (const auto& [name, setting] : described.items()) {
      const std::string origin = setting["origin"];
      if (origin != "default" && origin != "flag" && origin != "environment")
        all[member->name() + "." + name] = setting;
    }
  }
  return all;
}

const std::string& Supervisor::fingerprint() const {
  if (fingerprint_.empty()) fingerprint_ = xxh3_hex(dump(config()));
  return fingerprint_;
}

Json Supervisor::status() const {
  Json workers = fleet_->status();
  std::size_t healthy = 0;
  std::string_view watch_mode = "off";
  Json last_failure;
  for (const auto& member : fleet_->members()) {
    const WorkerState state = member->worker().state();
    if (state == WorkerState::Ready || state == WorkerState::Reloading) ++healthy;
    if (watch_mode == "off") watch_mode = member->watch_mode();
  }
  for (const Json& worker : workers) {
    if (last_failure.is_null()) last_failure = worker["last_failure"];
  }
  std::string message = alone()
                            ? fleet_->members().front()->name() + " is " + workers[0]["state"].get<std::string>()
                            : std::to_string(healthy) + " of " + std::to_string(workers.size()) + " workers are ready";
  for (const Json& worker : workers) {
    const Json& wrong = worker["env"]["wrong"];
    if (wrong.is_object()) message += "; " + wrong["message"].get<std::string>() + " (the old environment stays)";
  }
  return {
      {"schema", 1},
      {"state", "running"},
      {"message", message},
      {"pid", ::getpid()},
      {"healthy", healthy == workers.size()},
      {"leftovers", Json::array()},
      {"last_failure", std::move(last_failure)},
      {"config_fingerprint", fingerprint()},
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
        {"config_fingerprint", fingerprint()},
        {"watch_mode", watch_mode},
        {"fleet", alone() ? Json() : Json(options_.fleet)},
        {"unit", nullptr}}},
      {"workers", std::move(workers)}};
}

}  // namespace zeroth
