#include "supervisor/watch/inotify.h"

#include <cerrno>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kEventBytes = 64 * 1024;
constexpr int kReadsATurn = 16;  // two full queues of short names; then others of the loop have their turn

// "…: fs.inotify.max_user_watches is 8192; raise it with sysctl"
Error limit_error(const char* limit, int code) {
  const auto value = read_file(std::string("/proc/sys/fs/inotify/") + limit);
  const std::string shown = value ? value->substr(0, value->find('\n')) : "unknown";
  return {code, std::string("inotify: out of watches: fs.inotify.") + limit + " is " + shown +
                    "; raise it with sysctl -w fs.inotify." + limit + "=…"};
}

}  // namespace

Result<Inotify> Inotify::open(std::size_t most_watches) {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (fd) return Inotify(std::move(fd), most_watches);
  if (errno == EMFILE) return fail(limit_error("max_user_instances", errno));
  return fail(last_error("inotify_init1"));
}

Result<int> Inotify::add(const std::string& folder, std::uint32_t mask) {
  int wd = -1;
  if (watches_.size() < most_watches_) {
    wd = ::inotify_add_watch(fd_.get(), folder.c_str(),
                             mask | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD | IN_EXCL_UNLINK);
  } else {
    errno = ENOSPC;
  }
  if (wd < 0 && (errno == ENOSPC || errno == ENOMEM)) return fail(limit_error("max_user_watches", errno));
  if (wd < 0) return fail(last_error(folder));
  watches_.insert(wd);
  return wd;
}

void Inotify::remove(int wd) {
  if (watches_.erase(wd) != 0) ::inotify_rm_watch(fd_.get(), wd);
}

void Inotify::read(const std::function<void(const InotifyEvent&)>& on_event) {
  alignas(inotify_event) char buffer[kEventBytes];
  for (int reads = 0; reads < kReadsATurn; ++reads) {
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_IGNORED) != 0) watches_.erase(event->wd);
      on_event({event->wd, event->mask, event->len == 0 ? std::string_view() : std::string_view(event->name)});
    }
  }
}

}  // namespace zeroth
