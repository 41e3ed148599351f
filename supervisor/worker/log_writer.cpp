#include "supervisor/worker/log_writer.h"

#include <utility>

namespace zeroth {

LogWriter::LogWriter(Loop& loop, std::function<Status()> sync, std::function<void(const std::string&)> on_failed,
                     Milliseconds patience)
    : loop_(loop),
      sync_(std::move(sync)),
      on_failed_(std::move(on_failed)),
      patience_(patience),
      writes_(loop),
      syncs_(loop) {}

LogWriter::~LogWriter() {
  const std::lock_guard lock(queue_->mutex);
  if (!queue_->lines.empty()) loop_.in_pool([queue = queue_] { drain(*queue); }, [] {});
}

void LogWriter::drain(Queue& queue) {
  const std::lock_guard writing(queue.writing);
  for (;;) {
    Line line;
    {
      const std::lock_guard lock(queue.mutex);
      if (queue.lines.empty()) return;
      line = std::move(queue.lines.front());
      queue.lines.pop_front();
    }
    Status written = line();
    const std::lock_guard lock(queue.mutex);
    queue.written.push_back(std::move(written));
  }
}

void LogWriter::write(Line line, Done done) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->lines.push_back(std::move(line));
  }
  writers_.push_back(late_ ? Done() : done);
  if (late_ && done) answer_soon(std::move(done), *late_);
  if (!writing_) begin_writing();
}

std::shared_ptr<NumberNote> LogWriter::note(Line line) {
  const auto number = std::make_shared<NumberNote>();
  write([line = std::move(line), number, unwritten = unwritten_] {
    unwritten->push_back(number);
    Status status = line();
    if (!status) return status;
    for (const auto& each : std::exchange(*unwritten, {})) each->written();
    return status;
  });
  return number;
}

void LogWriter::begin_writing() {
  writing_ = true;
  writes_.run<void>(
      patience_,
      [queue = queue_]() -> Status {
        drain(*queue);
        return {};
      },
      alive_, [this](const Status& drained) { drained ? on_written() : on_late(drained.error()); },
      [this](const Status&) {
        late_.reset();
        on_written();
      });
}

void LogWriter::on_written() {
  writing_ = false;
  std::vector<Status> written;
  bool more = false;
  {
    const std::lock_guard lock(queue_->mutex);
    written.swap(queue_->written);
    more = !queue_->lines.empty();
  }
  std::vector<Done> done;
  for (const Status& one : written) {
    tell(told_unwritten_, one, "");
    done.push_back(std::move(writers_.front()));
    writers_.pop_front();
  }
  if (more) begin_writing();
  if (sync_due_ && !writing_ && !syncing_) begin_sync();
  const std::weak_ptr<void> alive = alive_;
  for (std::size_t i = 0; i < done.size() && !alive.expired(); ++i) {
    if (done[i]) done[i](written[i]);
  }
}

// Nobody waits for it any more; what it was given is written when it comes back.
void LogWriter::on_late(const Error& why) {
  late_ = why;
  tell(told_unwritten_, fail(why), "what generations there are is written when the disk answers: ");
  std::vector<Done> done = std::exchange(waiting_, {});
  for (Done& one : writers_) {
    if (one) done.push_back(std::exchange(one, {}));
  }
  const std::weak_ptr<void> alive = alive_;
  for (std::size_t i = 0; i < done.size() && !alive.expired(); ++i) {
    if (done[i]) done[i](fail(why));
  }
}

void LogWriter::sync(Done done) {
  sync_due_ = true;
  if (late_ && done) {
    answer_soon(std::move(done), *late_);
  } else if (done) {
    waiting_.push_back(std::move(done));
  }
  if (!writing_ && !syncing_) begin_sync();
}

void LogWriter::begin_sync() {
  syncing_ = true;
  sync_due_ = false;
  syncs_.run<void>(
      patience_, [sync = sync_] { return sync ? sync() : Status(); }, alive_,
      [this, waiting = std::exchange(waiting_, {})](const Status& synced) { on_synced(synced, waiting); });
}

void LogWriter::on_synced(const Status& synced, const std::vector<Done>& waiting) {
  syncing_ = false;
  tell(told_not_durable_, synced, "a power cut may forget what generations there were: ");
  if (sync_due_ && !writing_) begin_sync();
  const std::weak_ptr<void> alive = alive_;
  for (std::size_t i = 0; i < waiting.size() && !alive.expired(); ++i) waiting[i](synced);
}

void LogWriter::answer_soon(Done done, const Error& why) {
  loop_.post([done = std::move(done), why, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) done(fail(why));
  });
}

void LogWriter::tell(bool& told, const Status& outcome, const char* what) const {
  if (!outcome && !told) on_failed_(what + outcome.error().message);
  told = !outcome.has_value();
}

}  // namespace zeroth
