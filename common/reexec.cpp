#include "common/reexec.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

extern char** environ;

namespace zeroth {
namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));  // exec changes nothing
  pointers.push_back(nullptr);
  return pointers;
}

// "" removes a variable.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string_view, std::string>>& variables) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view name = std::string_view(*entry).substr(0, std::string_view(*entry).find('='));
    const bool replaced =
        std::any_of(variables.begin(), variables.end(), [&](const auto& v) { return v.first == name; });
    if (!replaced) all.emplace_back(*entry);
  }
  for (const auto& [name, value] : variables) {
    if (!value.empty()) all.push_back(std::string(name) + "=" + value);
  }
  return all;
}

}  // namespace

Error exec_again(const std::vector<std::string>& argv, const ReexecOrder& order, int channel) {
  const std::vector<std::string> environment =
      environment_with({{env::kFd, std::to_string(channel)},
                        {env::kGeneration, std::to_string(order.generation)},
                        {env::kCause, order.cause},
                        {env::kEmergencyFile, order.emergency_file},
                        {env::kChanged, order.changed},
                        {env::kChangedMore, order.changed_more > 0 ? std::to_string(order.changed_more) : ""}});
  const int flags = ::fcntl(channel, F_GETFD);
  ::fcntl(channel, F_SETFD, flags & ~FD_CLOEXEC);
  ::execvpe(argv[0].c_str(), pointers_to(argv).data(), pointers_to(environment).data());
  const Error error = last_error("exec " + argv[0]);
  ::fcntl(channel, F_SETFD, flags);
  return error;
}

}  // namespace zeroth
