#include "supervisor/watch/default_targets.h"

#include <filesystem>

#include "supervisor/watch/tree.h"

namespace zeroth {

std::vector<std::string> watch_targets(const std::vector<std::string>& asked, const WhatRuns& what) {
  if (!asked.empty()) return asked;
  return {what.command.empty() ? what.program : what.working_folder};
}

std::vector<std::string> files_named_by(const WhatRuns& what) {
  std::vector<std::string> files;
  for (const std::string& word : what.command) {
    const std::string path = word.starts_with('/') ? word : join_path(what.working_folder, word);
    std::error_code missing;
    if (!std::filesystem::is_regular_file(path, missing)) continue;
    const std::string real = std::filesystem::canonical(path, missing).string();
    if (!missing) files.push_back(real);
  }
  return files;
}

}  // namespace zeroth
