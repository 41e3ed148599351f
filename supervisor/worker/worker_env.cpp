// Worker: an environment that changes while it runs. The one rule: what the live generation has is compared with what
// it is to have whenever nothing else is under way; so changes during a reload lead to one more at most, and of many in
// a row the last counts.

#include <algorithm>
#include <utility>

#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

constexpr Milliseconds kEnvDeadline{2'000};
constexpr std::size_t kMostNames = 9'000;  // members of one message, with room for its frame

// A message has its limits; what does not fit into one is started with.
bool fits_a_message(const EnvChange& change, const std::string& text) {
  constexpr std::size_t kFrame = 256;
  return change.set.size() + change.unset.size() <= kMostNames && text.size() + kFrame <= kMaxLine;
}

Json params_of(const EnvChange& change) {
  return {{"set", Json(change.set)}, {"unset", change.unset}};
}

// What a worker says of a change: its libraries set all, call the callbacks, and name those that failed.
struct EnvAnswer {
  EnvChange failed;
  std::string reason;                    // of the failed ones, "" if there are none
  std::vector<std::string> unconfirmed;  // neither applied nor failed
};

// `hide` takes values out of what it says.
EnvAnswer read_answer(const EnvChange& change, const Json& result,
                      const std::function<std::string(const std::string&)>& hide) {
  const auto applied = optional_field<std::vector<std::string>>(result, "applied");
  const Json* failed = find_member(result, "failed");
  EnvAnswer answer;
  const auto has_failed = [&](const std::string& name) {
    const Json* why = failed != nullptr ? find_member(*failed, name) : nullptr;
    if (why != nullptr)
      answer.reason +=
          (answer.reason.empty() ? "" : "; ") + name + ": " + hide(field_or<std::string>(*failed, name, "failed"));
    const bool told = applied && *applied;
    if (why == nullptr && told && std::find((*applied)->begin(), (*applied)->end(), name) == (*applied)->end())
      answer.unconfirmed.push_back(name);
    return why != nullptr;
  };
  for (const auto& [name, value] : change.set) {
    if (has_failed(name)) answer.failed.set[name] = value;
  }
  for (const std::string& name : change.unset) {
    if (has_failed(name)) answer.failed.unset.push_back(name);
  }
  return answer;
}

}  // namespace

EnvMap Worker::own_env() const {
  EnvMap env = setup_.env_file != nullptr ? *setup_.env_file : EnvMap();
  for (const std::string& assignment : setup_.options->env) {
    const std::size_t equals = assignment.find('=');
    env[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  return env;
}

EnvChange Worker::env_pending() const {
  if (!live_) return {};
  return change_between(live_->env(), own_env(), inherited_variables(), live_->doubtful_env());
}

void Worker::take_env(EnvRequest request) {
  for (std::string& file : request.files) {
    if (std::find(env_.files.begin(), env_.files.end(), file) == env_.files.end())
      env_.files.push_back(std::move(file));
  }
  if (!env_.began) env_.began = request.began;
  if (request.reply) {
    env_.replies.push_back(std::move(request.reply));
    env_.refused.reset();
  }
  settle_env();
}

bool Worker::has_its_env() const {
  return live_ && live_->doubtful_env().empty() && live_->env() == own_env();
}

// Called whenever something ends that it had to wait for.
void Worker::settle_env() {
  const bool busy = env_.asked != nullptr || env_.reloading || handover_ || recovery_ || replacing_ || saving_cut_;
  if (busy) return;
  switch (state_) {
    case WorkerState::Starting:
    case WorkerState::Reloading:
    case WorkerState::Stopping:
      return;
    case WorkerState::Stopped:
      return answer_env_unchanged("the worker is stopped; its next start has what the files say");
    case WorkerState::Backoff:
    case WorkerState::Failed:
    case WorkerState::Finished:
      return settle_env_down();
    case WorkerState::Ready:
      break;
  }
  if (has_its_env()) env_.refused.reset();
  if (has_its_env()) return answer_env_unchanged("the environment is the same");
  const EnvMap wanted = own_env();
  const EnvChange change = env_pending();
  if (change.empty()) {  // what went or came was inherited all along
    live_->took_env(wanted);
    env_.live = wanted;
    return answer_env_unchanged("the environment is the same");
  }
  if (env_.refused == wanted) return;
  const bool listens = !live_->mute() && live_->loaded().capabilities.env;
  if (listens && fits_a_message(change, dump(params_of(change)))) return send_env(change, wanted);
  reload_for_env();
}

// Nobody is live: another environment is a reason to try again, as an edit is.
void Worker::settle_env_down() {
  const EnvMap wanted = own_env();
  if (!env_.spawned || *env_.spawned == wanted) return answer_env_unchanged("its next start has what the files say");
  if (env_.refused != wanted) reload_for_env();
}

void Worker::send_env(const EnvChange& change, const EnvMap& wanted) {
  env_.asked = live_.get();
  Receipt receipt;
  receipt.operation = "reload";
  receipt.worker = setup_.name;
  receipt.from = receipt.to = live_->number();
  receipt.mode = "in-place";
  receipt.cause = "env";
  receipt.changed = std::exchange(env_.files, {});
  receipt.commit = current_->commit;
  receipt.env = names_of(change);
  const MonotonicTime now = monotonic_now(), began = std::exchange(env_.began, std::nullopt).value_or(now);
  receipt.ms.settle = elapsed_ms(began, now);
  live_->request("env", params_of(change), kEnvDeadline,
                 [this, of = live_.get(), receipt, began, change, wanted, alive = std::weak_ptr<void>(alive_)](
                     const tl::expected<Json, Refusal>& outcome, std::string_view) mutable {
                   if (alive.expired() || env_.asked != of) return;
                   receipt.ms.total = elapsed_ms(began, monotonic_now());
                   on_env_answer(std::move(receipt), change, wanted, outcome);
                 });
}

void Worker::on_env_answer(Receipt receipt, const EnvChange& change, const EnvMap& wanted,
                           const tl::expected<Json, Refusal>& outcome) {
  env_.asked = nullptr;
  // It has ended: whoever follows is started with the newest.
  if (!live_ || (!outcome && outcome.error().code == ErrorCode::Unavailable)) return;
  receipt.at = wall_now();
  const auto hide = [&](const std::string& text) {
    return without_values(without_values(text, change.set), live_->env());
  };
  if (outcome) {
    const EnvAnswer answer = read_answer(change, *outcome, hide);
    receipt.reason = answer.reason;
    for (const std::string& name : answer.unconfirmed)
      receipt.restored.warnings.push_back("the worker did not say that it took " + name);
    live_->took_env(wanted);
    live_->left_env(answer.failed);
    env_.live = wanted;
    env_.unfit.reset();
  } else {
    const bool late = outcome.error().code == ErrorCode::Timeout;
    receipt.reason = late ? "no answer within " + human_duration(kEnvDeadline) : hide(outcome.error().message);
    live_->left_env(change);
  }
  receipt.verdict = receipt.reason.empty() ? "ok" : "failed";
  env_.refused = receipt.verdict == "ok" ? std::nullopt : std::optional<EnvMap>(wanted);
  if (env_.refused) receipt.hint = "it goes on; zerothctl env --reload tells it again, and so does the next change";
  const Json json = to_json(receipt);
  log_writer_.write(log_.receipt(json));
  log_writer_.sync();
  last_reload_ = json;
  tell_env(json, "env");
  if (own_env() == wanted) answer_env(json);
  settle_env();
}

void Worker::reload_for_env() {
  env_.reloading = true;
  ReloadRequest request;
  request.cause = "env";
  request.force = true;
  request.changed = std::exchange(env_.files, {});
  request.began = std::exchange(env_.began, std::nullopt).value_or(monotonic_now());
  request.reply = [this, alive = std::weak_ptr<void>(alive_)](const tl::expected<Json, Refusal>& outcome) {
    if (!alive.expired()) on_env_reloaded(outcome);
  };
  reload(std::move(request));
}

void Worker::on_env_reloaded(const tl::expected<Json, Refusal>& outcome) {
  env_.reloading = false;
  const std::string verdict = outcome ? field_or<std::string>(*outcome, "verdict", "") : "";
  const std::shared_ptr<Generation> candidate = handover_ ? handover_->last_candidate() : nullptr;
  const EnvMap tried = candidate ? candidate->plan().env : own_env();
  if (verdict == "ok" || verdict == "unchanged") {
    env_.refused.reset();
    env_.unfit.reset();
  } else {
    env_.refused = tried;
    const bool its_fault = candidate && !handover_->lacked_room() && !handover_->context().stop_requested;
    if (its_fault) env_.unfit = tried;
  }
  if (outcome && verdict != "unchanged") tell_env(*outcome, "reload");
  if (!outcome || tried == own_env()) answer_env(outcome);
}

void Worker::tell_env(const Json& receipt, std::string_view how) {
  emit("env", {{"generation", receipt["to"]},
               {"how", how},
               {"verdict", receipt["verdict"]},
               {"reason", receipt["reason"]},
               {"files", receipt["changed"]},
               {"set", receipt["env"]["set"]},
               {"unset", receipt["env"]["unset"]},
               {"warnings", receipt["warnings"]},
               {"ms", receipt["ms"]}});
}

void Worker::answer_env(const tl::expected<Json, Refusal>& outcome) {
  for (const Reply& reply : std::exchange(env_.replies, {})) reply(outcome);
}

void Worker::answer_env_unchanged(const std::string& reason) {
  env_.files.clear();
  env_.began.reset();
  if (env_.replies.empty()) return;
  Receipt receipt;
  receipt.operation = "reload";
  receipt.worker = setup_.name;
  receipt.from = receipt.to = live_ ? live_->number() : 0;
  receipt.cause = "env";
  receipt.verdict = "unchanged";
  receipt.reason = reason;
  answer_env(to_json(receipt));
}

// What failed at its start is not forced on a generation that nobody asked for, if another environment went live
// before.
EnvMap Worker::env_to_start_with() const {
  EnvMap env = own_env();
  const std::string operation = handover_ ? handover_->receipt().operation : "";
  const bool by_itself =
      operation == "crash-restart" || rolls_back_by_itself() || (operation == "start" && !first_start_);
  return by_itself && env_.unfit == env && env_.live ? *env_.live : env;
}

// Of a candidate, from what was live before it.
Json Worker::env_difference(const Generation& candidate) const {
  const std::optional<EnvMap>& before = &candidate == live_.get() ? env_.live_before : env_.live;
  return names_of(before ? change_between(*before, candidate.env(), inherited_variables()) : EnvChange());
}

}  // namespace zeroth
