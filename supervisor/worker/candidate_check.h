#pragma once
// One `check`: the code is started once for each of some kept snapshots, restores it, is asked nothing else and killed.
// None of these processes ever gets go. Owned by Worker, one at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "common/snapshot_format.h"
#include "supervisor/generation/checkpoint.h"
#include "supervisor/generation/generation.h"

namespace zeroth {

class CandidateCheck {
 public:
  struct Hooks {
    // A process of the code that is checked, not spawned yet.
    std::function<std::shared_ptr<Generation>()> make;
    std::function<void(std::uint64_t sequence, std::function<void(Result<RestoreSource>)>)> fetch;
    // To be reaped; killed already.
    std::function<void(std::shared_ptr<Generation>)> bury;
    // {verdict: ok | rejected (it does not load) | refused (a snapshot), reason, diagnostics, schema, snapshots[]}. May
    // destroy the check. An entry says "migrated" {from, to} where the code turned the state into its own.
    std::function<void(Json report)> on_done;
  };

  // `snapshots`: newest first; if there are none, it is started without state.
  CandidateCheck(Loop& loop, std::vector<SnapshotEnvelope> snapshots, Hooks hooks);
  ~CandidateCheck();

  void begin() { next(); }
  // Kills and buries what is under way; on_done is not called any more.
  void give_up();
  const std::shared_ptr<Generation>& candidate() const { return candidate_; }

 private:
  void next();
  void try_out(RestoreSource source);
  void restore(const RestoreSource& source);
  void end_if_both();
  // Of the snapshot at hand; "" went well.
  void end(const std::string& verdict, const std::string& reason);
  void reject(const std::string& reason);
  void drop_candidate();
  void finish(const std::string& verdict, const std::string& reason);

  Loop& loop_;
  const std::vector<SnapshotEnvelope> snapshots_;
  Hooks hooks_;
  std::size_t at_ = 0;
  std::shared_ptr<Generation> candidate_;
  RestoreSource source_;
  bool loaded_ = false, restored_ = false, ready_ = false, all_well_ = true;
  std::string schema_;  // of the code, once it has loaded
  Json entry_, entries_ = Json::array(), diagnostics_ = Json::array();
  Timer ready_timer_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
