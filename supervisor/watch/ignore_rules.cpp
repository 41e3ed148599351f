#include "supervisor/watch/ignore_rules.h"

#include <algorithm>
#include <ranges>

namespace zeroth {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Spaces at the end do not count, but for one behind a backslash.
std::string_view without_trailing_spaces(std::string_view line) {
  std::size_t end = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const bool escape = line[at] == '\\';
    if (escape && ++at == line.size()) return line;
    if (escape || line[at] != ' ') end = at + 1;
  }
  return line.substr(0, end);
}

}  // namespace

IgnoreRules IgnoreRules::parse(std::string_view text) {
  IgnoreRules rules;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#')) continue;
    if (line.ends_with('\r')) line.remove_suffix(1);
    rules.add_line(line.substr(0, line.find('\0')));
  }
  return rules;
}

IgnoreRules IgnoreRules::of(const std::vector<std::string>& patterns) {
  IgnoreRules rules;
  for (const std::string& pattern : patterns) {
    if (!pattern.starts_with('#')) rules.add_line(pattern);
  }
  return rules;
}

void IgnoreRules::add_line(std::string_view line) {
  line = without_trailing_spaces(line);
  const bool included = line.starts_with('!');
  if (included) line.remove_prefix(1);
  const bool folders_only = line.ends_with('/');
  if (folders_only) line.remove_suffix(1);
  const bool whole_path = line.find('/') != std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (!line.empty()) rules_.push_back({Glob(line), included, folders_only, whole_path});
}

IgnoreVerdict IgnoreRules::verdict(std::string_view relative_path, bool is_folder) const {
  const std::string_view name = relative_path.substr(relative_path.rfind('/') + 1);
  for (const Rule& rule : rules_ | std::views::reverse) {
    if (rule.folders_only && !is_folder) continue;
    if (rule.glob.matches(rule.whole_path ? relative_path : name))
      return rule.included ? IgnoreVerdict::Included : IgnoreVerdict::Ignored;
  }
  return IgnoreVerdict::None;
}

}  // namespace zeroth
