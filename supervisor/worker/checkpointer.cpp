#include "supervisor/worker/checkpointer.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

namespace zeroth {
namespace {

using namespace std::chrono_literals;

constexpr double kLongestPauseMs = 60'000;    // a worker may say anything
constexpr Milliseconds kFirstDeadline = 10s;  // while nobody knows how large the state is
constexpr auto kLookEvery = 10s;              // at the file of the newest snapshot, while nothing changes
constexpr std::uint64_t kRoom = 1 << 20;      // bytes made free on a full disk beside two of the last state

Milliseconds deadline_for(std::uint64_t bytes) {
  if (bytes == 0) return kFirstDeadline;
  return Milliseconds(1'000 + static_cast<std::int64_t>(bytes / 10'000));
}

}  // namespace

Checkpointer::Checkpointer(Loop& loop, SnapshotStore& store, const CheckpointPace& pace, bool young, Hooks hooks)
    : store_(store), pace_(pace), young_(young), hooks_(std::move(hooks)), timer_(loop) {}

void Checkpointer::begin(bool durable) {
  live_ = lives_ = true;
  answered_ = 0;
  const bool never_saved = !durable && !durable_at_;
  if (durable || never_saved) durable_at_ = monotonic_now();
  if (last_cut_ == MonotonicTime{}) last_cut_ = monotonic_now();  // else the interval runs on from the cut before
  std::move(before_cut_.begin(), before_cut_.end(), std::back_inserter(next_waiting_));
  before_cut_.clear();
  if (!next_waiting_.empty()) return take_next();
  if (never_saved && pace_.interval.count() > 0) return take("periodic", {});  // there is nothing to go back to yet
  schedule();
}

void Checkpointer::pause() {
  lives_ = false;
  hold();
}

void Checkpointer::hold() {
  live_ = false;
  answered_ = 0;
  timer_.stop();
  current_.reset();
  // Whoever waited is served by the cut that is taken now, or else by the next snapshot: both are cut after they asked.
  std::move(current_waiting_.begin(), current_waiting_.end(), std::back_inserter(before_cut_));
  std::move(next_waiting_.begin(), next_waiting_.end(), std::back_inserter(before_cut_));
  current_waiting_.clear();
  next_waiting_.clear();
}

void Checkpointer::fail_waiting(const std::string& reason) {
  std::vector<Done> waiting = std::exchange(next_waiting_, {});
  std::move(before_cut_.begin(), before_cut_.end(), std::back_inserter(waiting));
  before_cut_.clear();
  for (const Done& done : waiting) done(fail(reason));
}

void Checkpointer::request(const std::string& cause, Done done) {
  next_waiting_.push_back(std::move(done));
  next_cause_ = cause;
  if (live_ && !current_) take_next();
}

void Checkpointer::try_again() {
  if (live_ && !current_) take("periodic", {});
}

void Checkpointer::take_next() {
  take(next_cause_, std::exchange(next_waiting_, {}));
}

void Checkpointer::take(const std::string& cause, std::vector<Done> waiting) {
  timer_.stop();
  last_cut_ = monotonic_now();
  current_waiting_ = std::move(waiting);
  current_ = hooks_.make(cause);
  Checkpoint* current = current_.get();
  // The callbacks hold nothing: a checkpoint that is dropped calls nobody.
  current->take({false, may_be_unchanged(), deadline_for(last_bytes_)}, [this, current, cause](Status taken) {
    if (!taken) return finish(cause, std::exchange(current_waiting_, {}), fail(taken.error()));
    last_pause_ms_ = std::clamp(current->pause_ms(), 0.0, kLongestPauseMs);
    if (current->unchanged() && current_waiting_.empty()) return on_unchanged(cause);
    current->write(false, [this, current, cause](Status written) {
      if (!written) return finish(cause, std::exchange(current_waiting_, {}), fail(written.error()));
      current->commit([this, cause](const Result<Committed>& committed) {
        finish(cause, std::exchange(current_waiting_, {}), committed);
      });
    });
  });
}

// A write is spared only where nobody waits for it, and only from a worker whose last answer was committed and is still
// the newest snapshot.
bool Checkpointer::may_be_unchanged() const {
  return !young_ && current_waiting_.empty() && answered_ != 0 && store_.newest() &&
         store_.newest()->sequence == answered_;
}

// The newest snapshot stands for the state, if its file is still there; else the state is asked for.
void Checkpointer::on_unchanged(const std::string& cause) {
  const std::uint64_t newest = store_.newest() ? store_.newest()->sequence : 0;
  if (newest != 0 && newest == answered_ && monotonic_now() < looked_at_ + kLookEvery)
    return finish(cause, {}, Committed{newest, last_bytes_, 0});
  looked_at_ = monotonic_now();
  store_.look_at(newest, [this, cause, newest, of = std::weak_ptr<Checkpoint>(current_)](const Status& there) {
    if (of.expired() || of.lock() != current_) return;
    if (there) return finish(cause, std::exchange(current_waiting_, {}), Committed{newest, last_bytes_, 0});
    if (answered_ == 0) return finish(cause, std::exchange(current_waiting_, {}), fail(there.error()));
    answered_ = 0;
    take(cause, std::exchange(current_waiting_, {}));
  });
}

void Checkpointer::finish(const std::string& cause, const std::vector<Done>& waiting,
                          const Result<Committed>& committed) {
  const std::shared_ptr<Checkpoint> finished = std::exchange(current_, nullptr);
  const bool saved = committed && !finished->unchanged();
  if (saved) last_bytes_ = finished->bytes();
  if (saved || !committed) answered_ = saved ? committed->sequence : 0;
  note(committed, finished->taken_at());
  if (saved) hooks_.on_committed(*committed, cause);
  for (const Done& done : waiting) done(committed);
  if (!live_ || current_) return;
  if (!next_waiting_.empty()) return take_next();
  schedule();
}

void Checkpointer::on_cut_committed(const Result<Committed>& committed, MonotonicTime cut) {
  note(committed, cut);
  last_cut_ = cut;
  if (!committed) return;
  last_bytes_ = committed->bytes;
  std::vector<Done> waiting = std::exchange(before_cut_, {});
  for (const Done& done : waiting) done(committed);
}

void Checkpointer::note(const Result<Committed>& committed, MonotonicTime cut) {
  if (committed) {
    failures_ = 0;
    shrunk_ = false;
    if (!durable_at_ || cut > *durable_at_) durable_at_ = cut;
    if (!std::exchange(degraded_, "").empty()) hooks_.on_health("");
    return;
  }
  if (committed.error().code == EBUSY) return;  // ended for a cut
  ++failures_;
  const bool room_made = is_full(committed.error()) && std::exchange(shrunk_, true);
  if (!room_made) store_.mend(committed.error(), room(), [](const Status&) {});
  const bool first = degraded_.empty();
  degraded_ = committed.error().message;
  if (first) hooks_.on_health(degraded_);
}

double Checkpointer::loss_window_s() const {
  if (!lives_ || !durable_at_) return 0;
  return std::chrono::duration<double>(monotonic_now() - *durable_at_).count();
}

std::uint64_t Checkpointer::room() const {
  return 2 * last_bytes_ + kRoom;
}

std::optional<double> Checkpointer::since_durable_s() const {
  if (!durable_at_ || !store_.newest()) return std::nullopt;
  return std::chrono::duration<double>(monotonic_now() - *durable_at_).count();
}

void Checkpointer::schedule() {
  if (pace_.interval.count() == 0 && failures_ == 0) return;
  const Milliseconds gap = gap_after({last_pause_ms_, last_bytes_, failures_}, pace_);
  const auto elapsed = std::chrono::duration_cast<Milliseconds>(monotonic_now() - last_cut_);
  timer_.start(std::max(Milliseconds(0), gap - elapsed), [this] {
    if (live_ && !current_) take("periodic", {});
  });
}

}  // namespace zeroth
