#pragma once
// What happens before the first spawn: nobody of a dead supervisor may still run, the store is opened, and a state that
// an orphaned worker wrote in an emergency becomes the newest snapshot. Owned by Worker, once.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/process/alive_lock.h"
#include "supervisor/process/emergency_files.h"
#include "supervisor/process/worker_place.h"
#include "supervisor/snapshot/generation_log.h"
#include "supervisor/snapshot/snapshot_store.h"

namespace zeroth {

class Recovery {
 public:
  struct Hooks {
    std::function<void(const std::string&)> on_note;   // for people: what is waited for, what was found
    std::function<void(const Skipped&)> on_set_aside;  // later searches do not see it any more
    std::function<void(Status)> on_done;               // an error: the state folder cannot be used
  };

  // `places`: where its processes may have left files. `head`: what the adopted snapshot is to say of itself, but for
  // generation, schema, program hash and cause.
  Recovery(Loop& loop, std::string worker_folder, std::vector<WorkerPlace> places, SnapshotStore& store,
           const GenerationLog& log, SnapshotEnvelope head, Hooks hooks);

 private:
  void open_store();
  void find_newest();
  void choose(std::uint64_t newest_generation);
  void adopt(const EmergencyFile& file);
  void commit(const EmergencyFile& file, const SnapshotStore::Draft& draft, DraftState state);
  void finish(Status status);

  Loop& loop_;
  const std::string folder_;
  const std::vector<WorkerPlace> places_;
  SnapshotStore& store_;
  const GenerationLog& log_;
  SnapshotEnvelope head_;
  Hooks hooks_;
  std::unique_ptr<AliveSweep> sweep_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
