#include <unistd.h>

#include <cstdio>

#include "common/exit_codes.h"
#include "common/signals.h"
#include "supervisor/options.h"
#include "supervisor/supervisor.h"

int main(int argc, char** argv) {
  zeroth::reset_signals();
  zeroth::claim_standard_streams();
  zeroth::ParsedOptions parsed = zeroth::parse_options(argc, argv);
  if (!parsed.options) {
    std::fputs(parsed.text.c_str(), parsed.exit_code == zeroth::kExitOk ? stdout : stderr);
    return parsed.exit_code;
  }
  zeroth::hold_stop_signals();  // until run() watches for them
  auto supervisor = zeroth::Supervisor::create(std::move(*parsed.options));
  if (!supervisor) {
    std::fprintf(stderr, "zeroth-supervise: %s\n", supervisor.error().message.c_str());
    return supervisor.error().exit_code;
  }
  const int exit_code = (*supervisor)->run();
  if (!(*supervisor)->hangs()) return exit_code;
  std::fflush(nullptr);
  ::_exit(exit_code);  // whoever told us to stop is not kept waiting for a disk that does not answer
}
