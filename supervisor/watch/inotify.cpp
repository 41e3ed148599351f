#include "supervisor/watch/inotify.h"

#include <algorithm>
#include <cerrno>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kEventBytes = 64 * 1024;
constexpr int kReadsATurn = 16;  // two full queues of short names; then others of the loop have their turn
constexpr std::uint32_t kForAll = IN_IGNORED | IN_UNMOUNT;

// "…: fs.inotify.max_user_watches is 8192; raise it with sysctl"
Error limit_error(const char* limit, int code) {
  const auto value = read_file(std::string("/proc/sys/fs/inotify/") + limit);
  const std::string shown = value ? value->substr(0, value->find('\n')) : "unknown";
  return {code, std::string("inotify: out of watches: fs.inotify.") + limit + " is " + shown +
                    "; raise it with sysctl -w fs.inotify." + limit + "=…"};
}

}  // namespace

Status InotifyHub::join(Inotify* watcher) {
  if (!fd_) {
    fd_ = UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!fd_ && errno == EMFILE) return fail(limit_error("max_user_instances", errno));
    if (!fd_) return fail(last_error("inotify_init1"));
    readable_ = std::make_unique<FdWatch>(loop_, fd_.get());
    readable_->start(FdWatch::kReadable, [this](int) { on_readable(); });
  }
  watchers_.push_back(watcher);
  return {};
}

void InotifyHub::leave(Inotify* watcher) {
  if (std::erase(watchers_, watcher) == 0) return;
  while (!watcher->watches_.empty()) drop(watcher, watcher->watches_.begin()->first);
  if (!watchers_.empty()) return;
  readable_.reset();
  fd_.reset();
  watches_.clear();
}

Result<int> InotifyHub::add(Inotify* watcher, const std::string& folder, std::uint32_t mask) {
  const int wd =
      ::inotify_add_watch(fd_.get(), folder.c_str(), mask | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD | IN_EXCL_UNLINK);
  if (wd < 0) return fail(last_error(folder));
  std::vector<Inotify*>& watching = watches_[wd];
  if (std::ranges::find(watching, watcher) == watching.end()) watching.push_back(watcher);
  watcher->watches_[wd] |= mask;
  return wd;
}

void InotifyHub::drop(Inotify* watcher, int wd) {
  if (watcher->watches_.erase(wd) == 0) return;
  const auto watching = watches_.find(wd);
  std::erase(watching->second, watcher);
  if (!watching->second.empty()) return;
  watches_.erase(watching);
  ::inotify_rm_watch(fd_.get(), wd);
}

// All is read before anybody is told: whoever is told may leave, or join.
void InotifyHub::on_readable() {
  const auto self = shared_from_this();
  read();
  const std::vector<Inotify*> watchers = watchers_;
  for (Inotify* watcher : watchers) {
    if (std::ranges::find(watchers_, watcher) == watchers_.end() || watcher->waiting_.empty()) continue;
    const auto call = watcher->on_events_;
    call();
  }
}

void InotifyHub::read() {
  alignas(inotify_event) char buffer[kEventBytes];
  for (int reads = 0; reads < kReadsATurn; ++reads) {
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      deliver(*event);
    }
  }
}

void InotifyHub::deliver(const inotify_event& event) {
  const auto give = [&event](Inotify* watcher) {
    watcher->waiting_.push_back({event.wd, event.mask, event.len == 0 ? "" : event.name});
  };
  if ((event.mask & IN_Q_OVERFLOW) != 0) std::ranges::for_each(watchers_, give);
  const auto watching = watches_.find(event.wd);
  if (watching == watches_.end()) return;
  for (Inotify* watcher : watching->second) {
    if ((event.mask & (watcher->watches_.at(event.wd) | kForAll)) != 0) give(watcher);
    if ((event.mask & IN_IGNORED) != 0) watcher->watches_.erase(event.wd);
  }
  if ((event.mask & IN_IGNORED) != 0) watches_.erase(watching);
}

Result<std::unique_ptr<Inotify>> Inotify::open(std::shared_ptr<InotifyHub> hub, std::function<void()> on_events,
                                               std::size_t most_watches) {
  std::unique_ptr<Inotify> watcher(new Inotify(std::move(hub), std::move(on_events), most_watches));
  if (Status joined = watcher->hub_->join(watcher.get()); !joined) return fail(std::move(joined.error()));
  return watcher;
}

Result<int> Inotify::add(const std::string& folder, std::uint32_t mask) {
  if (watches_.size() >= most_watches_) return fail(limit_error("max_user_watches", ENOSPC));
  auto wd = hub_->add(this, folder, mask);
  if (!wd && (wd.error().code == ENOSPC || wd.error().code == ENOMEM))
    return fail(limit_error("max_user_watches", wd.error().code));
  return wd;
}

void Inotify::remove(int wd) {
  hub_->drop(this, wd);
}

void Inotify::read(const std::function<void(const InotifyEvent&)>& on_event) {
  for (const InotifyEvent& event : std::exchange(waiting_, {})) on_event(event);
}

}  // namespace zeroth
