#pragma once
// The states that workers wrote when their supervisor died: emergency-<generation>.json in a worker's folder. Read by
// the next supervisor, after AliveSweep and beside the snapshots.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace zeroth {

struct EmergencyFile {
  std::uint64_t generation = 0;
  std::string path;
};

// "<folder>/emergency-<generation>.json", for $ZEROTH_EMERGENCY_FILE.
std::string emergency_file_of(const std::string& folder, std::uint64_t generation);

// Those in the folder, highest generation first; none in one that is not there.
Result<std::vector<EmergencyFile>> find_emergency_files(const std::string& folder);

// Size of the temporary files that become the emergency file of this generation (their names contain its name), among
// the first 1,000 names.
std::uint64_t emergency_bytes_under_way(const std::string& folder, std::uint64_t generation);

struct EmergencyChoice {
  std::optional<EmergencyFile> adopted;  // stays in place: its user removes it once it is a snapshot
  std::vector<std::string> stale;        // new paths of the others, "*.stale"
};

// Chooses the file of the highest generation in the folders that `parses` and is not older than `newest_snapshot` (the
// generation that wrote the newest valid snapshot; 0 = there is none), renames all others, and removes what is half
// written: nobody writes any more. `parses` may fail: what cannot be read now is neither adopted nor renamed, and so is
// there for the next start.
Result<EmergencyChoice> choose_emergency_file(const std::vector<std::string>& folders, std::uint64_t newest_snapshot,
                                              const std::function<Result<bool>(const EmergencyFile&)>& parses);

}  // namespace zeroth
