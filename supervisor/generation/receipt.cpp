#include "supervisor/generation/receipt.h"

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

std::uint64_t snapshot_before_loss(const Json& receipt) {
  const auto removed = receipt.find("removed");
  const auto snapshot = receipt.find("snapshot");
  if (removed == receipt.end() || snapshot == receipt.end() || !snapshot->is_number_unsigned()) return 0;
  const auto count = removed->find("count");
  const bool dropped = count != removed->end() && count->is_number_unsigned() && *count != 0;
  return dropped ? snapshot->get<std::uint64_t>() : 0;
}

}  // namespace zeroth
