#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/generation/generation.h"

namespace zeroth {

// What becomes of an environment that has changed. At most one of asked and reloading.
struct EnvWork {
  std::vector<std::string> files;                                         // that changed since all was settled
  std::optional<MonotonicTime> began;                                     // when the first of them did
  std::vector<std::function<void(tl::expected<Json, Refusal>)>> replies;  // wait until it is settled
  const Generation* asked = nullptr;                                      // the live one has not answered `env` yet
  bool reloading = false;                                                 // a reload for it is asked for or under way
  std::optional<EnvMap> refused;                                          // not tried again by itself
  std::optional<EnvMap> unfit;              // a generation that was started with it did not go live
  std::optional<EnvMap> spawned;            // of the newest generation
  std::optional<EnvMap> live, live_before;  // of the last one that was sent go, and of the one before it
};

}  // namespace zeroth
