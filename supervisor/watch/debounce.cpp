#include "supervisor/watch/debounce.h"

#include <algorithm>

namespace zeroth {

Milliseconds default_quiet(bool one_file, bool recreate) {
  if (one_file) return Milliseconds(0);
  return Milliseconds(recreate ? 100 : 20);
}

void Debounce::saved(const std::string& path, MonotonicTime now) {
  if (!first_) first_ = now;
  last_ = now;
  open_.erase(path);
}

void Debounce::modified(const std::string& path, MonotonicTime now) {
  if (!first_) first_ = now;
  last_ = now;
  open_.try_emplace(path, now);
}

std::optional<MonotonicTime> Debounce::due() const {
  if (!first_) return std::nullopt;
  MonotonicTime settled = last_ + times_.quiet;
  for (const auto& [path, since] : open_) settled = std::max(settled, since + times_.open);
  return std::min(settled, *first_ + times_.longest);
}

void Debounce::clear() {
  first_.reset();
  open_.clear();
}

}  // namespace zeroth
