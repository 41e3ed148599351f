#include "supervisor/process/user.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <optional>

#include "common/files.h"
#include "common/text.h"
#include "common/users.h"

namespace zeroth {
namespace {

constexpr std::size_t kEntry = 64 * 1024;  // bytes of one entry of the user or group database
constexpr int kMostGroups = 65'536;        // NGROUPS_MAX

// 2^32 - 1 means "leave it" to the kernel.
std::optional<unsigned> number_in(const std::string& text) {
  unsigned number = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end || number == UINT_MAX) return std::nullopt;
  return number;
}

struct Entry {
  uid_t user = 0;
  gid_t group = 0;
  std::string name, home;
};

std::optional<Entry> find_entry(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::string text(kEntry, '\0');
  (void)::getpwnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
  const auto number = number_in(name);
  if (found == nullptr && number) (void)::getpwuid_r(*number, &entry, text.data(), text.size(), &found);
  if (found == nullptr) return std::nullopt;
  return Entry{found->pw_uid, found->pw_gid, found->pw_name, found->pw_dir};
}

std::optional<gid_t> find_group(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::string text(kEntry, '\0');
  (void)::getgrnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
  return found != nullptr ? std::optional(found->gr_gid) : number_in(name);
}

std::vector<gid_t> groups_of(const Entry& user, gid_t group) {
  std::vector<gid_t> groups(64);
  for (;;) {
    int count = static_cast<int>(groups.size());
    const bool all = ::getgrouplist(user.name.c_str(), group, groups.data(), &count) >= 0;
    groups.resize(static_cast<std::size_t>(std::min(std::max(count, 0), kMostGroups)));
    if (all || count > kMostGroups) return groups;
  }
}

bool has_capabilities(std::initializer_list<int> needed) {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &head, sets.data()) != 0) return false;
  for (const int capability : needed) {
    if ((sets[static_cast<std::size_t>(capability) / 32].effective & (1U << (capability % 32))) == 0) return false;
  }
  return true;
}

// In a process of that user's own, which only asks and ends: nothing of ours runs in it that could lock or allocate.
bool can_enter(const RunAs& user, const std::string& folder) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const bool became = ::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0 &&
                        ::syscall(SYS_setresgid, user.group, user.group, user.group) == 0 &&
                        ::syscall(SYS_setresuid, user.user, user.user, user.user) == 0;
    ::_exit(became && ::access(folder.c_str(), X_OK) == 0 ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Nobody else may write to it, or, where everybody may (/tmp), nobody may take away what is not his own.
Status check_link_of_chain(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail(last_error(path));
  if (info.st_uid != 0 && info.st_uid != ::geteuid())
    return fail(path + ": belongs to " + describe_user(info.st_uid), EPERM);
  const bool sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if (!S_ISLNK(info.st_mode) && !sticky && (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(path + ": others may write to it", EPERM);
  return {};
}

Status check_chain(const std::string& path) {
  for (std::size_t slash = 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    if (Status ours = check_link_of_chain(path.substr(0, slash)); !ours) return ours;
  }
  return check_link_of_chain("/");
}

}  // namespace

Result<WorkerUser> find_user(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const bool names_group = colon != std::string::npos;
  const std::string group = names_group ? text.substr(colon + 1) : "";
  if (name.empty() || (names_group && group.empty()))
    return fail("'" + escape_control(text) + "' is neither NAME nor NAME:GROUP", EINVAL);
  auto entry = find_entry(name);
  const bool known = entry.has_value();
  if (!known) {
    const auto number = number_in(name);
    if (!number) return fail("there is no user '" + escape_control(name) + "'", ENOENT);
    if (!names_group)
      return fail("there is no user " + name + ", and so no group of it: give " + name + ":GROUP", ENOENT);
    entry = Entry{*number, 0, name, "/"};
  }
  if (names_group) {
    const auto found = find_group(group);
    if (!found) return fail("there is no group '" + escape_control(group) + "'", ENOENT);
    entry->group = *found;
  }
  WorkerUser user;
  user.as = {entry->user, entry->group, known ? groups_of(*entry, entry->group) : std::vector<gid_t>()};
  user.name = entry->name;
  user.home = entry->home;
  user.apart = entry->user != ::geteuid();
  user.change = user.apart || entry->group != ::getegid();
  return user;
}

Status check_may_become(const WorkerUser& user) {
  // Only who leaves root for another user leaves the capabilities behind.
  const bool root =
      ::geteuid() == 0 && has_capabilities({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID});
  if (!user.change || root) return {};
  return fail("only root may start processes as user '" + user.name + "'; we are " + describe_user(::geteuid()), EPERM);
}

Status check_enters(const RunAs& user, const std::string& folder) {
  if (can_enter(user, folder)) return {};
  std::string closed = folder;
  for (std::size_t slash = folder.find('/', 1); slash != std::string::npos; slash = folder.find('/', slash + 1)) {
    if (can_enter(user, folder.substr(0, slash))) continue;
    closed = folder.substr(0, slash);
    break;
  }
  return fail(describe_user(user.user) + " cannot enter " + closed, EACCES);
}

Status check_only_ours(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), ::free);
  if (!real) return fail(last_error(path));
  if (Status ours = check_chain(real.get()); !ours) return ours;
  return path.starts_with('/') ? check_chain(path) : Status();
}

}  // namespace zeroth
