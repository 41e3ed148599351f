// Worker: starts from nothing: the first one, and those after a crash; which code, and which state.

#include <cerrno>
#include <utility>

#include "common/exit_codes.h"
#include "supervisor/worker/launch_plan.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

void Worker::start() {
  set_state(WorkerState::Starting);
  if (!setup_.place.socket.empty() && !hello_socket_) open_hello_socket();
  SnapshotEnvelope head = snapshot_head(setup_, 0, "", "emergency");
  recovery_ = std::make_unique<Recovery>(
      loop_, setup_.folder, places_left(setup_.folder, setup_.place, setup_.name), store_, log_, std::move(head),
      Recovery::Hooks{[this](const std::string& note) {
                        emit("log", {{"level", "info"}, {"message", note}});
                      },
                      [this](const Skipped& snapshot) { tell_skipped(snapshot); },
                      [this](Status recovered) { on_recovered(std::move(recovered)); }});
}

void Worker::on_recovered(Status recovered) {
  loop_.post([finished = std::shared_ptr<Recovery>(std::move(recovery_))] {});
  keep_begun_from();
  if (state_ != WorkerState::Starting) return;  // told to stop meanwhile
  if (!recovered) {
    Receipt receipt;
    receipt.operation = "start";
    receipt.reason = recovered.error().message;
    return fail_start(exit_code_for(recovered.error().code), receipt);
  }
  content_.read([this](const Result<Content>& content) { first_content(content); });
}

void Worker::first_content(const Result<Content>& content) {
  if (state_ != WorkerState::Starting) return;
  if (content && !held_hash().empty()) return start_held_back(*content);
  if (content) return launch("start", setup_.start_cause, *content, false);
  Receipt receipt;
  receipt.operation = "start";
  receipt.reason = content.error().message;
  fail_start(exit_code_for(content.error().code), receipt);
}

void Worker::fail_start(int exit_code, const Receipt& receipt) {
  if (!setup_.one_of_many) return hooks_.on_start_failed(exit_code, receipt);
  if (!current_) current_ = target_;
  const Milliseconds again = setup_.options->retry_failed;
  last_failure_ = {{"occurred_at", rfc3339(wall_now())},
                   {"phase", "startup"},
                   {"summary", receipt.reason},
                   {"log_excerpt", Json::array()},
                   {"hint", "edit the program, or zerothctl restart " + setup_.name}};
  Json failed = to_json(receipt);
  failed["worker"] = setup_.name;
  failed["verdict"] = "failed";
  emit("rejected", failed);
  set_state(WorkerState::Failed);
  for (const Reply& reply : std::exchange(replies_, {})) reply(failed);
  if (again.count() > 0) {
    next_try_ = monotonic_now() + again;
    restart_timer_.start(again, [this] { reload({"start", true, {}, monotonic_now(), [](const auto&) {}}); });
  }
  take_pending();
}

// The code on disk was passed over by a rollback: what ran then runs again, unless the disk was changed since.
void Worker::start_held_back(const Content& disk) {
  newest_ = disk;
  release_if_changed();
  if (held_hash().empty()) return launch("start", setup_.start_cause, disk, false);
  content_.find_kept(log_.last_live()->program_hash, [this, disk](const Result<Content>& kept) {
    if (state_ != WorkerState::Starting || handover_) return;
    if (kept) return launch_kept("start", setup_.start_cause, *kept);
    emit("log",
         {{"level", "error"},
          {"message", "the code that was rolled back to is gone, the code on disk runs: " + kept.error().message}});
    log_writer_.write(log_.released());
    launch("start", setup_.start_cause, disk, false);
  });
}

void Worker::launch(const std::string& operation, const std::string& cause, Content content, bool kept_code,
                    std::vector<std::string> changed) {
  restart_timer_.stop();
  set_state(WorkerState::Starting);
  if (!kept_code) newest_ = content;
  target_ = std::move(content);
  runs_kept_code_ = kept_code;
  Handover::Plan plan;
  plan.context.mode = HandoverMode::Start;
  plan.context.kept_code = kept_code;
  plan.receipt.operation = operation;
  plan.receipt.worker = setup_.name;
  plan.receipt.from = log_.last_live() ? log_.last_live()->generation : 0;
  plan.receipt.mode = "start";
  plan.receipt.cause = cause;
  plan.receipt.changed = std::move(changed);
  plan.receipt.code = aim_.code && current_ && !(*aim_.code == *current_);
  if (aim_.rollback) plan.receipt.restored_generation = aim_.generation;
  plan.began = monotonic_now();
  plan.deadlines.stop = setup_.options->stop_timeout;
  handover_ = std::make_unique<Handover>(loop_, std::move(plan), handover_hooks());
  search_source();
  handover_->begin();
}

void Worker::launch_kept(const std::string& operation, const std::string& cause, const Content& content) {
  search_before_ = kMaxSequence + 1;  // what other code refused, this code may take
  search_takes_.reset();
  // A command runs from disk, whatever lies there by now.
  if (content.copy.empty()) return launch(operation, cause, content, !newest_ || !(*newest_ == content));
  restart_timer_.stop();
  set_state(WorkerState::Starting);
  content_.ensure_kept(content, [this, operation, cause, content](const Status& kept) {
    if (state_ != WorkerState::Starting || handover_ || live_) return;  // an edit or a stop came first
    if (!kept) emit("log", {{"level", "error"}, {"message", "the kept copy of the program: " + kept.error().message}});
    launch(operation, cause, content, true);
  });
}

void Worker::restore_files() {
  log_writer_.write(log_.remake());
  log_writer_.sync();
  if (current_ && !current_->copy.empty()) {
    content_.ensure_kept(*current_, [this](const Status& kept) {
      if (!kept)
        emit("log", {{"level", "warning"}, {"message", "the kept copy of the program: " + kept.error().message}});
    });
  }
  store_.open([this](const Status& opened) {
    if (opened) checkpointer_.try_again();
  });
}

// Which snapshot to go on from; runs beside the start of the process.
void Worker::search_source() {
  source_sequence_ = 0;
  source_hash_.clear();
  if (aim_.puts_aside()) return search_aimed_source();
  if (starts_fresh_) return pass_over_newest();
  SearchOptions options = living_snapshots();
  options.before = search_before_;
  options.takes = search_takes_;
  options.max_age = setup_.options->max_snapshot_age;
  options.now = wall_now();
  const bool was_fresh = options.aside.to != 0 && options.aside.after == 0;
  const bool gone_back = options.aside.to != 0 && !was_fresh;
  store_.search(options, [this, was_fresh, gone_back, of = handover_->token()](Result<SearchResult> searched) {
    RestoreSource source;
    if (searched && searched->found) source = linked_source(*searched->found);
    if (of.expired() || !handover_) return;
    if (!searched) return handover_->lose_source(searched.error().message);
    std::string skipped;
    bool too_old = false;
    for (const Skipped& snapshot : searched->skipped) {
      tell_skipped(snapshot);
      skipped += (skipped.empty() ? "" : "; ") + snapshot.file + ": " + snapshot.message;
      too_old = too_old || snapshot.reason == SkipReason::TooOld;
    }
    if (searched->found) {
      source_sequence_ = searched->found->envelope.sequence;
      source_hash_ = searched->found->envelope.program_hash;
      return handover_->set_source(std::move(source));
    }
    if (was_fresh && skipped.empty()) return handover_->set_source({});  // and has saved nothing since
    // Those set aside before are not found any more, but they were this worker's state: never forgotten silently.
    for (const auto& rejected : store_.rejected()) {
      const bool counted = skipped.find(rejected.file) != std::string::npos;
      if (!counted && rejected.file.starts_with("snapshot-"))
        skipped += (skipped.empty() ? "" : "; ") + rejected.file + ": " + rejected.reason;
    }
    if (skipped.empty() && search_before_ <= kMaxSequence) skipped = "each was refused by the code that is to run";
    if (skipped.empty() && gone_back) skipped = "what a rollback went back to is gone, the others were put aside by it";
    if (skipped.empty() || too_old) return handover_->set_source({});
    handover_->fail_source("no snapshot is usable: " + skipped);
  });
}

// What the worker may go on from by itself.
SearchOptions Worker::living_snapshots() const {
  SearchOptions options;
  options.adopt = setup_.options->adopt;
  if (const auto& live = log_.last_live()) options.aside = live->put_aside;
  return options;
}

// A large state is read through a second name, which is to go with whoever restores from it.
RestoreSource Worker::linked_source(const Restorable& found) {
  RestoreSource source = to_source(found);
  if (found.file) source.link = link_guard(*found.file);
  return source;
}

std::shared_ptr<void> Worker::link_guard(const StateFile& file) {
  return {nullptr, [this, file, alive = std::weak_ptr<void>(alive_)](void*) {
            if (!alive.expired()) store_.drop_link(file);
          }};
}

void Worker::tell_skipped(const Skipped& snapshot) {
  emit("snapshot-rejected", {{"file", snapshot.file}, {"reason", snapshot.message}});
}

}  // namespace zeroth
