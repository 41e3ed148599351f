#include "worker/language/error_list.h"

#include <algorithm>
#include <iterator>

namespace zeroth {

Diagnostic* ErrorList::add(std::uint32_t line, std::string_view place) {
  const char* at = place.data();
  if (errors_.size() == capacity_) {
    if (at >= errors_.back().at) return nullptr;
    errors_.pop_back();
  }
  const auto behind = std::upper_bound(errors_.begin(), errors_.end(), at,
                                       [](const char* place_at, const Entry& entry) { return place_at < entry.at; });
  return &errors_.insert(behind, {at, diagnostic_at(source_, line, place)})->diagnostic;
}

Diagnostics ErrorList::take() && {
  Diagnostics taken;
  for (Entry& entry : errors_) taken.push_back(std::move(entry.diagnostic));
  return taken;
}

}  // namespace zeroth
