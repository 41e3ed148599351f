#pragma once
// Runs a program to its end and keeps what it said.

#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"

namespace zeroth {

struct ProcessResult {
  int exit_code = -1;  // 128 + number for a signal; that of SIGKILL also past the deadline
  std::string out;
  std::string err;
};

// `environment` is added to ours; an empty value removes the variable.
ProcessResult run_process(const std::vector<std::string>& argv,
                          const std::vector<std::pair<std::string, std::string>>& environment = {},
                          const std::string& input = "", Milliseconds deadline = Milliseconds(20'000));

}  // namespace zeroth
