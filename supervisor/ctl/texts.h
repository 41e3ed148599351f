#pragma once
// Results of commands as text for people. Each takes the result as the protocol defines it, and shows what is there;
// everything from a worker is escaped.

#include <string>

#include "common/json.h"
#include "common/message.h"
#include "supervisor/ctl/output.h"

namespace zeroth {

std::string status_text(const Json& result);
// What a worker of `status` runs: a file, or the words of a command.
std::string program_text(const Json& worker);
std::string receipt_text(const Json& result);
// Of a receipt or an entry of `check`: verdict, what was kept and added, reason and warnings.
std::string receipt_changes(const Json& entry);
std::string stopped_text(const Json& result);
std::string checkpoint_text(const Json& result);
std::string generations_text(const Json& result);
std::string logs_text(const Json& result);
std::string event_text(const Event& event);
std::string config_text(const Json& result);
std::string env_text(const Json& result);
std::string ping_text(const Json& result);
std::string metrics_text(const Json& result);

// Commands of the built-in worker.
std::string observe_text(const Json& result);
std::string history_text(const Json& result);
std::string explain_text(const Json& result);
std::string state_list_text(const Json& result);
std::string align_list_text(const Json& result);
std::string potential_text(const Json& result);
std::string dimension_list_text(const Json& result);

}  // namespace zeroth
