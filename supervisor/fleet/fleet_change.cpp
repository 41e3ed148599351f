// Fleet: becoming what an edited file says. Only what changed is touched.

#include <algorithm>
#include <utility>

#include "common/json_fields.h"
#include "supervisor/fleet/fleet.h"

namespace zeroth {

Member::Plan Fleet::plan_of(FleetWorker worker, const std::string& cause) const {
  Member::Plan plan;
  plan.name = worker.name;
  plan.group = worker.group;
  plan.identity = around_.identity + "#" + worker.name;
  plan.options = std::move(worker.options);
  if (cause == "config") plan.options.fresh = false;  // that was said of the supervisor's start
  plan.depends_on = std::move(worker.depends_on);
  plan.alone = false;
  plan.cause = cause;
  return plan;
}

void Fleet::change(std::vector<FleetWorker> workers) {
  if (!changing_.empty() || stop_run_) {
    next_file_ = std::move(workers);
    return;
  }
  std::vector<Member*> removed;
  for (const auto& member : members_) {
    const bool named = std::any_of(workers.begin(), workers.end(),
                                   [&](const FleetWorker& worker) { return worker.name == member->name(); });
    if (!named) removed.push_back(member.get());
  }
  for (const FleetWorker& worker : workers) {
    if (Member* member = find(worker.name)) member->set_depends_on(worker.depends_on);
  }
  sort_members(workers);
  changing_.insert("");  // until all are begun
  for (Member* member : removed) {
    say("info", member->name(), "is named by the fleet file no more: it is saved and stopped");
    remove(*member, [] {});
  }
  for (FleetWorker& worker : workers) change_one(std::move(worker));
  end_change("");
}

void Fleet::change_one(FleetWorker worker) {
  Member* member = find(worker.name);
  if (member != nullptr && same_settings(member->options(), worker.options)) return;
  if (member != nullptr && member->worker().state() == WorkerState::Ready && member->can_take(worker.options))
    return take(*member, std::move(worker.options));
  const bool is_new = member == nullptr;
  if (auto usable = EnvFiles::check(worker.options.env_files); !is_new && !usable)
    return say("error", worker.name, "goes on as before the change of the fleet file: " + usable.error().message);
  if (auto place = Member::open_place(around_, worker.options, worker.name, false); !is_new && !place)
    return say("error", worker.name, "goes on as before the change of the fleet file: " + place.error().message);
  const auto begin = [this, is_new, plan = std::make_shared<Member::Plan>(plan_of(std::move(worker), "config"))] {
    const std::string name = plan->name;
    if (auto added = add(std::move(*plan)); !added) return say("error", "", added.error().message);
    if (is_new) say("info", name, "is new in the fleet file");
    Member& made = *members_.back();
    if (stopped_.count(name) > 0) return made.worker().stop(true, [](const auto&) {});
    wait(made, {"config", false, {}, monotonic_now(), {}});
    look_soon();
  };
  if (is_new) return begin();
  say("info", member->name(), "is changed in the fleet file: it is saved and started anew");
  remove(*member, begin);
}

// Between two generations, as at any reload.
void Fleet::take(Member& member, Options options) {
  const std::string name = member.name();
  changing_.insert(name);
  const auto done = [this, name](const tl::expected<Json, Refusal>& outcome) {
    const std::string verdict = outcome ? field_or<std::string>(*outcome, "verdict", "") : outcome.error().message;
    if (verdict != "ok") say("error", name, "goes on as before the change of the fleet file: " + verdict);
    end_change(name);
  };
  if (auto taken = member.take(std::move(options), done); !taken) {
    say("error", name, "goes on as before the change of the fleet file: " + taken.error().message);
    end_change(name);
  }
}

// `then`, when it is gone; not if its state cannot be saved: then it goes on.
void Fleet::remove(Member& member, std::function<void()> then) {
  const std::string name = member.name();
  changing_.insert(name);
  refuse_waiting(name, "the fleet file was changed", true);
  member.worker().stop(false, [this, name, then = std::move(then)](const Worker::StopOutcome& outcome) {
    if (outcome.given_up) {
      say("error", name, "goes on as before the change of the fleet file: its state cannot be saved: " + outcome.error);
      return end_change(name);
    }
    loop_.post([this, name, then, alive = std::weak_ptr<void>(alive_)] {
      if (alive.expired()) return;
      const auto at =
          std::find_if(members_.begin(), members_.end(), [&](const auto& one) { return one->name() == name; });
      if (at != members_.end()) {
        hooks_.on_leaving((*at)->worker());
        members_.erase(at);
      }
      then();
      end_change(name);
    });
  });
}

void Fleet::end_change(const std::string& name) {
  changing_.erase(name);
  if (!changing_.empty()) return;
  std::erase_if(stopped_, [this](const std::string& one) { return find(one) == nullptr; });
  save_stopped();
  look_soon();
  if (!next_file_) return;
  loop_.post([this, alive = std::weak_ptr<void>(alive_)] {
    if (alive.expired() || !next_file_) return;
    change(*std::exchange(next_file_, std::nullopt));
  });
}

void Fleet::sort_members(const std::vector<FleetWorker>& workers) {
  const auto place = [&](const std::unique_ptr<Member>& member) {
    return std::find_if(workers.begin(), workers.end(),
                        [&](const FleetWorker& worker) { return worker.name == member->name(); });
  };
  std::stable_sort(members_.begin(), members_.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

}  // namespace zeroth
