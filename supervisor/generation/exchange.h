#pragma once
// Large states of a worker of another user, which can neither write into the snapshot folder nor read there: they pass
// through files that only we can name, replace or remove, and only that user can open beside us. Owned by whoever set
// the worker up; its generations and their checkpoints use it. Everything is copied on the pool.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/loop/loop.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"
#include "supervisor/process/spawn.h"
#include "supervisor/snapshot/disk_work.h"

namespace zeroth {

class Exchange {
 public:
  // What is read back is read from here, whatever lies under the name.
  struct File {
    std::string path;
    UniqueFd fd;
  };
  // The file is removed when the last copy goes.
  using Handle = std::shared_ptr<const File>;
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // `folder` is ours alone to write to, and outlives the files. The loop outlives every handle.
  Exchange(Loop& loop, std::string folder, RunAs user);

  // An empty file that the worker may write its state into, from the beginning.
  void offer(Done<Handle> done);
  // A copy of the state that the worker may read, from the beginning.
  void hand_out(const StateFile& state, Done<Handle> done);
  // Copies the first `bytes` of an offered file to the length-less place `to`. Fails if there are fewer.
  void take_in(const Handle& from, std::uint64_t bytes, const StateFile& to, Done<void> done);

 private:
  Handle guarded(Handle file) const;
  std::string next_path();

  Loop& loop_;
  const std::string folder_;
  const RunAs user_;
  DiskWork disk_;
  std::uint64_t files_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
