#pragma once
// fleet.toml: which workers there are and how each is run. Text in, options or mistakes with their places out; what a
// key means is what the option of that name means on the command line. Starts nothing and opens nothing.

#include <string>
#include <string_view>
#include <vector>

#include "common/diagnostic.h"
#include "supervisor/options.h"

namespace zeroth {

struct FleetWorker {
  std::string name;
  std::string group = {};  // of replicas: the name that they have in the file; else ""
  Options options;
  std::vector<std::string> depends_on;
};

struct FleetFile {
  Options supervisor;                // `base` with the keys that stand above all workers
  std::vector<FleetWorker> workers;  // as they stand in the file; at least one
};

// Largest file that is read.
inline constexpr std::size_t kMaxFleetFile = std::size_t(4) << 20;

// `path` of the file, absolute: relative paths in it are relative to its folder. `base`: what the command line and the
// environment say, which counts for more than the keys above all workers.
tl::expected<FleetFile, Diagnostics> parse_fleet_file(std::string_view text, const std::string& path,
                                                      const Options& base);

}  // namespace zeroth
