#pragma once
// Writes the lines of generations.jsonl off the loop, in order and each once, and makes them durable, one fsync at a
// time and beside the lines. A disk that does not answer holds up whoever waits for a line no longer than DiskWork
// does; the line itself is kept and written when the disk is back. Owned by Worker; what was told before it goes is
// still written.

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/process/number_note.h"
#include "supervisor/snapshot/disk_work.h"

namespace zeroth {

class LogWriter {
 public:
  using Line = std::function<Status()>;
  using Done = std::function<void(const Status&)>;

  // `sync`: makes durable what is written; null: nothing can. `on_failed`: lines are not written, or may be lost in a
  // power cut; told once until one succeeds.
  LogWriter(Loop& loop, std::function<Status()> sync, std::function<void(const std::string&)> on_failed,
            Milliseconds patience = DiskWork::patience_for(0));
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // `done`, if somebody waits: it is written, or why not; in time in any case (ETIMEDOUT: it is kept), and never from
  // inside the call.
  void write(Line line, Done done = {});
  // Writes it; what is returned is told of it, at the latest when the next such line is written.
  std::shared_ptr<NumberNote> note(Line line);
  // As write() for: all lines so far are durable.
  void sync(Done done = {});

 private:
  // What the pool has of it.
  struct Queue {
    std::mutex mutex;
    std::mutex writing;  // held for as long as lines are being written
    std::deque<Line> lines;
    std::vector<Status> written;  // of those that are not reported yet
  };
  static void drain(Queue& queue);

  void begin_writing();
  void on_written();
  void on_late(const Error& why);
  void begin_sync();
  void on_synced(const Status& synced, const std::vector<Done>& waiting);
  void answer_soon(Done done, const Error& why);
  void tell(bool& told, const Status& outcome, const char* what) const;

  Loop& loop_;
  const std::function<Status()> sync_;
  const std::function<void(const std::string&)> on_failed_;
  const Milliseconds patience_;
  DiskWork writes_, syncs_;
  const std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  using Notes = std::vector<std::shared_ptr<NumberNote>>;
  const std::shared_ptr<Notes> unwritten_ = std::make_shared<Notes>();  // of the pool, as Queue::writing is
  std::deque<Done> writers_;   // one for each line that is not reported yet, in their order
  bool writing_ = false;       // the pool has the queue
  std::optional<Error> late_;  // it does not come back
  std::vector<Done> waiting_;  // for the next fsync
  bool sync_due_ = false;
  bool syncing_ = false;
  bool told_unwritten_ = false;
  bool told_not_durable_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
