// ScriptWorker: checkpoints. The command is asked to save, ended for a hold, and its file read; each step has its part
// of the supervisor's deadline.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/text.h"
#include "supervisor/ctl/script_worker.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLookAgain{20};  // at a file in the middle of a save, or a command that is only starting
const std::string kQuietly = "exec >/dev/null\n";  // its "OK" once a minute tells nobody anything
constexpr Milliseconds kSaveAgain{200};            // the command that has it saved: what it asks may be only starting

// For a state that has to travel inside the answer, which is one line.
Result<Json> inline_state(int file, bool json_only) {
  const UniqueFd memory(::memfd_create("state", MFD_CLOEXEC));
  if (!memory) return fail(last_error("memfd"));
  const auto bytes = encode_file(file, json_only, memory.get(), 0);
  if (!bytes) return fail(bytes.error());
  if (*bytes > kMaxLine / 2) return fail("the state is too large for an answer, and no file was offered");
  std::string text(static_cast<std::size_t>(*bytes), '\0');
  if (auto got = read_at(memory.get(), text.data(), text.size(), 0); !got) return fail(got.error());
  auto parsed = parse_json(text, {.members = 1'000'000});
  if (!parsed) return fail(parsed.error());
  return Json{{"state", std::move(parsed->value)}};
}

}  // namespace

void ScriptWorker::on_checkpoint(const Request& request) {
  const bool hold = field_or<bool>(request.params, "hold", false);
  const bool before_go = stage_ == Stage::Restored && !hold;
  if (stage_ != Stage::Live && stage_ != Stage::Ended && !before_go)
    return refuse(request.id, ErrorCode::Refused, "nothing is live");
  if (pending_) finish_checkpoint(fail("ended for a cut", EBUSY));
  Pending pending;
  pending.id = request.id;
  pending.hold = hold;
  pending.durable = field_or<bool>(request.params, "durable", false);
  pending.deadline = Milliseconds(field_or<std::int64_t>(request.params, "deadline_ms", 10'000)) * 9 / 10;
  pending.began = pending.look_at = monotonic_now();
  if (const Json* file = find_member(request.params, "state_file"); file != nullptr && !file->is_null()) {
    auto parsed = parse_state_file(*file);
    if (!parsed) return refuse(request.id, ErrorCode::BadParams, parsed.error().message);
    pending.file = std::move(*parsed);
  }
  pending_ = std::move(pending);
  if (!command_ || (!plan_.signal && plan_.save.empty())) return after_saving();
  pending_->step = Pending::Step::Asking;
  pending_->until = pending_->began + pending_->deadline / (hold ? 2 : 1);
  ask_to_save();
}

// Not while it has no handler yet: it would die of it.
void ScriptWorker::ask_to_save() {
  if (!plan_.save.empty()) return run_save();
  if (Status handles = check_handles(command_->pid(), *plan_.signal); !handles)
    return look_again(handles.error(), kLookAgain);
  auto watch = SaveWatch::begin(plan_.file);
  if (!watch) return finish_checkpoint(fail(watch.error()));
  watch_ = std::move(*watch);
  pending_->step = Pending::Step::Saving;
  command_->signal(*plan_.signal);
}

void ScriptWorker::look_again(const Error& why, Milliseconds after) {
  pending_->step = Pending::Step::Asking;
  pending_->look_at = monotonic_now() + after;
  if (pending_->look_at >= pending_->until) finish_checkpoint(fail(why));
}

void ScriptWorker::run_save() {
  auto started = ScriptProcess::start({"/bin/sh", "-c", kQuietly + plan_.save}, environment_of(plan_));
  if (!started) return finish_checkpoint(fail(started.error()));
  save_ = *started;
  pending_->step = Pending::Step::Saving;
}

void ScriptWorker::on_save_ended(int status) {
  save_.reset();
  if (!pending_ || pending_->step != Pending::Step::Saving) return;
  if (status == 0) return after_saving();
  const std::string how = WIFEXITED(status) ? "exit code " + std::to_string(WEXITSTATUS(status))
                                            : "signal " + std::to_string(WTERMSIG(status));
  look_again({0, "'" + escape_control(plan_.save) + "' ended with " + how}, kSaveAgain);
}

void ScriptWorker::drop_save() {
  if (save_) save_->end_now();
  save_.reset();
}

void ScriptWorker::on_pending_time() {
  const MonotonicTime now = monotonic_now();
  switch (pending_->step) {
    case Pending::Step::Asking:
      if (now >= pending_->look_at) ask_to_save();
      return;
    case Pending::Step::Saving:
      if (watch_ && watch_->saved(now)) return after_saving();
      if (now >= pending_->until && save_)
        return finish_checkpoint(
            fail("'" + escape_control(plan_.save) + "' did not end within " + human_duration(now - pending_->began)));
      if (now >= pending_->until)
        finish_checkpoint(fail(plan_.file + " was not saved within " + human_duration(now - pending_->began) + " of " +
                               name_of_signal(*plan_.signal)));
      return;
    case Pending::Step::Ending:
      return;  // its end is told by a signal
    case Pending::Step::Reading:
      if (now >= pending_->look_at) read_state();
      return;
  }
}

void ScriptWorker::after_saving() {
  watch_.reset();
  drop_save();
  pending_->until = pending_->began + pending_->deadline;
  if (pending_->hold && command_) return end_for_cut();
  read_state();
}

// What it saves on its way out is in the cut.
void ScriptWorker::end_for_cut() {
  pending_->step = Pending::Step::Ending;
  kill_at_ = std::max(monotonic_now(), pending_->began + pending_->deadline * 3 / 4);
  end_command();
}

void ScriptWorker::read_state() {
  start_due_ = start_due_ && !pending_->hold;
  const bool over = !command_;  // nobody will finish a save that is not
  const auto result = encoded();
  const bool again = !result && result.error().code == EAGAIN && !over && monotonic_now() < pending_->until;
  if (!again) return finish_checkpoint(result);
  pending_->step = Pending::Step::Reading;
  pending_->look_at = monotonic_now() + kLookAgain;
}

Result<Json> ScriptWorker::encoded() {
  const auto file = place_.open();
  if (!file) return fail(file.error());
  read_ = {};
  if (!*file) return Json{{"state", nullptr}};
  struct stat info {};
  if (::fstat(file->get(), &info) != 0) return fail(last_error(plan_.file));
  read_ = seen_file(info);  // encode_file() fails if it changes meanwhile
  if (pending_->durable && !pending_->hold && answered_ == read_) return Json{{"unchanged", true}};
  const bool json_only = is_json_name(plan_.file);
  const auto in_file = [&](Error error) { return fail(std::move(error).in(plan_.file)); };
  if (!pending_->file) {
    auto result = inline_state(file->get(), json_only);
    return result ? std::move(result) : in_file(result.error());
  }
  const UniqueFd to(::open(pending_->file->path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!to) return fail(last_error(pending_->file->path));
  const auto bytes = encode_file(file->get(), json_only, to.get(), pending_->file->offset);
  if (!bytes) return in_file(bytes.error());
  return Json{{"bytes", *bytes}};
}

void ScriptWorker::finish_checkpoint(const Result<Json>& result) {
  const Pending done = *std::exchange(pending_, std::nullopt);
  watch_.reset();
  drop_save();
  if (!result) {
    answered_.reset();
    const bool busy = result.error().code == EBUSY;  // what ended it is next, before all that waits
    refuse(done.id, busy ? ErrorCode::Busy : ErrorCode::Failed, result.error().message);
    if (done.hold && stage_ == Stage::Live && !command_) start_due_ = true;  // it goes on
    if (busy) return;
  } else {
    Json told = *result;
    told["iteration"] = nullptr;
    told["schema"] = kFileSchema;
    told["pause_ms"] = done.hold ? elapsed_ms(done.began, monotonic_now()) : 0.0;
    answered_ = read_;
    if (done.hold) (void)place_.hold();
    if (done.hold && stage_ == Stage::Live) stage_ = Stage::Held;
    answer(done.id, told);
  }
  if (stage_ == Stage::Ended && done.hold && result) return finish(ended_with_);
  if (stage_ == Stage::Ended) ask_to_take();
  take_waiting();
}

}  // namespace zeroth
