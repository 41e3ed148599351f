#include "common/terminal_style.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace zeroth {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

bool is_capable_terminal(int fd) {
  const std::string_view term = variable("TERM");
  return !term.empty() && term != "dumb" && ::isatty(fd) == 1;
}

bool colours_wanted(int fd) {
  return variable("NO_COLOR").empty() && is_capable_terminal(fd);
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view locale = variable(name);
    if (locale.empty()) continue;
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

}  // namespace zeroth
