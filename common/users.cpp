#include "common/users.h"

#include <pwd.h>

#include <array>

namespace zeroth {

std::string user_name(uid_t user) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> text{};
  if (::getpwuid_r(user, &entry, text.data(), text.size(), &found) != 0 || found == nullptr) return "";
  return found->pw_name;
}

std::string describe_user(uid_t user) {
  const std::string name = user_name(user);
  const std::string id = "uid " + std::to_string(user);
  return name.empty() ? id : name + " (" + id + ")";
}

}  // namespace zeroth
