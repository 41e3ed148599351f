#pragma once
// One snapshot on its way to disk: the temporary file from its creation to the commit point. Made by the store; every
// call blocks (pool only) and they exclude each other. Destroyed before its commit, it removes the temporary file.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <variant>

#include "common/snapshot_format.h"
#include "common/worker_protocol.h"
#include "supervisor/snapshot/snapshot_folder.h"

namespace zeroth {

// The state of a draft: its text, or the number of bytes that the worker wrote at the offset itself.
using DraftState = std::variant<std::string, std::uint64_t>;

class DraftFile {
 public:
  // Creates the temporary file (O_EXCL, 0600), still empty. `head` is complete but for length and offset.
  static Result<std::shared_ptr<DraftFile>> create(const std::shared_ptr<SnapshotFolder>& folder,
                                                   SnapshotEnvelope head);
  ~DraftFile();

  // For another snapshot, of the same sequence: the temporary file is empty again. False: it has been used, or is not
  // there any more.
  bool begin_again(SnapshotEnvelope head);

  // Allocates the whole file, then writes all of it (over whatever a worker did to the header's place); afterwards only
  // fsync and rename are missing. `schema`: the state's, "" for what the head says. On an error the draft is given up.
  Status write(const DraftState& state, const std::string& schema = "");

  // What is there now is read back and must be what was to be written, the state of a worker's own writing also JSON;
  // then fsync, close, rename, fsync of the folder. On an error the draft is given up: never a second fsync, whose
  // success would mean nothing. After a failure of the last step the file stays under its name; see `renamed`.
  Status commit();

  // Removes the temporary file; nothing after a commit.
  void give_up();

  // A hard link to the file under `name`, so that the rename cannot pull it away from a reader. After write().
  Result<StateFile> link(const std::string& name);

  const SnapshotEnvelope& envelope() const { return envelope_; }  // length is right after write()
  // Where a worker may write the state, of which nothing is there yet.
  StateFile offer() const { return {folder_->path_of(temporary_), envelope_.state_offset, 0}; }
  // It has its final name, whether or not that is durable.
  bool renamed() const { return state_ == State::Renamed; }

 private:
  enum class State {
    Begun,    // the worker may be writing the state
    Written,  // complete in the page cache, blocks allocated
    Renamed,  // under its final name
    GivenUp,  // temporary file removed
  };

  DraftFile(std::shared_ptr<SnapshotFolder> folder, SnapshotEnvelope head);
  Status write_all_parts(const DraftState& state);
  Status check_length(const DraftState& state);
  Status check_written() const;
  Status make_durable();
  void discard();

  const std::shared_ptr<SnapshotFolder> folder_;
  SnapshotEnvelope envelope_;
  const std::string temporary_;
  std::mutex mutex_;
  State state_ = State::Begun;
  bool by_worker_ = false;  // the state is of its own writing: nobody has looked at it
  UniqueFd fd_;
};

}  // namespace zeroth
