#include "supervisor/watch/file_watcher.h"

#include <algorithm>

namespace zeroth {
namespace {

constexpr Milliseconds kSlowPoll{30'000};
constexpr Milliseconds kPoll{1'000};
constexpr Milliseconds kScanSlice{2};        // of one turn of the loop
constexpr std::size_t kMostPending = 4'096;  // each is looked at once more when it is reported: about 5 ms
constexpr std::size_t kShownPaths = 20;

}  // namespace

std::string_view to_string(WatchMode mode) {
  return mode == WatchMode::Inotify ? "inotify" : "poll";
}

FileWatcher::FileWatcher(Loop& loop, Options options, std::function<void(const Changes&)> on_change,
                         std::function<void(const std::string&)> on_note)
    : loop_(loop),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      on_note_(std::move(on_note)),
      one_file_(options_.scope->is_one_file()),
      debounce_({options_.quiet.value_or(default_quiet(one_file_, options_.recreate))}),
      settle_timer_(loop),
      poll_timer_(loop) {
  if (!options_.hub) options_.hub = InotifyHub::on(loop);
}

void FileWatcher::set_recreate(bool recreate) {
  debounce_.set_quiet(options_.quiet.value_or(default_quiet(one_file_, recreate)));
}

void FileWatcher::start() {
  const Status opened = options_.poll ? Status() : open_inotify(MonotonicTime::max());
  inventory_ = Inventory::take(*options_.scope);
  if (!opened) return fall_back(opened.error());
  start_poll(options_.poll ? kPoll : kSlowPoll);
}

Status FileWatcher::open_inotify(MonotonicTime scan_until) {
  auto set =
      WatchSet::open(options_.scope, {options_.hub, [this] { on_readable(); }, options_.most_watches},
                     [this](FileEvent event, const std::string& path) { note(event, path, inventory_.knows(path)); });
  if (!set) return fail(std::move(set.error()));
  const auto more = (*set)->scan(scan_until);
  if (!more) return fail(more.error());
  set_ = std::move(*set);
  return {};
}

void FileWatcher::start_poll(Milliseconds fallback) {
  poll_timer_.start_repeating(options_.poll_interval.value_or(fallback), [this] { survey(); });
}

// For good: whoever raised the limit restarts the supervisor.
void FileWatcher::fall_back(const Error& error) {
  set_.reset();
  poll_timer_.start_repeating(std::min(options_.poll_interval.value_or(kPoll), kPoll), [this] { survey(); });
  survey();
  const auto call = on_note_;
  call(error.message + "; polling every second");
}

void FileWatcher::on_readable() {
  const auto lost = set_->read();
  if (!lost) return fall_back(lost.error());
  if (*lost) return start_over();
  scan();
}

// Events were lost: from new watches on nothing is, and a survey finds what happened before.
void FileWatcher::start_over() {
  set_.reset();
  survey_after_scan_ = true;
  if (Status opened = open_inotify(monotonic_now() + kScanSlice); !opened) return fall_back(opened.error());
  scan();
}

void FileWatcher::scan() {
  const auto more = set_->scan(monotonic_now() + kScanSlice);
  if (!more) return fall_back(more.error());
  if (*more && !scanning_) {
    scanning_ = true;
    loop_.post([this, owner = std::weak_ptr<bool>(alive_)] {
      if (owner.expired()) return;
      scanning_ = false;
      if (set_) scan();
    });
  }
  if (!*more && std::exchange(survey_after_scan_, false)) survey();
  settle();
}

void FileWatcher::survey() {
  if (surveying_) {
    survey_again_ = true;
    return;
  }
  surveying_ = true;
  const auto now = std::make_shared<Inventory>();
  loop_.in_pool([scope = options_.scope, now] { *now = Inventory::take(*scope); }, alive_,
                [this, now] { on_surveyed(std::move(*now)); });
}

void FileWatcher::on_surveyed(Inventory now) {
  surveying_ = false;
  for (const std::string& path : std::exchange(overtaken_, {})) now.copy_from(inventory_, path);
  const std::vector<std::string> changed = Inventory::difference(inventory_, now, /*distrust_fresh=*/!set_);
  inventory_ = std::move(now);
  for (const std::string& path : changed) {
    if (!pending_.contains(path)) note(FileEvent::Saved, path, true);  // else it settles as its events say
  }
  if (std::exchange(survey_again_, false)) survey();
  settle();
}

void FileWatcher::note(FileEvent event, const std::string& path, bool known) {
  const MonotonicTime now = monotonic_now();
  if (pending_.size() < kMostPending) {
    pending_.try_emplace(path, known);
  } else if (!pending_.contains(path)) {
    too_many_ = true;
    return debounce_.saved("", now);
  }
  // An editor that removes its one file is about to put it back; in a folder a removal is a change like any other.
  const bool complete = event == FileEvent::Saved || (event == FileEvent::Removed && !one_file_);
  if (known && early_ == Early::Told) more_ = true;
  if (known && early_ <= Early::Due) early_ = event == FileEvent::Saved ? Early::Due : Early::None;
  complete ? debounce_.saved(path, now) : debounce_.modified(path, now);
}

void FileWatcher::settle() {
  const auto due = debounce_.due();
  if (!due) return;
  const MonotonicTime now = monotonic_now();
  if (*due <= now) return report();
  settle_timer_.start(std::chrono::ceil<Milliseconds>(*due - now), [this] { settle(); });
  if (early_ == Early::Due) report_early();
}

// One file that was there before is saved, whatever came and went beside it. Several are no longer somebody's save.
void FileWatcher::report_early() {
  early_ = Early::Past;
  if (!options_.early || options_.quiet || !set_ || too_many_ || debounce_.writing()) return;
  Changes changes{{}, 1, debounce_.first(), false};
  for (const auto& [path, known] : pending_) {
    if (known) changes.paths.push_back(path);
  }
  if (changes.paths.size() != 1) return;
  early_ = Early::Told;
  const auto call = on_change_;
  call(changes);
}

void FileWatcher::report() {
  Changes changes{{}, 0, debounce_.first(), true, std::exchange(more_, false)};
  for (const auto& [path, known] : std::exchange(pending_, {})) {
    // A poll's own stamps stay: they tell whether the file was written in the moment it was looked at.
    const bool there = set_ ? inventory_.refresh(path) : inventory_.knows(path);
    if (surveying_) overtaken_.insert(path);
    if (!there && !known) continue;  // came and went
    ++changes.count;
    if (changes.paths.size() < kShownPaths) changes.paths.push_back(path);
  }
  debounce_.clear();
  early_ = Early::None;
  settle_timer_.stop();
  if (std::exchange(too_many_, false)) survey();
  if (changes.count == 0) return;
  const auto call = on_change_;
  call(changes);
}

}  // namespace zeroth
