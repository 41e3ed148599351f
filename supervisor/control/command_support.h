#pragma once
// What the files of commands share: who asked, which worker is meant, and how a request is refused. Only for
// control_commands.cpp and the files that hold a family of its commands.

#include <memory>
#include <string>
#include <vector>

#include "common/message.h"
#include "supervisor/control/control_commands.h"

namespace zeroth {

using Peer = std::shared_ptr<Connection>;
using Targets = const ControlTargets&;

void refuse(const Peer& peer, const Request& request, const Refusal& refusal);
void bad_params(const Peer& peer, const Request& request, const std::string& message);

// Answers the request with the outcome, whenever that comes.
Worker::Reply reply_to(const Peer& peer, const Request& request);

// Of these, `params.worker` may name one; an answer by itself and null if there is none of that name, or if several run
// and none is named.
Worker* find_worker(Targets targets, const Peer& peer, const Request& request);

// The same, but none named means all of them; empty if it answered by itself.
std::vector<Worker*> find_workers(Targets targets, const Peer& peer, const Request& request);

// The commands of lifecycle_commands.cpp, which start, stop and replace workers.
namespace lifecycle {
void start(Targets targets, const Peer& peer, const Request& request);
void stop(Targets targets, const Peer& peer, const Request& request);
void restart(Targets targets, const Peer& peer, const Request& request);
void reload(Targets targets, const Peer& peer, const Request& request);
void rollback(Targets targets, const Peer& peer, const Request& request);
void check(Targets targets, const Peer& peer, const Request& request);
void shutdown(Targets targets, const Peer& peer, const Request& request);
void start_all(Targets targets, const Peer& peer, const Request& request);
void stop_all(Targets targets, const Peer& peer, const Request& request);
void rolling_restart(Targets targets, const Peer& peer, const Request& request);
}  // namespace lifecycle

}  // namespace zeroth
