#pragma once
// What the environment says where no option does, and where each value came from.

#include <string>

#include "common/result.h"
#include "supervisor/options.h"

namespace CLI {
class App;
}

namespace zeroth {

// Flag before environment before default; notes the origin of each value. An error names the variable.
Status apply_environment(const CLI::App& app, Options& o);

// "4040", "0" for any, or "off"; `whose` is named in the error.
Status choose_control_port(Options& o, const std::string& text, const std::string& whose);

}  // namespace zeroth
