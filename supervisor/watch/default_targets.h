#pragma once
// What is watched when nobody says: the program file, or for a command the folder it works in. Called by Supervisor
// once.

#include <string>
#include <vector>

namespace zeroth {

struct WhatRuns {
  std::string program;               // "" for a command
  std::vector<std::string> command;  // empty for a program
  std::string working_folder;        // of the command: --cwd or the supervisor's own
  std::string home;                  // $HOME
};

// Whether a folder is no project's: the root, or the home of whoever runs this (`home`, "" if unknown). It is not
// watched as a whole unless asked for by name.
bool is_too_wide(const std::string& folder, const std::string& home);

// The targets of the watch: `asked` (--watch) if there are any. A command's folder counts with its .gitignore honoured,
// of one that is too wide only the files that the command names; what the command writes itself is LoopDetector's.
std::vector<std::string> watch_targets(const std::vector<std::string>& asked, const WhatRuns& what);

// The files below or beside the working folder that the command's words name, as real paths: the program itself, which
// LoopDetector is to trust.
std::vector<std::string> files_named_by(const WhatRuns& what);

}  // namespace zeroth
