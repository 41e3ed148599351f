#pragma once
// Runs one of our programs to its end and keeps what it wrote.

#include <chrono>
#include <string>
#include <vector>

namespace zeroth::test {

struct Finished {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;      // SIGKILL also if the deadline passed
  std::string out, err;
};

// `words[0]` is the program's path. Stdin is empty. The process is killed at the deadline.
Finished run_process(const std::vector<std::string>& words, std::chrono::seconds deadline = std::chrono::seconds(30));

// The path of one of the programs built with these tests.
std::string built(const std::string& program);

}  // namespace zeroth::test
