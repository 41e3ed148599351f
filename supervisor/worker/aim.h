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

  bool rollback = false;
  std::uint64_t generation = 0;  // gone back to
  std::optional<Content> code;   // of a rollback: kept code that runs instead of the present one

  bool release = false;  // code on disk that is held back is started, too

  // The present state is pinned before anything else is restored.
  bool puts_aside() const { return rollback || state != State::Living; }
};

}  // namespace zeroth
