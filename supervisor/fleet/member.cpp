#include "supervisor/fleet/member.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/json_fields.h"
#include "supervisor/instance/claim.h"
#include "supervisor/snapshot/generation_traces.h"

namespace zeroth {
namespace {

std::string fingerprint_of(const Options& options) {
  return xxh3_hex(dump(describe(options)));
}

}  // namespace

tl::expected<std::unique_ptr<Member>, StartError> Member::create(Loop& loop, const Surroundings& around, Plan plan,
                                                                 Hooks hooks) {
  if (!plan.alone && !plan.options.program.empty()) {
    if (auto checked = check_program(plan.options.program); !checked) return tl::unexpected(checked.error());
  }
  std::unique_ptr<Member> made(new Member(loop, around, plan));
  made->shared_listener_ = hooks.shared_listener;
  made->on_event_ = hooks.on_event;
  if (auto opened = made->open_env(around.inotify); !opened) return tl::unexpected(opened.error());
  auto listeners = made->open_listeners(made->options_);
  if (!listeners) return tl::unexpected(std::move(listeners.error()));
  made->listeners_ = std::move(*listeners);
  if (auto opened = made->open(around, plan, std::move(hooks)); !opened) return tl::unexpected(opened.error());
  return made;
}

Member::Member(Loop& loop, const Surroundings& around, Plan& plan)
    : loop_(loop),
      name_(plan.name),
      group_(plan.group),
      options_(std::move(plan.options)),
      depends_on_(std::move(plan.depends_on)),
      folder_(around.folders.state + "/" + name_),
      cron_(loop, [this] {
        const WorkerState state = worker_->state();
        if (state != WorkerState::Stopping && state != WorkerState::Stopped)
          worker_->reload({"cron", true, {}, monotonic_now(), {}});
      }) {}

const Listener* Member::listener(const ListenAddress& address) const {
  const auto same = std::find_if(listeners_.begin(), listeners_.end(), [&](const Listener& listener) {
    return listener.text == address.text && listener.name == address.name;
  });
  return same != listeners_.end() ? &*same : nullptr;
}

// Those that are open already stay open: of a socket that is lent there is never a moment without.
tl::expected<std::vector<Listener>, StartError> Member::open_listeners(const Options& options) const {
  std::vector<Listener> opened;
  for (const std::string& text : options.listen) {
    const auto address = parse_listen_address(text);
    if (!address) return refuse_start(kExitUsage, address.error().message);
    const Listener* same = listener(*address);
    if (same == nullptr && shared_listener_) same = shared_listener_(*address);
    if (same != nullptr) {
      opened.push_back({same->name, same->text, UniqueFd(::fcntl(same->fd.get(), F_DUPFD_CLOEXEC, 3))});
      continue;
    }
    auto listener = open_listener(*address);
    if (!listener) {
      const bool taken = listener.error().code == EADDRINUSE;
      return refuse_start(taken ? kExitTaken : exit_code_for(listener.error().code),
                          "--listen " + listener.error().message);
    }
    opened.push_back(std::move(*listener));
  }
  return opened;
}

tl::expected<void, StartError> Member::open(const Surroundings& around, Plan& plan, Hooks hooks) {
  const std::string& state = around.folders.state;
  if (Status done = make_folders(folder_); !done) return refuse_start(done.error(), state);
  auto place = open_place(around, options_, name_, plan.alone);
  if (!place) return tl::unexpected(std::move(place.error()));
  place_ = *place;
  clear_place(place_);
  auto generations = GenerationLog::open(folder_);
  if (!generations) return refuse_start(generations.error(), state);
  for (const WorkerPlace& left : places_left(folder_, place_, name_))
    generations->note_used(highest_named_generation(left.open));
  const auto warn = [events = around.events, name = name_](const std::string& message) {
    events->publish("log", {{"worker", name}, {"level", "warning"}, {"message", message}});
  };
  if (const std::size_t lines = generations->unreadable_lines(); lines > 0) {
    warn(folder_ + "/generations.jsonl: " + std::to_string(lines) +
         (lines == 1 ? " line cannot be read and is" : " lines cannot be read and are") + " passed over");
  }
  std::vector<std::string> not_watched = around.not_watched;  // an env file counts as one, not as an edit
  for (const std::string& file : options_.env_files) not_watched.push_back(file);
  watch_ = std::make_unique<ProgramWatch>(
      loop_, options_, std::move(not_watched), around.inotify,
      ProgramWatch::Hooks{[this](const Changes& changes) { reload_edited(changes); }, warn});

  Worker::Setup setup;
  setup.options = &options_;
  setup.name = name_;
  setup.identity = plan.identity;
  setup.former = around.former;
  setup.folder = folder_;
  setup.fingerprint = fingerprint_of(options_);
  setup.worker_binary = around.worker_binary;
  setup.cwd = options_.cwd;
  setup.scope = watch_->scope();
  setup.listeners = &listeners_;
  setup.env_file = &env_files_->variables();
  setup.terminal = around.terminal;
  setup.place = place_;
  if (place_.apart()) setup.exchange = std::make_shared<Exchange>(loop_, place_.open, place_.user->as);
  setup.orphans = around.orphans;
  setup.checks = std::make_shared<Starter>(loop_);
  setup.one_of_many = !plan.alone;
  setup.start_cause = plan.cause;
  Worker::Hooks of_worker;
  of_worker.emit = std::move(hooks.on_event);
  of_worker.on_start_failed = std::move(hooks.on_start_failed);
  of_worker.on_generation = [this] { watch_->on_generation(worker_->mode() == ReloadMode::Recreate); };
  of_worker.on_restart = [this] { watch_->on_restart(); };
  of_worker.on_gave_up = std::move(hooks.on_gave_up);
  worker_ = std::make_unique<Worker>(loop_, std::move(setup), std::move(*generations), std::move(of_worker));
  return {};
}

void Member::reload_edited(const Changes& changes) {
  Worker::ReloadRequest request;
  request.cause = "edit";
  request.changed = changes.paths;
  request.began = changes.first_event;
  request.settled = changes.settled;
  request.more = changes.more;
  worker_->reload(std::move(request));
}

void Member::begin(Worker::ReloadRequest request) {
  if (!std::exchange(watching_, true)) {
    watch_->start();
    begin_cron();
    if (watches_env()) env_files_->watch();
  }
  const bool stopped = worker_->state() == WorkerState::Stopped;
  const bool first = !std::exchange(begun_, true) && !stopped;
  if (first) worker_->start();
  if (first && !request.reply) return;
  if (!request.reply) request.reply = [](const auto&) {};  // who asks counts for more than an edit
  worker_->reload(std::move(request));
}

void Member::begin_cron() {
  const auto table = CronTable::parse(options_.cron);
  if (options_.cron.empty() || !table) return cron_.stop();
  cron_.begin(*table);
}

void Member::stop_watching() {
  cron_.stop();
  watch_->stop();
  env_files_->stop();
  watching_ = false;
}

Json Member::status() const {
  Json status = worker_->status();
  Json listen = Json::array();
  for (const Listener& listener : listeners_) listen.push_back(listener.text);
  status["listen"] = std::move(listen);
  status["next_cron_at"] = cron_.next() ? Json(rfc3339(*cron_.next())) : Json();
  status["env"] = env_status();
  return status;
}

void Member::make_files_again() {
  (void)make_folders(folder_);
  (void)make_place(place_);
  worker_->restore_files();
}

bool Member::can_take(const Options& options) const {
  Options now = options_;
  now.env = options.env;
  now.health = options.health;
  now.health_interval = options.health_interval;
  now.health_timeout = options.health_timeout;
  now.health_failures = options.health_failures;
  now.max_memory = options.max_memory;
  now.listen = options.listen;
  now.protocol = options.protocol;
  now.rate = options.rate;
  now.halflife = options.halflife;
  now.limits = options.limits;
  now.cron = options.cron;
  now.reload = options.reload;
  now.start_timeout = options.start_timeout;
  now.drain_timeout = options.drain_timeout;
  now.stop_timeout = options.stop_timeout;
  if (!now.command.empty() && !options.command.empty()) now.command = options.command;
  return same_settings(now, options);
}

tl::expected<void, StartError> Member::take(Options options, Worker::Reply done) {
  auto opened = open_listeners(options);
  if (!opened) return tl::unexpected(std::move(opened.error()));
  const auto before = std::make_shared<std::pair<Options, std::vector<Listener>>>(
      std::exchange(options_, std::move(options)), std::exchange(listeners_, std::move(*opened)));
  Worker::ReloadRequest request;
  request.cause = "config";
  request.force = true;
  request.reply = [this, before, done = std::move(done),
                   alive = std::weak_ptr<void>(alive_)](const tl::expected<Json, Refusal>& outcome) {
    if (alive.expired()) return;
    if (!outcome || field_or<std::string>(*outcome, "verdict", "") != "ok") {
      options_ = before->first;
      listeners_ = std::move(before->second);
    }
    begin_cron();
    done(outcome);
  };
  worker_->reload(std::move(request));
  return {};
}

}  // namespace zeroth
