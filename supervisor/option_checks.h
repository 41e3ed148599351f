#pragma once
// What no option can tell alone: whether those that were given fit together.

#include "common/result.h"
#include "supervisor/options.h"

namespace CLI {
class App;
}

namespace zeroth {

// Of one worker.
Status check_together(const CLI::App& app, Options& o);
// Beside a fleet file, which says for each worker what a command line says for its only one.
Status check_of_fleet(const CLI::App& app);

}  // namespace zeroth
