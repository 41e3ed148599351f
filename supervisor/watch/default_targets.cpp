#include "supervisor/watch/default_targets.h"

#include <filesystem>

#include "supervisor/watch/tree.h"

namespace zeroth {

bool is_too_wide(const std::string& folder, const std::string& home) {
  std::error_code missing;
  const auto real = std::filesystem::weakly_canonical(folder, missing);
  return real == "/" || (!home.empty() && real == std::filesystem::weakly_canonical(home, missing));
}

std::vector<std::string> watch_targets(const std::vector<std::string>& asked, const WhatRuns& what) {
  if (!asked.empty()) return asked;
  if (what.command.empty()) return {what.program};
  if (is_too_wide(what.working_folder, what.home)) return files_named_by(what);
  return {what.working_folder};
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
