// Worker: the code on disk, or of another file, tried on kept snapshots beside whoever is live.

#include <utility>

#include "supervisor/worker/launch_plan.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

void Worker::check(CheckRequest request) {
  if (checking_) return request.reply(refuse(ErrorCode::Busy, "a check is under way"));
  if (recovery_) return request.reply(refuse(ErrorCode::Busy, "the worker is still starting"));
  if (state_ == WorkerState::Stopping || state_ == WorkerState::Stopped)
    return request.reply(refuse(ErrorCode::Unavailable, "the worker is " + std::string(to_string(state_))));
  const auto& last_live = log_.last_live();
  if (live_ ? live_->mute() : last_live && !last_live->speaks) {
    return request.reply(
        refuse(ErrorCode::Refused, "it does not speak the worker protocol: a check would run it for real"));
  }
  const bool command = setup_.options->program.empty();
  if (!request.file.empty() && command)
    return request.reply(refuse(ErrorCode::Refused, "a command runs what lies in its folder: check it without a file"));
  checking_ = true;
  check_reply_ = request.reply;
  const auto read = [this, last = request.last, file = request.file](const Result<Content>& content) {
    if (!checking_) return;
    if (!content) return end_check(refuse(ErrorCode::NotFound, content.error().message));
    list_for_check(*content, file, last);
  };
  if (request.file.empty()) return content_.read(read);
  content_.read_other(request.file, read);
}

void Worker::list_for_check(const Content& content, const std::string& file, std::size_t last) {
  store_.list(0, last, [this, content, file](Result<SnapshotStore::Page> page) {
    if (!checking_) return;
    if (!page) return end_check(refuse(ErrorCode::Failed, page.error().message));
    CandidateCheck::Hooks hooks;
    hooks.make = [this, content, file] { return make_checked(content, file); };
    hooks.fetch = [this](std::uint64_t sequence, const std::function<void(Result<RestoreSource>)>& done) {
      SearchOptions options;
      options.exactly = sequence;
      options.adopt = setup_.options->adopt;
      store_.search(options, [this, done](const Result<SearchResult>& searched) {
        if (!searched) return done(fail(searched.error()));
        if (!searched->found)
          return done(fail(searched->skipped.empty() ? "it is gone" : searched->skipped.front().message));
        done(linked_source(*searched->found));
      });
    };
    hooks.bury = [this](std::shared_ptr<Generation> generation) { bury(std::move(generation)); };
    hooks.on_done = [this, content, file](Json report) {
      report["hash"] = content.hash;
      report["file"] = file.empty() ? Json(setup_.options->program) : Json(file);
      report["worker"] = setup_.name;
      end_check(std::move(report));
    };
    check_ = std::make_unique<CandidateCheck>(loop_, std::move(page->envelopes), std::move(hooks));
    check_->begin();
  });
}

std::shared_ptr<Generation> Worker::make_checked(const Content& content, const std::string& file) {
  hooks_.on_generation();
  const std::uint64_t number = log_.next_generation();
  const auto noted = log_writer_.note(log_.spawned(number, content.hash, "check"));
  const auto& before = log_.last_live();
  GenerationPlan plan = launch_plan(setup_, number, "check", content, {},
                                    before ? std::optional(before->speaks) : std::nullopt, own_env());
  plan.noted = noted;
  for (std::size_t i = 0; !file.empty() && i + 1 < plan.argv.size(); ++i) {
    if (plan.argv[i] == "--path") plan.argv[i + 1] = file;  // shown in its diagnostics
  }
  return std::make_shared<Generation>(loop_, std::move(plan));
}

void Worker::end_check(tl::expected<Json, Refusal> outcome) {
  if (!std::exchange(checking_, false)) return;
  if (check_) check_->give_up();
  loop_.post([finished = std::shared_ptr<CandidateCheck>(std::move(check_))] {});  // it may be on the stack
  std::exchange(check_reply_, {})(std::move(outcome));
}

}  // namespace zeroth
