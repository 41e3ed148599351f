#pragma once
// What a fuzz target promises, checked in every build.

#include <cstdlib>

namespace zeroth::fuzz {

inline void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace zeroth::fuzz
