#include "supervisor/control/env_commands.h"

#include <utility>

#include "common/json_fields.h"

namespace zeroth {
namespace {

// What is known of the workers asked about, as soon as all have answered.
struct EnvInquiry {
  std::vector<std::string> names;
  std::map<std::string, Json> receipts;
  std::size_t left = 0;
};

Json describe_all(const Fleet& fleet, const EnvInquiry& answer) {
  Json all = Json::array();
  std::size_t total = 0;
  std::string verdict = "unchanged", reason;
  for (const std::string& name : answer.names) {
    const Member* member = fleet.find(name);
    if (member == nullptr) continue;  // the fleet file names it no more
    Json one = member->environment();
    total += one["total"].get<std::size_t>();
    if (const auto receipt = answer.receipts.find(name); receipt != answer.receipts.end()) {
      const auto came = field_or<std::string>(receipt->second, "verdict", "failed");
      const bool well = came == "ok" || came == "unchanged";
      if (!well && reason.empty()) reason = name + ": " + field_or<std::string>(receipt->second, "reason", came);
      if (!well || (came == "ok" && verdict == "unchanged")) verdict = came;
      one["receipt"] = receipt->second;
    }
    all.push_back(std::move(one));
  }
  Json result = all.size() == 1 ? std::move(all[0]) : Json{{"total", total}, {"workers", std::move(all)}};
  if (answer.receipts.empty()) return result;
  result["verdict"] = verdict;
  result["reason"] = reason;
  return result;
}

}  // namespace

void show_env(Targets targets, const Peer& peer, const Request& request) {
  const std::vector<Worker*> meant = find_workers(targets, peer, request);
  if (meant.empty()) return;
  const auto reload = optional_field<bool>(request.params, "reload");
  if (!reload) return bad_params(peer, request, reload.error().message);
  const auto answer = std::make_shared<EnvInquiry>();
  for (const Worker* worker : meant) answer->names.push_back(worker->name());
  if (!reload->value_or(false)) return peer->reply(encode_result(request.id, describe_all(*targets.fleet, *answer)));
  answer->left = meant.size();
  for (const std::string& name : answer->names) {
    const auto came = [answer, name, fleet = targets.fleet, peer, id = request.id](const auto& outcome) {
      answer->receipts[name] =
          outcome ? *outcome : Json{{"worker", name}, {"verdict", "failed"}, {"reason", outcome.error().message}};
      if (--answer->left == 0) peer->reply(encode_result(id, describe_all(*fleet, *answer)));
    };
    targets.fleet->find(name)->reload_env(came);
  }
}

}  // namespace zeroth
