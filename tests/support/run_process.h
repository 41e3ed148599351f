#pragma once
// Runs a program to its end and keeps what it said.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"

namespace zeroth {

struct ProcessResult {
  int exit_code = -1;  // 128 + number for a signal; that of SIGKILL also past the deadline
  int signal = 0;      // that ended it, 0: none
  std::string out;
  std::string err;
};

// `environment` is added to ours; an empty value removes the variable.
ProcessResult run_process(const std::vector<std::string>& argv,
                          const std::vector<std::pair<std::string, std::string>>& environment = {},
                          const std::string& input = "", Milliseconds deadline = Milliseconds(60'000));

// Does the text contain it?
inline bool says(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

// The path of one of the programs built with these tests.
std::string built(const std::string& program);

namespace test {
using zeroth::built;
using zeroth::run_process;
using Finished = zeroth::ProcessResult;
}  // namespace test

}  // namespace zeroth
