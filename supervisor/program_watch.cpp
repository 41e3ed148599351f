#include "supervisor/program_watch.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "common/files.h"
#include "supervisor/instance/claim.h"
#include "supervisor/instance/identity.h"

namespace zeroth {
namespace {

// What is written beside a state file, by the command or by us, is no edit.
IgnoreRules ignored_by(const Options& options) {
  std::vector<std::string> patterns;
  if (const std::string name = name_of(options.state_file); !name.empty())
    patterns = {name, name + ".*", "." + name + ".*"};
  patterns.insert(patterns.end(), options.ignore.begin(), options.ignore.end());
  return IgnoreRules::of(patterns);
}

}  // namespace

ProgramWatch::ProgramWatch(Loop& loop, const Options& options, std::vector<std::string> not_watched,
                           std::shared_ptr<InotifyHub> inotify, Hooks hooks)
    : loop_(loop),
      options_(options),
      what_runs_{options.program, options.command, options.cwd.empty() ? working_folder() : options.cwd,
                 process_environment("HOME")},
      inotify_(std::move(inotify)),
      hooks_(std::move(hooks)) {
  const bool nothing = options_.no_watch && !options_.command.empty() && options_.watch.empty();
  scope_ = std::make_shared<const WatchScope>(
      nothing ? std::vector<std::string>() : watch_targets(options_.watch, what_runs_), ignored_by(options_),
      std::move(not_watched));
}

// What a command writes itself is to be told from edits; the files it was started with are the program.
void ProgramWatch::open_gate() {
  std::set<std::string> trusted;
  for (const std::string& path : files_named_by(what_runs_)) trusted.insert(path);
  for (const std::string& path : options_.watch) {
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error)) trusted.insert(std::filesystem::canonical(path, error).string());
  }
  gate_ = std::make_unique<EditGate>(loop_, std::move(trusted), hooks_.on_edit, hooks_.on_note);
}

void ProgramWatch::start() {
  if (options_.watch.empty() && !options_.command.empty() && !options_.no_watch &&
      is_too_wide(what_runs_.working_folder, what_runs_.home)) {
    hooks_.on_note(what_runs_.working_folder + " is not watched as a whole, " +
                   (scope_->targets().empty() ? "and nothing else is" : "only the files that the command names") +
                   "; --watch PATH says what is");
  }
  // A compiled program is not watched: it is somebody's build product, read again by reload and restart.
  const bool compiled = options_.watch.empty() && options_.program.ends_with(".z");
  if (options_.no_watch || compiled || scope_->targets().empty()) return;
  if (!gate_ && !options_.command.empty()) open_gate();
  FileWatcher::Options options;
  options.scope = scope_;
  options.hub = inotify_;
  options.quiet = options_.debounce;
  options.poll = options_.poll;
  options.early = true;
  options.poll_interval = options_.watch_interval;
  watcher_ = std::make_unique<FileWatcher>(
      loop_, options, [this](const Changes& changes) { gate_ ? gate_->on_change(changes) : hooks_.on_edit(changes); },
      hooks_.on_note);
  watcher_->start();
}

void ProgramWatch::on_generation(bool recreate) {
  if (watcher_) watcher_->set_recreate(recreate);
  if (gate_) gate_->on_generation();
}

void ProgramWatch::on_restart() {
  if (gate_) gate_->reset();
}

std::string_view ProgramWatch::mode() const {
  return watcher_ ? to_string(watcher_->mode()) : "off";
}

}  // namespace zeroth
