#include "supervisor/env/env_files.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/files.h"
#include "common/hash.h"
#include "common/text.h"
#include "supervisor/env/env_parser.h"
#include "supervisor/instance/claim.h"

namespace zeroth {
namespace {

// Who truncates a file and then writes it leaves nothing, or a half of it, for a moment.
constexpr Milliseconds kHalfWritten{50};
constexpr Milliseconds kWithoutEnd{2'000};  // for a file that is written again and again

std::string place_of(const std::string& file, const Diagnostic& d) {
  const std::string at = d.line > 0 ? ":" + std::to_string(d.line) + ":" + std::to_string(d.column) : "";
  return escape_control(file) + at + ": " + d.message;
}

}  // namespace

EnvFiles::EnvFiles(Loop& loop, Settings settings, Hooks hooks)
    : loop_(loop), settings_(std::move(settings)), hooks_(std::move(hooks)), still_(loop) {}

// False: it is wrong.
bool EnvFiles::read_one(Reading& reading, std::size_t index, const std::string& path) {
  const auto refuse = [&](const Diagnostics& why, int exit_code) {
    reading.wrong = Wrong{path, place_of(path, why.front()), to_json(path, why), wall_now(), monotonic_now()};
    reading.exit_code = exit_code;
    return false;
  };
  const auto of_file = [&](std::string message, int exit_code) {
    const std::string prefix = escape_control(path) + ": ";
    if (message.starts_with(prefix)) message.erase(0, prefix.size());
    return refuse({diagnostic_of_file(std::move(message))}, exit_code);
  };
  if (auto fit = check_program(path); !fit)
    return of_file(fit.error().message,
                   fit.error().exit_code == kExitPermission ? kExitPermission : kExitConfiguration);
  const auto text = read_file(path, kMaxEnvFile);
  if (!text) return of_file(text.error().message, kExitConfiguration);
  const auto entries = parse_env(*text);
  if (!entries) return refuse(entries.error(), kExitConfiguration);
  reading.hashes.push_back(xxh3_hex(*text));
  reading.empty = reading.empty || text->empty();
  for (const EnvEntry& entry : *entries) {
    if (is_own_variable(entry.name)) {
      reading.passed_over.push_back(entry.name);
      continue;
    }
    reading.variables[entry.name] = entry.value;
    reading.places[entry.name] = {index, entry.line};
  }
  return true;
}

EnvFiles::Reading EnvFiles::read_all(const std::vector<std::string>& paths) {
  Reading reading;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!read_one(reading, i, paths[i])) break;
  }
  return reading;
}

tl::expected<void, StartError> EnvFiles::usable(const Reading& reading) {
  if (!reading.wrong) return {};
  std::string told = render_reported(reading.wrong->diagnostics);
  while (told.ends_with('\n')) told.pop_back();
  return refuse_start(reading.exit_code, "an env file cannot be used\n" + told);
}

tl::expected<void, StartError> EnvFiles::check(const std::vector<std::string>& paths) {
  return usable(read_all(paths));
}

tl::expected<void, StartError> EnvFiles::read() {
  Reading reading = read_all(settings_.paths);
  if (auto fit = usable(reading); !fit) return fit;
  note_passed_over(reading);
  good_ = std::move(reading);
  return {};
}

void EnvFiles::watch() {
  if (settings_.paths.empty() || watcher_) return;
  FileWatcher::Options options;
  options.scope = std::make_shared<const WatchScope>(settings_.paths);
  options.hub = settings_.inotify;
  options.quiet = settings_.quiet;
  options.poll = settings_.poll;
  options.poll_interval = settings_.poll_interval;
  watcher_ = std::make_unique<FileWatcher>(
      loop_, options,
      [this](const Changes& changes) {
        if (!began_) began_ = changes.first_event;
        look(false, false);
      },
      [this](const std::string& note) { hooks_.on_note("warning", note); });
  watcher_->start();
  look(false, false);  // what happened before the watch began
}

void EnvFiles::stop() {
  watcher_.reset();
  still_.stop();
}

void EnvFiles::read_again(std::function<void()> done) {
  asked_.push_back(std::move(done));
  look(true, false);
}

void EnvFiles::look(bool certain, bool stood_still) {
  still_.stop();
  if (reading_) {
    again_ = true;
    return;
  }
  reading_ = true;
  again_ = false;
  certain = certain || !asked_.empty();
  waiting_ = std::exchange(asked_, {});
  const auto reading = std::make_shared<Reading>();
  loop_.in_pool([reading, paths = settings_.paths] { *reading = read_all(paths); }, alive_,
                [this, reading, certain, stood_still] {
                  // Behind the callbacks of this turn: a writer who came meanwhile is known then.
                  loop_.post([this, reading, certain, stood_still, alive = std::weak_ptr<void>(alive_)] {
                    if (!alive.expired()) on_read(std::move(*reading), certain, stood_still);
                  });
                });
}

void EnvFiles::on_read(Reading reading, bool certain, bool stood_still) {
  reading_ = false;
  const std::vector<std::function<void()>> waiting = std::exchange(waiting_, {});
  const bool overdue = began_ && monotonic_now() - *began_ > kWithoutEnd;
  const bool written_now = watcher_ && watcher_->settling() && !overdue;  // its report brings us here again
  const bool doubtful = reading.wrong || (reading.empty && !good_.empty);
  if (again_ && !certain) return look(false, false);
  if (certain || (!written_now && (!doubtful || stood_still))) {
    take(std::move(reading));
  } else if (!written_now && watcher_) {
    still_.start(kHalfWritten, [this] { look(false, true); });
  }
  for (const auto& done : waiting) done();
  if (again_) look(false, false);
}

void EnvFiles::take(Reading reading) {
  const MonotonicTime began = began_.value_or(monotonic_now());
  began_.reset();
  if (reading.wrong) return complain(std::move(*reading.wrong));
  const auto was_wrong = std::exchange(wrong_, std::nullopt);
  note_passed_over(reading);
  std::vector<std::string> changed;
  for (std::size_t i = 0; i < settings_.paths.size(); ++i) {
    if (reading.hashes[i] != good_.hashes[i]) changed.push_back(settings_.paths[i]);
  }
  const bool differs = reading.variables != good_.variables;
  good_ = std::move(reading);
  if (was_wrong) hooks_.on_right(human_duration(monotonic_now() - was_wrong->since));
  if (differs) hooks_.on_change(changed, began);
}

void EnvFiles::complain(Wrong wrong) {
  const bool told = wrong_ && wrong_->diagnostics == wrong.diagnostics;
  if (told) return;
  if (wrong_) wrong.since = wrong_->since;
  wrong_ = std::move(wrong);
  hooks_.on_wrong();
}

void EnvFiles::note_passed_over(const Reading& reading) {
  for (const std::string& name : reading.passed_over) {
    if (std::find(told_passed_over_.begin(), told_passed_over_.end(), name) != told_passed_over_.end()) continue;
    told_passed_over_.push_back(name);
    hooks_.on_note("warning", name + " in an env file is passed over: the supervisor sets it itself, or is set by it");
  }
}

std::string EnvFiles::origin_of(const std::string& name) const {
  const auto found = good_.places.find(name);
  if (found == good_.places.end()) return "";
  return settings_.paths[found->second.file] + ":" + std::to_string(found->second.line);
}

}  // namespace zeroth
