#include "supervisor/generation/receipt.h"

#include <algorithm>

#include "common/json_fields.h"

namespace zeroth {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json to_json(const StepTimes& ms) {
  Json times = Json::object();
  const std::pair<const char*, const std::optional<double>&> steps[] = {
      {"settle", ms.settle},   {"start", ms.start}, {"drain", ms.drain}, {"checkpoint", ms.checkpoint},
      {"restore", ms.restore}, {"go", ms.go},       {"total", ms.total}, {"pause", ms.pause}};
  for (const auto& [name, value] : steps) {
    if (value) times[name] = *value;
  }
  return times;
}

}  // namespace

Json to_json(const Receipt& receipt) {
  Json json = {{"operation", receipt.operation},
               {"worker", receipt.worker},
               {"from", receipt.from != 0 ? Json(receipt.from) : Json()},
               {"to", receipt.to != 0 ? Json(receipt.to) : Json()},
               {"restored_generation", or_null(receipt.restored_generation)},
               {"mode", receipt.mode},
               {"cause", receipt.cause},
               {"changed", receipt.changed},
               {"verdict", receipt.verdict},
               {"reason", receipt.reason},
               {"hint", receipt.hint},
               {"diagnostics", receipt.diagnostics}};
  if (!receipt.mode_reason.empty()) json["mode_reason"] = receipt.mode_reason;
  json.update(to_json(receipt.restored));
  json["migrated"] =
      receipt.migrated_from.empty() ? Json() : Json{{"from", receipt.migrated_from}, {"to", receipt.migrated_to}};
  json["iteration"] = or_null(receipt.iteration);
  json["iteration_lost"] = or_null(receipt.iteration_lost);
  json["code"] = receipt.code;
  if (!receipt.commit.empty()) json["commit"] = receipt.commit;
  json["closed"] = receipt.closed;
  json["env"] = receipt.env;
  json["snapshot"] = receipt.snapshot != 0 ? Json(receipt.snapshot) : Json();
  json["age_s"] = or_null(receipt.age_s);
  json["defaults"] = receipt.defaults;
  json["pinned"] = receipt.pinned != 0 ? Json(receipt.pinned) : Json();
  json["ms"] = to_json(receipt.ms);
  json["at"] = rfc3339(receipt.at);
  return json;
}

std::uint64_t Losses::note(const Json& receipt) {
  const std::string verdict = field_or<std::string>(receipt, "verdict", "");
  const Json* removed = find_member(receipt, "removed");
  if (removed == nullptr || (verdict != "ok" && verdict != "rolled_back")) return 0;
  const NameCount dropped{field_or<std::uint64_t>(*removed, "count", 0),
                          field_or<std::vector<std::string>>(*removed, "names", {})};
  const bool lost = fresh(dropped).count > 0;
  before_ = dropped;
  return lost ? field_or<std::uint64_t>(receipt, "snapshot", 0) : 0;
}

NameCount Losses::fresh(const NameCount& dropped) const {
  NameCount fresh;
  for (const std::string& name : dropped.names) {
    if (std::ranges::find(before_.names, name) == before_.names.end()) fresh.names.push_back(name);
  }
  // Of long lists not every name is told.
  const std::uint64_t more = dropped.count - std::min(dropped.count, before_.count);
  const bool all_told = dropped.count == dropped.names.size();
  fresh.count = all_told ? fresh.names.size() : std::max<std::uint64_t>(fresh.names.size(), more);
  return fresh;
}

}  // namespace zeroth
