// Fleet: what is done to all workers, and the one answer to it.

#include <utility>

#include "common/json_fields.h"
#include "supervisor/fleet/fleet.h"
#include "supervisor/fleet/fleet_runs.h"

namespace zeroth {
namespace {

Json as_receipt(const std::string& name, const tl::expected<Json, Refusal>& outcome) {
  if (outcome) return *outcome;
  return {{"worker", name}, {"verdict", "failed"}, {"reason", outcome.error().message}};
}

bool went_well(const Json& receipt) {
  const auto verdict = field_or<std::string>(receipt, "verdict", "");
  return verdict == "ok" || verdict == "unchanged";
}

}  // namespace

tl::expected<Json, Refusal> stop_receipt(const std::string& name, const Worker::StopOutcome& outcome) {
  if (outcome.given_up)
    return tl::unexpected(
        Refusal{ErrorCode::Refused, name + ": its state cannot be saved: " + outcome.error, outcome.hint, nullptr});
  return Json{{"operation", "stop"},
              {"worker", name},
              {"verdict", outcome.saved ? "ok" : "failed"},
              {"reason", outcome.error},
              {"snapshot", outcome.sequence == 0 ? Json() : Json(outcome.sequence)}};
}

// Answers once all have answered.
struct Fleet::Gathering {
  Gathering(std::string of, std::size_t count, Reply to)
      : operation(std::move(of)), left(count), reply(std::move(to)) {}
  void add(const std::string& name, const tl::expected<Json, Refusal>& outcome) {
    Json receipt = as_receipt(name, outcome);
    if (!went_well(receipt) && reason.empty())
      reason = name + ": " + field_or<std::string>(receipt, "reason", "failed");
    receipts.push_back(std::move(receipt));
    if (--left == 0) answer();
  }
  void answer() const {
    reply(Json{{"operation", operation},
               {"verdict", reason.empty() ? "ok" : "failed"},
               {"reason", reason},
               {"workers", receipts}});
  }
  const std::string operation;
  std::size_t left;
  std::string reason;  // of the first that failed
  Json receipts = Json::array();
  const Reply reply;
};

void Fleet::start_all(Reply reply) {
  const auto all = std::make_shared<Gathering>("start-all", members_.size(), std::move(reply));
  for (const std::string& name : order()) {
    const auto answer = [all, name](const tl::expected<Json, Refusal>& outcome) { all->add(name, outcome); };
    if (Member* member = find(name)) start(*member, {"start", false, {}, monotonic_now(), answer});
  }
}

void Fleet::stop_all(bool force, Reply reply) {
  for (const auto& member : members_) stopped_.insert(member->name());
  save_stopped();
  stop(force, [this, reply = std::move(reply)](const std::vector<Stopped>& stopped) {
    Gathering all("stop-all", stopped.size() + 1, reply);
    for (const Stopped& one : stopped) all.add(one.name, stop_receipt(one.name, one.outcome));
    for (const auto& member : members_) {
      if (member->worker().state() != WorkerState::Stopped) remember(member->name(), false);
    }
    // Told when also what the workers left behind is gone.
    around_.orphans->kill_all([all](const std::vector<pid_t>&) { all.answer(); });
  });
}

void Fleet::restart_all(const std::string& cause, bool force, Reply reply) {
  std::vector<Member*> running;
  for (const std::string& name : order()) {
    Member* member = find(name);
    if (member->worker().state() != WorkerState::Stopped) running.push_back(member);
  }
  const auto all = std::make_shared<Gathering>(force ? "restart" : "reload", running.size(), std::move(reply));
  if (running.empty()) return all->answer();
  for (Member* member : running) {
    const auto answer = [all, name = member->name()](const tl::expected<Json, Refusal>& outcome) {
      all->add(name, outcome);
    };
    member->worker().reload({cause, force, {}, monotonic_now(), answer});
  }
}

void Fleet::reload_env() {
  for (const auto& member : members_) member->reload_env([](const auto&) {});
}

void Fleet::rolling_restart(Reply reply) {
  if (rolling_) return reply(refuse(ErrorCode::Busy, "a rolling restart is under way, at '" + rolling_->current + "'"));
  rolling_ = std::make_unique<Rolling>();
  rolling_->left = order();
  rolling_->reply = std::move(reply);
  roll();
}

// One step, if the one before is done: called when a worker's state has changed.
void Fleet::roll() {
  if (!rolling_->current.empty()) {
    const Member* current = find(rolling_->current);
    const bool gone = current == nullptr || current->worker().state() == WorkerState::Stopped;
    const WorkerState state = gone ? WorkerState::Stopped : current->worker().state();
    const bool ready = rolling_->answered && (state == WorkerState::Ready || state == WorkerState::Finished);
    const bool failed = rolling_->answered && state == WorkerState::Failed;
    if (failed) return end_rolling(rolling_->current + " has failed after its restart");
    if (!gone && !ready) return;
  }
  Member* next = nullptr;
  while (next == nullptr && !rolling_->left.empty()) {
    rolling_->current = rolling_->left.front();
    rolling_->left.erase(rolling_->left.begin());
    next = find(rolling_->current);
    const bool skipped =
        next != nullptr && (next->worker().state() == WorkerState::Stopped || waiting_.count(next->name()) > 0);
    if (skipped) next = nullptr;
  }
  if (next == nullptr) return end_rolling("");
  rolling_->answered = false;
  const auto answer = [this, name = next->name(),
                       alive = std::weak_ptr<void>(alive_)](const tl::expected<Json, Refusal>& outcome) {
    if (alive.expired() || !rolling_ || rolling_->current != name) return;
    const Json receipt = as_receipt(name, outcome);
    rolling_->receipts.push_back(receipt);
    if (!went_well(receipt)) return end_rolling(name + ": " + field_or<std::string>(receipt, "reason", "failed"));
    rolling_->answered = true;
    look_soon();
  };
  next->worker().reload({"rolling", true, {}, monotonic_now(), answer});
}

void Fleet::end_rolling(const std::string& reason) {
  const std::unique_ptr<Rolling> ended = std::move(rolling_);
  ended->reply(Json{{"operation", "rolling-restart"},
                    {"verdict", reason.empty() ? "ok" : "failed"},
                    {"reason", reason},
                    {"workers", ended->receipts},
                    {"left", ended->left}});
}

}  // namespace zeroth
