#pragma once
// What the worker's commands read of a VM between two steps. Nothing here changes it; pointers live until it changes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "worker/vm/vm.h"

namespace zeroth {

struct Page {
  std::size_t offset = 0;
  std::size_t limit = 20;
};

struct StateRow {
  std::string_view name;
  double divergence = 0;
  int tier = -1;
  std::uint64_t support = 0;
};
std::vector<StateRow> state_list(const Vm& vm, Page page);

// One state with its entry in every dimension. ENOENT if it is not declared.
struct StateDetail {
  struct Entry {
    std::uint64_t id = 0;
    int entry = 0;
    bool active = false, resolved = false;
  };
  StateRow row;
  std::uint64_t reinforced_at = 0;
  std::vector<Entry> dimensions;
};
Result<StateDetail> state_detail(const Vm& vm, std::string_view name);

// The program's alignments in order, then the overlay's.
struct AlignmentRow {
  std::string_view a, b;
  double strength = 0;
  bool live = false;
};
struct AlignmentList {
  std::size_t total = 0;
  std::vector<AlignmentRow> rows;
};
AlignmentList align_list(const Vm& vm, Page page);

// Newest first. `total` counts all there ever were in the log (collapses and merges share one), `retained` those of the
// asked type still kept.
struct ObservationHistory {
  std::uint64_t total = 0;
  std::size_t retained = 0;
  std::vector<const Record*> records;
};
struct LineageHistory {
  std::uint64_t total = 0;
  std::size_t retained = 0;
  std::vector<const LineageEntry*> records;
};
ObservationHistory observation_history(const Vm& vm, Page page);
LineageHistory lineage_history(const Vm& vm, LineageEntry::Kind kind, Page page);

// Number of states and the sum of their divergences.
struct Potential {
  std::size_t states = 0;
  double sum = 0;
};
Potential potential(const Vm& vm);

// ENOENT if there is none (or no longer) of that id.
Result<const Dimension*> find_dimension(const Vm& vm, std::uint64_t id);

}  // namespace zeroth
