#pragma once
// What a start or a reload is to bring where that is not simply the code on disk with the living state: a rollback, or
// a restart that leaves state behind.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/generation/checkpoint.h"
#include "supervisor/worker/content.h"

namespace zeroth {

struct Aim {
  enum class State {
    Living,       // the cut of the live one, or else the newest snapshot
    Fresh,        // none
    WithoutKeys,  // the living state but for fresh_keys, for which the code's defaults apply
    Snapshot,     // source
  };
  State state = State::Living;
  RestoreSource source;  // fetched when it was chosen: later it may be pruned
  std::vector<std::string> fresh_keys;

  std::optional<std::uint64_t> generation;  // gone back to (0: of an imported snapshot); none: this is no rollback
  std::optional<Content> code;              // of a rollback: kept code that runs instead of the present one

  bool is_rollback() const { return generation.has_value(); }
  // The present state is pinned before anything else is restored.
  bool puts_aside() const { return is_rollback() || state != State::Living; }
};

}  // namespace zeroth
