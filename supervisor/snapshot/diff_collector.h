#pragma once
// What a comparison of two states has found, kept small enough for one control message. Used by state_diff.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/json.h"
#include "common/result.h"
#include "supervisor/snapshot/json_scan.h"

namespace zeroth {

// The first 1,000 differences as text allows for one control message, the counts of all. A long value is shown as
// {"$shortened":"<its beginning>","bytes":<of all of it>}; a pointer of more than 512 bytes by beginning, size and
// hash.
struct StateDiff {
  Json added = Json::object();    // "/pointer" → value in b
  Json removed = Json::object();  // "/pointer" → value in a
  Json changed = Json::object();  // "/pointer" → {"from", "to"}
  std::uint64_t added_count = 0, removed_count = 0, changed_count = 0;
};
// {added, removed, changed, total, counts:{added, removed, changed}}
Json to_json(const StateDiff& diff);

// A value of one of the two texts.
struct StateSpan {
  const JsonScan* text = nullptr;
  std::uint64_t begin = 0, end = 0;
};

class DiffCollector {
 public:
  // Each fails only if the value cannot be read.
  Status added(const std::string& pointer, const StateSpan& value);
  Status removed(const std::string& pointer, const StateSpan& value);
  Status changed(const std::string& pointer, const StateSpan& from, const StateSpan& to);
  StateDiff take() { return std::move(diff_); }

 private:
  Status put(Json& into, const std::string& pointer, const StateSpan& value, const StateSpan* to);
  Result<Json> shown(const StateSpan& value);

  StateDiff diff_;
  std::uint64_t shown_ = 0;
  std::size_t bytes_ = 0, members_ = 0;
};

}  // namespace zeroth
