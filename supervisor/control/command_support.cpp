#include "supervisor/control/command_support.h"

#include <string_view>
#include <vector>

#include "common/json_fields.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::size_t kNamesShown = 10;

}  // namespace

void refuse(const Peer& peer, const Request& request, const Refusal& refusal) {
  peer->reply(encode_refusal(request.id, refusal));
}

void bad_params(const Peer& peer, const Request& request, const std::string& message) {
  refuse(peer, request, {ErrorCode::BadParams, message, "", nullptr});
}

Worker::Reply reply_to(const Peer& peer, const Request& request) {
  return [peer, id = request.id](tl::expected<Json, Refusal> outcome) {
    peer->reply(outcome ? encode_result(id, *outcome) : encode_refusal(id, outcome.error()));
  };
}

std::vector<Worker*> find_workers(Targets targets, const Peer& peer, const Request& request) {
  auto name = optional_field<std::string>(request.params, "worker");
  if (!name) {
    bad_params(peer, request, name.error().message);
    return {};
  }
  if (!*name) return targets.workers;
  std::vector<std::string_view> names;
  for (Worker* worker : targets.workers) {
    if (worker->name() == **name) return {worker};
    names.push_back(worker->name());
  }
  const std::string_view meant = nearest(**name, names);
  refuse(peer, request,
         {ErrorCode::NotFound,
          "no worker '" + escape_control(**name) + "'",
          meant.empty() ? "" : "did you mean '" + std::string(meant) + "'?",
          {{"worker", **name}}});
  return {};
}

Worker* find_worker(Targets targets, const Peer& peer, const Request& request) {
  const std::vector<Worker*> meant = find_workers(targets, peer, request);
  if (meant.size() <= 1) return meant.empty() ? nullptr : meant.front();
  std::string names;
  for (std::size_t i = 0; i < meant.size() && i < kNamesShown; ++i) names += (i == 0 ? "" : ", ") + meant[i]->name();
  if (meant.size() > kNamesShown) names += ", …";
  refuse(peer, request, {ErrorCode::BadParams, "which worker? There are " + names, "name one as worker", nullptr});
  return nullptr;
}

}  // namespace zeroth
