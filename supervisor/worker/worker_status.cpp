// Worker: what `status` says of it, and the answer to a reload that finds nothing to do.

#include <algorithm>

#include "supervisor/option_names.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

double seconds_since(MonotonicTime time) {
  return std::chrono::duration<double>(monotonic_now() - time).count();
}

}  // namespace

void Worker::answer_unchanged(const ReloadRequest& request) {
  const bool as_running = live_ && *newest_ == *current_;
  const bool repaired = as_running && !rejected_.is_null();
  const bool told = !rejection_timer_.active();  // else it was broken for less than a person can see
  if (as_running) tell_rejection(false);
  if (repaired && told) {
    emit("reload", {{"verdict", "unchanged"},
                    {"repaired", true},
                    {"broken_s", std::chrono::duration<double>(monotonic_now() - *rejected_at_).count()}});
  } else if (request.cause == "edit") {
    emit("reload", {{"verdict", "unchanged"}, {"changed", request.changed}});
  }
  if (repaired) {
    rejected_ = nullptr;
    rejected_at_.reset();
  }
  if (!request.reply) return;
  Receipt receipt;
  receipt.operation = "reload";
  receipt.worker = setup_.name;
  receipt.from = receipt.to = live_ ? live_->number() : 0;
  receipt.cause = request.cause;
  receipt.verdict = "unchanged";
  const bool held = !held_hash().empty() && newest_->hash == held_hash();
  receipt.reason =
      held ? "the code on disk is held back; reload --force or restart --release starts it" : "the content is the same";
  request.reply(to_json(receipt));
}

std::string Worker::waits_for() const {
  switch (state_) {
    case WorkerState::Starting:
      return handover_ && handover_->candidate() ? handover_->candidate()->waits_for() : "";
    case WorkerState::Backoff:
      return "its next start";
    case WorkerState::Failed:
    case WorkerState::Finished:
      return std::string("a save or 'zerothctl restart'") + (next_try_ ? ", or its next start" : "");
    case WorkerState::Ready:
    case WorkerState::Reloading:
    case WorkerState::Stopping:
    case WorkerState::Stopped:
      break;
  }
  return "";
}

std::optional<double> Worker::state_age_s() const {
  const auto& newest = store_.newest();
  if (!newest) return std::nullopt;
  const double age = std::chrono::duration<double>(wall_now() - newest->created_at).count();
  return std::max(0.0, std::min(age, checkpointer_.since_durable_s().value_or(age)));
}

Json Worker::status() const {
  // In a reload by exec its process is the candidate's already, until go.
  const bool replaced = live_ && live_->replaced() && handover_ && handover_->candidate();
  const std::shared_ptr<Generation>& process = replaced ? handover_->candidate() : live_;
  const bool alive = process && !process->gone();
  const Options& options = *setup_.options;
  Json status = {{"name", setup_.name},
                 {"state", to_string(state_)},
                 {"pid", alive ? Json(process->pid()) : Json()},
                 {"generation", live_ ? Json(live_->number()) : Json()},
                 {"uptime_s", alive && live_->live_since() ? Json(seconds_since(*live_->live_since())) : Json()},
                 {"restarts", restarts_},
                 {"reloads", verdicts_},
                 {"mode", name_of_value(kReloadModes, mode_ == ReloadMode::Auto ? ReloadMode::Overlap : mode_)},
                 {"mode_reason", mode_reason_},
                 {"program", options.program.empty() ? Json(options.command) : Json(options.program)},
                 {"program_hash", current_ ? Json(current_->hash) : Json()},
                 {"watching", !options.no_watch},
                 {"watched", setup_.scope ? Json(setup_.scope->targets()) : Json::array()},
                 {"held_back", log_.last_live() ? log_.last_live()->held_back : Json()}};
  const std::string waits = waits_for();
  status["waits_for"] = waits.empty() ? Json() : Json(waits);
  status["next_start_in_s"] = next_try_ ? Json(std::max(0.0, -seconds_since(*next_try_))) : Json();
  status["rejected"] = rejected_;
  if (rejected_at_ && rejected_.is_object()) status["rejected"]["since_s"] = seconds_since(*rejected_at_);
  status["last_reload"] = last_reload_;
  status["last_exit"] = last_exit_;
  status["last_failure"] = last_failure_;
  const auto& newest = store_.newest();
  Json rejected_snapshots = Json::array();
  for (const auto& rejected : store_.rejected())
    rejected_snapshots.push_back({{"file", rejected.file}, {"reason", rejected.reason}});
  const auto age = [&] { return std::chrono::duration<double>(wall_now() - newest->created_at).count(); };
  status["snapshot"] = {{"sequence", newest ? Json(newest->sequence) : Json()},
                        {"at", newest ? Json(rfc3339(newest->created_at)) : Json()},
                        {"age_s", newest ? Json(age()) : Json()},
                        {"bytes", newest ? Json(newest->length) : Json()},
                        {"count", store_.count()},
                        {"degraded", checkpointer_.degraded().empty() ? Json() : Json(checkpointer_.degraded())},
                        {"rejected", std::move(rejected_snapshots)}};
  status["loss_window_s"] = checkpointer_.loss_window_s();
  const std::optional<Beat> beat = live_ ? live_->beat() : std::nullopt;
  status["beat"] = {{"iteration", or_null(last_iteration_)},
                    {"metrics", beat ? beat->metrics : Json::object()},
                    {"status", beat ? beat->status : Json()}};
  status["health"] = health_.status();
  Json announced = Json::array();
  for (const CommandInfo& command : commands()) {
    announced.push_back({{"name", command.name}, {"help", command.help}, {"params", command.params}});
  }
  status["commands"] = std::move(announced);
  return status;
}

}  // namespace zeroth
