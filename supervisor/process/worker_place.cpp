#include "supervisor/process/worker_place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr mode_t kEntered = 0711;  // by others, who cannot list it

// The folder itself, never what a link of its name points to.
Result<UniqueFd> open_made(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail(last_error(path));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail(last_error(path));
  return fd;
}

Status make_entered(const std::string& path) {
  const auto fd = open_made(path, kEntered);
  if (!fd) return fail(fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return fail(last_error(path));
  if (info.st_uid != ::geteuid()) return fail(path + ": belongs to another user", EPERM);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return fail(path + ": others may write to it; chmod go-w it", EPERM);
  const bool open = (info.st_mode & kEntered) == kEntered;
  if (!open && ::fchmod(fd->get(), (info.st_mode & 07777) | kEntered) != 0) return fail(last_error(path));
  return {};
}

// All of its parents are ours: nobody can put another in its place.
Status make_given(const std::string& path, const RunAs& user) {
  const auto fd = open_made(path, 0700);
  if (!fd) return fail(fd.error());
  if (::fchown(fd->get(), user.user, user.group) != 0 || ::fchmod(fd->get(), 0700) != 0) return fail(last_error(path));
  return {};
}

WorkerPlace place_apart(const std::string& users, const std::string& uid, const std::string& worker) {
  const std::string open = users + "/" + uid + "/" + worker;
  return {open, open + "/saved", open + "/own", users};
}

}  // namespace

WorkerPlace worker_place(const std::string& folder, const std::string& runtime, const std::string& worker,
                         std::optional<WorkerUser> user) {
  const std::string users = runtime + "/users";
  WorkerPlace place{folder, folder, folder + "/own", users};
  if (user && user->apart) place = place_apart(users, std::to_string(user->as.user), worker);
  place.user = std::move(user);
  return place;
}

Status make_place(const WorkerPlace& place) {
  if (!place.apart()) return make_folders(place.own);
  for (const std::string& folder :
       {folder_of(place.users), place.users, folder_of(place.open), place.open, place.open + "/programs"}) {
    if (Status made = make_entered(folder); !made) return made;
  }
  for (const std::string& folder : {place.saved, place.own}) {
    if (Status made = make_given(folder, place.user->as); !made) return made;
  }
  return {};
}

void clear_place(const WorkerPlace& place) {
  if (!place.apart()) return;
  std::error_code error;
  std::vector<std::filesystem::path> old;
  for (std::filesystem::directory_iterator it(place.open, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with("state-")) old.push_back(it->path());
  }
  for (std::filesystem::directory_iterator it(place.open + "/programs", error), end; !error && it != end;
       it.increment(error))
    old.push_back(it->path());
  for (const std::filesystem::path& path : old) std::filesystem::remove(path, error);
}

std::vector<WorkerPlace> places_left(const std::string& folder, const WorkerPlace& now, const std::string& worker) {
  std::vector<WorkerPlace> places = {{folder, folder, folder + "/own", now.users}};
  std::error_code error;
  for (std::filesystem::directory_iterator it(now.users, error), end; !error && it != end; it.increment(error)) {
    WorkerPlace place = place_apart(now.users, it->path().filename().string(), worker);
    if (place.open != now.open) place.saved.clear();  // of a former user, who could write there since
    if (::access(place.open.c_str(), F_OK) == 0) places.push_back(std::move(place));
  }
  return places;
}

}  // namespace zeroth
