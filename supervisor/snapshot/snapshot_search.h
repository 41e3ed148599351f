#pragma once
// Finds the state to go on from: the newest snapshot that is whole, ours and not in quarantine. An imported one is
// never found by that, only if the search is for this sequence alone. Blocks: the store calls it on the pool.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/snapshot_format.h"
#include "common/worker_protocol.h"
#include "supervisor/snapshot/quarantine_file.h"
#include "supervisor/snapshot/snapshot_folder.h"

namespace zeroth {

// after < sequence <= to; empty by default.
struct SequenceRange {
  std::uint64_t after = 0, to = 0;
  bool contains(std::uint64_t sequence) const { return after < sequence && sequence <= to; }
};

struct SearchOptions {
  std::uint64_t before = kMaxSequence + 1;  // only sequences below
  std::optional<std::uint64_t> exactly;     // this one and no other
  SequenceRange aside;                      // not these
  bool adopt = false;                       // take those of another identity too
  std::optional<SchemaRule> takes;          // none that this code does not take
  std::optional<Milliseconds> max_age;      // counted back from `now`
  WallTime now{};
};

enum class SkipReason {
  Corrupt,      // renamed to *.corrupt
  Newer,        // of a later format version
  Foreign,      // of another identity
  Owner,        // a file of another user, which we do not trust with our state; left as it is
  Quarantined,  // refused or failed on earlier
  Schema,       // of one that the code neither has nor migrates
  TooOld,       // beyond max_age; ends the search
  Unreadable,   // the disk did not let us
};
std::string_view to_string(SkipReason reason);
// Told once: later searches pass it over.
inline bool is_set_aside(SkipReason reason) {
  return reason == SkipReason::Corrupt || reason == SkipReason::Owner;
}

struct Skipped {
  std::uint64_t sequence = 0;
  SkipReason reason = SkipReason::Unreadable;
  std::string file;     // its name now, for people
  std::string message;  // one line
  int code = 0;         // errno, if it is Unreadable
};

// A state that fits into a message comes as its text, every other as a file: a hard link that the caller drops.
struct Restorable {
  SnapshotEnvelope envelope;
  std::string state;
  std::optional<StateFile> file;
};

struct SearchResult {
  std::optional<Restorable> found;
  std::vector<Skipped> skipped;  // newest first: all that came before `found`
};

// `newest_first`: what is in the folder; `identities`: whose states are ours; `link_name`: for the hard link, if one is
// needed. Fails where the machine lacks memory or descriptors: what could not be looked at for that is not passed over.
Result<SearchResult> search_snapshots(SnapshotFolder& folder, const std::vector<std::uint64_t>& newest_first,
                                      const std::vector<std::string>& identities, const Quarantine& quarantine,
                                      const SearchOptions& options, const std::string& link_name);

// Removes an expired snapshot, unless it is not ours to remove: of another identity or a newer version (left
// untouched), or corrupt (set aside, never deleted). Says so then.
std::optional<Skipped> remove_expired(SnapshotFolder& folder, std::uint64_t sequence,
                                      const std::vector<std::string>& identities);

}  // namespace zeroth
