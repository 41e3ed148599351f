#include "supervisor/worker/changed_defaults.h"

#include <string>

#include "common/json_fields.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

constexpr std::size_t kLongest = 64;  // bytes of a value that is shown; of longer defaults only a hash is announced

Json shown(std::string_view text) {
  const bool is_hash = text.size() == kLongest && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return text.empty() || text.size() > kLongest || is_hash ? Json() : Json(std::string(text));
}

}  // namespace

Json changed_defaults(const Json& before, const Json& after, std::string_view state) {
  Json changed = Json::array();
  if (!before.is_object() || !after.is_object()) return changed;
  for (const auto& [key, to] : after.items()) {
    const Json* from = find_member(before, key);
    if (from == nullptr || !from->is_string() || !to.is_string() || *from == to) continue;
    const std::string_view live = json_span(state, key);
    if (!state.empty() && live.empty()) continue;  // not in the state: the new default applies
    changed.push_back({{"key", key},
                       {"from", shown(from->get_ref<const std::string&>())},
                       {"to", shown(to.get_ref<const std::string&>())},
                       {"live", shown(live)}});
  }
  return changed;
}

}  // namespace zeroth
