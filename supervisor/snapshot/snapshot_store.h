#pragma once
// The only writer of `<state>/<worker>/snapshots/`, under the instance lock. Used on the loop's thread; all file work
// runs on the pool and every callback comes on the loop, never from inside the call. If the store is destroyed first,
// work in flight is finished and its callback dropped. What writes, and search, is answered in time also if the disk is
// not: ETIMEDOUT after 10 s and a second for each 10 MB; then all that writes fails at once until the disk is back.
//
// One snapshot: begin → (the worker writes its state) → write → link_for_restore, if somebody reads it meanwhile →
// commit. Several drafts may be under way; calls on one draft come one at a time, but abandon, which may come always.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/loop/loop.h"
#include "supervisor/snapshot/disk_work.h"
#include "supervisor/snapshot/draft_file.h"
#include "supervisor/snapshot/pin_file.h"
#include "supervisor/snapshot/retention.h"
#include "supervisor/snapshot/snapshot_search.h"

namespace zeroth {

// A save failed because the disk is full.
bool is_full(const Error& error);

class SnapshotStore {
 public:
  template <class T>
  using Done = std::function<void(T)>;

  // A snapshot under way. Dropping the last copy, on the loop, abandons it: its file is removed on the pool.
  struct Draft {
    std::uint64_t sequence = 0;
    StateFile file;  // offered to the worker; length 0
    std::shared_ptr<DraftFile> handle;
  };
  struct Committed {
    std::uint64_t sequence = 0;
    std::uint64_t bytes = 0;  // of the state
    double ms = 0;            // from the call of commit to the commit point
  };
  struct Rejected {
    std::string file;
    std::string reason;
  };
  struct Page {
    std::size_t total = 0;
    std::vector<SnapshotEnvelope> envelopes;  // newest first; files with a broken frame are left out
  };
  struct Detail {
    SnapshotEnvelope envelope;
    std::string path;
    std::optional<std::string> state;  // up to 512 KiB
  };

  // `worker_folder`: `<state>/<worker>`; `identity`: what the states belong to.
  SnapshotStore(Loop& loop, std::string worker_folder, std::string identity, RetentionRules rules = {});

  // The disk answers again after it had not.
  void set_on_back(std::function<void()> on_back) { on_back_ = std::move(on_back); }

  // States of these are ours, too: of programs that were taken over. Before open.
  void accept(const std::vector<std::string>& former) {
    identities_.insert(identities_.end(), former.begin(), former.end());
  }

  // Makes and checks the folder, clears what dead processes left, learns names and quarantine. Again after the folder
  // was lost. Every other call fails before it has succeeded once.
  void open(Done<Status> done);

  // A sequence that a receipt mentions: never given out again.
  void note_sequence(std::uint64_t sequence);
  std::uint64_t next_sequence() const { return next_; }

  // `head`: all but sequence, length and state_offset. The sequence is used up even if this fails.
  void begin(SnapshotEnvelope head, Done<Result<Draft>> done);
  // Afterwards all bytes are allocated and written. An error (with its errno) gives the draft up; so for commit.
  // `schema`: of the state, as far as it was not known when the draft was begun.
  void write(const Draft& draft, DraftState state, Done<Status> done, const std::string& schema = "");
  void commit(const Draft& draft, Done<Result<Committed>> done);
  void abandon(Draft draft);
  // Nothing was written into it: it is the next draft, unless a newer one has been begun.
  void put_back(Draft draft);

  // A second name for a written draft, which the rename leaves alone; drop_link removes it (any path it did not make is
  // ignored).
  void link_for_restore(const Draft& draft, Done<Result<StateFile>> done);
  void drop_link(const StateFile& file);

  // What to go on from; commits under way end first, they may be it. Corrupt ones are renamed, those of other users are
  // not; both land in rejected() and are passed over from then on.
  void search(const SearchOptions& options, Done<Result<SearchResult>> done);
  // Never restored again; the file stays. Holds in this process even if the entry could not be written.
  void quarantine(std::uint64_t sequence, std::string reason, Done<Status> done);

  // A pinned snapshot is never pruned, also not by shrink. Both are durable when answered; an error means that it holds
  // in this process only, but for ENOENT: there is no such snapshot. Pinning twice, or unpinning what is not pinned,
  // succeeds.
  void pin(std::uint64_t sequence, Done<Status> done);
  void unpin(std::uint64_t sequence, Done<Status> done);
  bool is_pinned(std::uint64_t sequence) const { return pins_.contains(sequence); }

  // What the life that goes on began from, 0: nothing of the kind. Never pruned: what is newer may have been put aside.
  void keep(std::uint64_t begun_from) { begun_from_ = begun_from; }
  // A reload began from this one and dropped something: it stays as long as there is room (RetentionRules).
  void keep_before_loss(std::uint64_t sequence) { before_losses_.insert(sequence); }
  // Not pruned as long as somebody has the result: it is about to be what a life begins from.
  std::shared_ptr<void> keep_while(std::uint64_t sequence);

  // Is its file still there, with a frame that can be read? ENOENT: there is no such snapshot.
  void look_at(std::uint64_t sequence, Done<Status> done) const;
  void list(std::size_t offset, std::size_t limit, Done<Result<Page>> done) const;
  void read(std::uint64_t sequence, Done<Result<Detail>> done) const;

  // The next three read or copy whole states and go on one at a time: EBUSY while another one does. ENOENT: there is no
  // such snapshot.
  //
  // What differs between the states of two snapshots: StateDiff as JSON, with the envelopes as "a" and "b".
  void diff(std::uint64_t a, std::uint64_t b, Done<Result<Json>> done);
  // A copy of the snapshot's file at an absolute path; see export_snapshot for what it promises. Gives its size.
  void export_file(std::uint64_t sequence, std::string path, Done<Result<std::uint64_t>> done);
  // Takes such a file as the next sequence, with this worker's name and identity, generation 0, and what it was before
  // as `imported`; all else stays. It is pinned, and no search finds it that is not for it alone: what lives, and what
  // a crash restarts from, is not touched. Gives its envelope.
  void import_file(std::string path, std::string worker, Done<Result<SnapshotEnvelope>> done);

  // What can be done about a failed save before the next try: on a full disk room is made for so many bytes, a folder
  // that is gone or cannot be entered is opened again.
  void mend(const Error& why, std::uint64_t bytes, Done<Status> done);
  // Makes room on a full disk for so many bytes: the oldest ones go, but for pinned ones and the two newest valid ones.
  void shrink(std::uint64_t bytes, Done<Status> done);

  // The newest that is committed, or was verified by a search.
  const std::optional<SnapshotEnvelope>& newest() const { return newest_; }
  // The newest of a schema that `takes` accepts; nullopt if there is none.
  std::optional<std::uint64_t> newest_of(const SchemaRule& takes) const;
  std::size_t count() const { return index_.size(); }
  const std::vector<Rejected>& rejected() const { return rejected_; }
  // Why it is not known what was pinned before; "" if it is. Nothing that was there then is pruned by this process.
  const std::string& pins_lost() const { return pins_lost_; }

 private:
  struct Opened;
  struct Import;

  // Runs `work` on the pool with the open folder, then `done` on the loop; fails without a folder.
  template <class T>
  void run(std::function<Result<T>(SnapshotFolder&)> work, Done<Result<T>> done) const;
  // The same, answered in time.
  template <class T>
  void run_in_time(DiskWork& disk, std::uint64_t bytes, std::function<Result<T>(SnapshotFolder&)> work,
                   Done<Result<T>> done, Done<Result<T>> late = {});
  // The same for what clients ask, one at a time: many questions must not keep a snapshot from being written.
  template <class T>
  void query(std::function<Result<T>(SnapshotFolder&)> work, Done<Result<T>> done) const;

  // `known`: the index when the folder was asked for; what has come since is kept.
  using Index = std::map<std::uint64_t, RetentionEntry>;  // by sequence
  void on_opened(Opened opened, const Index& known);
  void on_committed(const DraftFile& file, bool durable);
  void end_commit();
  void note_rejected(const std::vector<Skipped>& skipped);
  void note_valid(const SnapshotEnvelope& envelope);
  std::vector<std::uint64_t> newest_first() const;
  bool is_kept(std::uint64_t sequence) const;
  void write_pins(Done<Status> done);
  // Null while another job has it; it ends with the last copy.
  std::shared_ptr<void> begin_job();
  void copy_import(const std::shared_ptr<Import>& import);
  void commit_import(const std::shared_ptr<Import>& import);
  void end_import(const std::shared_ptr<Import>& import, Result<SnapshotEnvelope> outcome);
  // Forgets what is expired and removes it on the pool.
  void prune(const RetentionRules& rules, Done<Status> done);
  std::vector<RetentionEntry> entries_newest_first();
  void remove(const std::vector<std::uint64_t>& expired, Done<Status> done);
  std::string next_link_name(std::uint64_t sequence);

  Loop& loop_;
  const std::string worker_folder_;
  std::vector<std::string> identities_;  // whose states are ours: our own, then those taken over
  std::shared_ptr<SnapshotFolder> folder_;
  std::uint64_t next_ = 1;
  std::shared_ptr<DraftFile> unused_;  // of sequence next_ - 1
  std::uint64_t links_ = 0;
  int commits_running_ = 0;
  std::vector<std::function<void()>> searches_;  // wait for them
  const RetentionRules rules_;
  Index index_;
  std::optional<SnapshotEnvelope> newest_;
  std::vector<Rejected> rejected_;
  Quarantine quarantine_;
  std::shared_ptr<QuarantineFile> quarantine_file_;
  mutable Lane queries_{loop_};
  std::function<void()> on_back_;
  DiskWork writes_{loop_, [this] {
                     if (on_back_) on_back_();
                   }};
  DiskWork searching_{loop_};
  Pins pins_;  // of what is in the index
  Pins held_;  // may have been pinned: nobody knows
  std::string pins_lost_;
  std::uint64_t begun_from_ = 0;
  std::set<std::uint64_t> before_losses_;
  std::vector<std::weak_ptr<std::uint64_t>> kept_while_;
  std::uint64_t pins_version_ = 0;
  std::shared_ptr<PinFile> pin_file_;
  std::weak_ptr<void> job_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

template <class T>
void SnapshotStore::run(std::function<Result<T>(SnapshotFolder&)> work, Done<Result<T>> done) const {
  auto result = std::make_shared<Result<T>>(fail("the snapshot folder is not open", ENOENT));
  loop_.in_pool(
      [folder = folder_, work = std::move(work), result] {
        if (folder) *result = work(*folder);
      },
      alive_, [done = std::move(done), result] { done(std::move(*result)); });
}

template <class T>
void SnapshotStore::run_in_time(DiskWork& disk, std::uint64_t bytes, std::function<Result<T>(SnapshotFolder&)> work,
                                Done<Result<T>> done, Done<Result<T>> late) {
  disk.run<T>(
      DiskWork::patience_for(bytes),
      [folder = folder_, work = std::move(work)]() -> Result<T> {
        return folder ? work(*folder) : fail("the snapshot folder is not open", ENOENT);
      },
      alive_, std::move(done), std::move(late));
}

}  // namespace zeroth
