#include "supervisor/fleet/fleet.h"

#include <algorithm>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "supervisor/fleet/fleet_runs.h"

namespace zeroth {
namespace {

constexpr std::size_t kMaxStoppedFile = 1 << 20;

bool is_up(const Worker& worker) {
  return worker.state() == WorkerState::Ready || worker.state() == WorkerState::Reloading ||
         worker.state() == WorkerState::Finished;  // a set-up that has done its work
}

std::string failing(const std::string& name, bool given_up) {
  return "worker '" + name + "', which " + (given_up ? "has failed" : "fails and is tried again");
}

}  // namespace

Fleet::Fleet(Loop& loop, Surroundings around, Hooks hooks)
    : loop_(loop), around_(std::move(around)), hooks_(std::move(hooks)), disk_(loop) {}

Fleet::~Fleet() = default;

// ---- Who belongs to it

tl::expected<void, StartError> Fleet::add(Member::Plan plan) {
  Member::Hooks hooks;
  hooks.on_event = [this](std::string_view type, const Json& data) { on_event(type, data); };
  hooks.on_start_failed = hooks_.on_start_failed;
  hooks.on_gave_up = plan.alone ? hooks_.on_gave_up : [] {};
  const bool alone = plan.alone;
  const std::string name = plan.name;
  if (!plan.group.empty()) {
    hooks.shared_listener = [this, group = plan.group, name](const ListenAddress& address) {
      return listener_of(group, name, address);
    };
  }
  auto member = Member::create(loop_, around_, std::move(plan), std::move(hooks));
  if (!member) {
    StartError why = std::move(member.error());
    if (!alone) why.message = "worker '" + name + "': " + why.message;
    return tl::unexpected(std::move(why));
  }
  members_.push_back(std::move(*member));
  hooks_.on_added(members_.back()->worker());
  return {};
}

tl::expected<void, StartError> Fleet::add_all(std::vector<FleetWorker> workers, bool fresh) {
  several_ = true;
  if (!fresh) load_stopped();
  for (FleetWorker& worker : workers) {
    if (auto added = add(plan_of(std::move(worker), "start")); !added) return added;
  }
  std::erase_if(stopped_, [this](const std::string& name) { return find(name) == nullptr; });
  save_stopped();
  return {};
}

// Replicas take turns at one socket, so that one that is stopped or slow keeps nobody waiting.
const Listener* Fleet::listener_of(const std::string& group, const std::string& not_of,
                                   const ListenAddress& address) const {
  for (const auto& member : members_) {
    if (member->group() != group || member->name() == not_of) continue;
    if (const Listener* open = member->listener(address)) return open;
  }
  return nullptr;
}

Member* Fleet::find(const std::string& name) const {
  for (const auto& member : members_) {
    if (member->name() == name) return member.get();
  }
  return nullptr;
}

bool Fleet::owns(pid_t pid) const {
  return std::any_of(members_.begin(), members_.end(),
                     [pid](const auto& member) { return member->worker().owns(pid); });
}

std::size_t Fleet::watched_files() const {
  std::size_t files = 0;
  for (const auto& member : members_) files += member->watched_files();
  return files;
}

Dependencies Fleet::dependencies() const {
  Dependencies all;
  for (const auto& member : members_) all[member->name()] = member->depends_on();
  return all;
}

std::vector<std::string> Fleet::order() const {
  std::vector<std::string> names;
  for (const auto& member : members_) names.push_back(member->name());
  return start_order(names, dependencies());
}

// ---- Starting

void Fleet::start() {
  told_ready_ = !several_;
  began_ = monotonic_now();
  for (const auto& member : members_) {
    if (stopped_.count(member->name()) > 0) {
      if (member->worker().state() != WorkerState::Stopped) member->worker().stop(true, [](const auto&) {});
    } else {
      wait(*member, {"start", false, {}, monotonic_now(), {}});
    }
  }
  look();
}

void Fleet::wait(Member& member, Worker::ReloadRequest request) {
  auto& waiting = waiting_[member.name()];
  if (waiting.reply && request.reply) {
    request.reply = [first = std::move(waiting.reply), second = std::move(request.reply)](const auto& outcome) {
      first(outcome);
      second(outcome);
    };
  } else if (waiting.reply) {
    request.reply = std::move(waiting.reply);
  }
  waiting = std::move(request);
}

std::string Fleet::awaited_by(const Member& member) const {
  for (const std::string& name : member.depends_on()) {
    const Member* on = find(name);
    if (on != nullptr && !is_up(on->worker()))
      return "worker '" + name + "', which is " + std::string(to_string(on->worker().state()));
  }
  return "";
}

// Behind the callback that is running now: a worker told of its state in the middle of a step.
void Fleet::look_soon() {
  if (std::exchange(looking_, true)) return;
  loop_.post([this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) look();
  });
}

void Fleet::look() {
  looking_ = false;
  for (const std::string& name : order()) {
    Member* member = find(name);
    if (waiting_.count(name) == 0 || !awaited_by(*member).empty()) continue;
    member->begin(std::move(waiting_.extract(name).mapped()));
  }
  if (rolling_) roll();
  if (!told_ready_) tell_when_ready();
}

void Fleet::tell_when_ready() {
  for (const auto& member : members_) {
    if (!is_up(member->worker()) && stopped_.count(member->name()) == 0) return;
  }
  told_ready_ = true;
  hooks_.on_event("supervisor", {{"state", "ready"},
                                 {"workers", members_.size() - stopped_.size()},
                                 {"stopped", stopped_.size()},
                                 {"ms", elapsed_ms(began_, monotonic_now())}});
}

void Fleet::on_event(std::string_view type, const Json& data) {
  hooks_.on_event(type, data);
  if (type != "worker-state") return;
  const std::string state = field_or<std::string>(data, "state", "");
  if (state == "failed" || state == "backoff") on_failed(field_or<std::string>(data, "worker", ""), state == "failed");
  if (!waiting_.empty() || rolling_ || !told_ready_) look_soon();
}

// Whoever asked for a start is told now: it may take long until that is ready, or for ever.
void Fleet::on_failed(const std::string& name, bool given_up) {
  const std::string what = failing(name, given_up);
  for (const auto& member : members_) {
    const auto& on = member->depends_on();
    if (waiting_.count(member->name()) == 0 || std::find(on.begin(), on.end(), name) == on.end()) continue;
    if (given_up) say("warning", member->name(), "waits for " + what);
    refuse_waiting(member->name(), "it waits for " + what, false);
  }
}

// Whoever waits for the outcome of its start is answered; `leave`: it is not to be started any more.
void Fleet::refuse_waiting(const std::string& name, const std::string& why, bool leave) {
  const auto found = waiting_.find(name);
  if (found == waiting_.end()) return;
  const Reply reply = std::exchange(found->second.reply, nullptr);
  if (leave) waiting_.erase(found);
  if (reply) reply(refuse(ErrorCode::Unavailable, why, leave ? "" : "it starts as soon as that is ready"));
}

void Fleet::start(Member& member, Worker::ReloadRequest request) {
  remember(member.name(), false);
  for (const std::string& name : member.depends_on()) {
    Member* on = find(name);
    if (on == nullptr || on->worker().state() != WorkerState::Stopped || waiting_.count(name) > 0) continue;
    say("info", name, "starts because '" + member.name() + "' depends on it");
    start(*on, {"start", false, {}, monotonic_now(), [](const auto&) {}});
  }
  const bool waits = waiting_.count(member.name()) > 0;
  if (!waits && member.worker().state() != WorkerState::Stopped) return member.worker().reload(std::move(request));
  wait(member, std::move(request));
  for (const std::string& name : member.depends_on()) {
    const Member* on = find(name);
    if (on == nullptr) continue;
    const WorkerState state = on->worker().state();
    if (state == WorkerState::Failed || state == WorkerState::Backoff)
      refuse_waiting(member.name(), "it waits for " + failing(name, state == WorkerState::Failed), false);
  }
  look();
}

// ---- Stopping

void Fleet::stop(Member& member, bool force, Reply reply) {
  const std::string name = member.name();
  refuse_waiting(name, "it was stopped", true);
  remember(name, true);
  member.worker().stop(force, [this, name, reply](const Worker::StopOutcome& outcome) {
    if (outcome.given_up) remember(name, false);
    reply(stop_receipt(name, outcome));
  });
}

void Fleet::stop(bool insist, std::function<void(const std::vector<Stopped>&)> done) {
  if (stop_run_) {
    stop_run_->insist = stop_run_->insist || insist;
    stop_run_->done.push_back(std::move(done));
    for (const std::string& name : stop_run_->asked) {
      if (Member* member = find(name); member != nullptr && insist) member->worker().stop(true, [](const auto&) {});
    }
    return;
  }
  stop_run_ = std::make_unique<StopRun>();
  stop_run_->insist = insist;
  stop_run_->done.push_back(std::move(done));
  for (const auto& member : members_) {
    member->stop_watching();
    refuse_waiting(member->name(), "it is stopped", true);
    stop_run_->left.insert(member->name());
  }
  go_on_stopping();
}

// Each whose dependents are all stopped.
void Fleet::go_on_stopping() {
  std::set<std::string> needed;
  for (const auto& member : members_) {
    const bool down = stop_run_->left.count(member->name()) + stop_run_->asked.count(member->name()) == 0;
    if (!down) needed.insert(member->depends_on().begin(), member->depends_on().end());
  }
  std::vector<std::string> next;
  for (const std::string& name : stop_run_->left) {
    if (needed.count(name) == 0) next.push_back(name);
  }
  for (const std::string& name : next) {
    stop_run_->left.erase(name);
    stop_run_->asked.insert(name);
  }
  for (const std::string& name : next) {
    Member* member = find(name);
    if (member == nullptr) {
      on_stopped(name, {});
    } else {
      member->worker().stop(stop_run_->insist,
                            [this, name](const Worker::StopOutcome& outcome) { on_stopped(name, outcome); });
    }
    if (!stop_run_) return;
  }
}

void Fleet::on_stopped(const std::string& name, const Worker::StopOutcome& outcome) {
  if (!stop_run_ || stop_run_->asked.erase(name) == 0) return;
  stop_run_->stopped.push_back({name, outcome});
  if (outcome.given_up) stop_run_->left.clear();  // it may need them
  if (!stop_run_->left.empty() || !stop_run_->asked.empty()) return go_on_stopping();
  const std::unique_ptr<StopRun> run = std::move(stop_run_);
  for (const auto& done : run->done) done(run->stopped);
}

void Fleet::kill_now() {
  for (const auto& member : members_) member->worker().kill_now();
}

// ---- What was stopped on purpose

void Fleet::remember(const std::string& name, bool stopped) {
  if (!several_) return;
  const bool changed = stopped ? stopped_.insert(name).second : stopped_.erase(name) > 0;
  if (changed) save_stopped();
}

void Fleet::save_stopped() {
  const std::string text = dump(Json(stopped_)) + "\n";
  const auto failed = std::make_shared<std::string>();
  disk_.run(
      [path = around_.folders.state + "/stopped.json", text, failed] {
        if (Status written = write_file_atomically(path, text); !written) *failed = written.error().message;
      },
      alive_,
      [this, failed] {
        if (!failed->empty()) say("error", "", "which workers are stopped cannot be remembered: " + *failed);
      });
}

void Fleet::load_stopped() {
  const auto text = read_file(around_.folders.state + "/stopped.json", kMaxStoppedFile);
  const auto json = text ? parse_json(*text) : fail("");
  if (!json || !json->value.is_array()) return;
  for (const Json& name : json->value) {
    if (name.is_string()) stopped_.insert(name.get<std::string>());
  }
}

void Fleet::say(std::string_view level, const std::string& worker, const std::string& message) const {
  Json data = {{"level", level}, {"message", message}};
  if (!worker.empty()) data["worker"] = worker;
  hooks_.on_event("log", data);
}

Json Fleet::status() const {
  Json all = Json::array();
  for (const auto& member : members_) {
    Json status = member->status();
    const std::string awaited = waiting_.count(member->name()) > 0 ? awaited_by(*member) : "";
    if (!awaited.empty()) status["waits_for"] = awaited;
    status["depends_on"] = member->depends_on();
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace zeroth
