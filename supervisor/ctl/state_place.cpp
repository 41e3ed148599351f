#include "supervisor/ctl/state_place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr const char* kBefore = ".before";

Result<UniqueFd> open_or_none(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd && errno != ENOENT) return fail(last_error(path));
  return fd;
}

bool same_bytes(int a, int b) {
  std::array<std::string, 2> pieces = {std::string(64 * 1024, '\0'), std::string(64 * 1024, '\0')};
  for (std::uint64_t at = 0;; at += pieces[0].size()) {
    const auto first = read_at(a, pieces[0].data(), pieces[0].size(), at);
    const auto second = read_at(b, pieces[1].data(), pieces[1].size(), at);
    if (!first || !second || *first != *second || pieces[0].compare(0, *first, pieces[1], 0, *first) != 0) return false;
    if (*first < pieces[0].size()) return true;
  }
}

}  // namespace

StatePlace::StatePlace(std::string file)
    : file_(std::move(file)),
      staged_name_(folder_of(file_) + "/." + name_of(file_) + ".zeroth-" + std::to_string(::getpid())) {}

Status StatePlace::stage(std::string_view state, const std::optional<StateFile>& from, const std::string& schema) {
  if (!from && is_no_file(state)) {
    removes_ = !schema.empty();
    return {};
  }
  ::unlink(staged_name_.c_str());  // of an earlier process with our number
  struct stat before {};
  const bool there = ::stat(file_.c_str(), &before) == 0;
  const UniqueFd to(::open(staged_name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!to) return fail(last_error(staged_name_));
  staged_ = true;
  if (there && ::fchmod(to.get(), before.st_mode & 07777) != 0) return fail(last_error(staged_name_));
  return from ? decode_file(*from, to.get()) : decode_file(state, to.get());
}

void StatePlace::forget() {
  if (std::exchange(staged_, false)) ::unlink(staged_name_.c_str());
}

bool StatePlace::differs() const {
  const auto present = open_or_none(file_);
  if (!present || !*present) return false;
  if (removes_) return true;
  const UniqueFd staged(::open(staged_name_.c_str(), O_RDONLY | O_CLOEXEC));
  return !same_bytes(present->get(), staged.get());
}

Status StatePlace::put() {
  if (!staged_ && !removes_) return {};
  if (differs() && std::rename(file_.c_str(), (file_ + kBefore).c_str()) != 0) return fail(last_error(file_));
  removes_ = false;
  if (!staged_) return {};
  if (std::rename(staged_name_.c_str(), file_.c_str()) != 0) return fail(last_error(file_));
  staged_ = false;
  return {};
}

Result<UniqueFd> StatePlace::open() const {
  if (held_) return UniqueFd(*held_ ? ::fcntl(held_->get(), F_DUPFD_CLOEXEC, 3) : -1);
  if (removes_) return UniqueFd();
  return open_or_none(staged_ ? staged_name_ : file_);
}

Status StatePlace::hold() {
  auto file = open_or_none(file_);
  if (!file) return fail(std::move(file.error()));
  held_ = std::move(*file);
  return {};
}

}  // namespace zeroth
