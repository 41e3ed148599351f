#include "supervisor/watch/watch_set.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace zeroth {
namespace {

constexpr std::uint32_t kNameEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
constexpr std::uint32_t kContentEvents = kNameEvents | IN_MODIFY | IN_CLOSE_WRITE;
constexpr int kMostFollows = 8;  // a path that changes faster than it can be followed is left to the next event

bool exhausted(const Error& error) {
  return error.code == ENOSPC || error.code == ENOMEM;
}

// Is a name that was just created complete? A symbolic or hard link is; a new file has yet to be written and closed.
bool complete_when_created(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && (S_ISLNK(info.st_mode) || (S_ISREG(info.st_mode) && info.st_nlink > 1));
}

FileEvent meaning_of(const InotifyEvent& event, const std::string& path) {
  if ((event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0) return FileEvent::Removed;
  if ((event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) return FileEvent::Saved;
  if ((event.mask & IN_CREATE) != 0 && complete_when_created(path)) return FileEvent::Saved;
  return FileEvent::Modified;
}

}  // namespace

WatchSet::WatchSet(std::unique_ptr<Inotify> inotify, std::shared_ptr<const WatchScope> scope, OnEvent on_event)
    : inotify_(std::move(inotify)),
      scope_(std::move(scope)),
      on_event_(std::move(on_event)),
      chains_(scope_->targets().size()) {}

Result<std::unique_ptr<WatchSet>> WatchSet::open(std::shared_ptr<const WatchScope> scope, Source source,
                                                 OnEvent on_event) {
  auto inotify = Inotify::open(std::move(source.hub), std::move(source.on_readable), source.most_watches);
  if (!inotify) return fail(std::move(inotify.error()));
  std::unique_ptr<WatchSet> set(new WatchSet(std::move(*inotify), std::move(scope), std::move(on_event)));
  for (std::size_t target = 0; target < set->chains_.size(); ++target) {
    if (Status followed = set->follow(target); !followed) return fail(std::move(followed.error()));
    if (!set->chains_[target].is_folder) continue;
    if (Status watched = set->watch_rules(target); !watched) return fail(std::move(watched.error()));
  }
  return set;
}

// Watches all that the path to a target depends on, and no longer what it depended on before. Follows the path again
// after the watches are there, since it may have changed before.
Status WatchSet::follow(std::size_t target) {
  chains_[target] = follow_path(scope_->targets()[target]);
  for (int follows = 0; follows < kMostFollows; ++follows) {
    if (Status watched = watch_links(target); !watched) return watched;
    PathChain again = follow_path(scope_->targets()[target]);
    if (again == chains_[target]) break;
    chains_[target] = std::move(again);
  }
  return {};
}

Status WatchSet::watch_links(std::size_t target) {
  std::vector<int> before;
  for (auto& [wd, watch] : watches_) {
    if (std::erase_if(watch.links, [&](const LinkRole& role) { return role.target == target; }) != 0)
      before.push_back(wd);
  }
  const PathChain& chain = chains_[target];
  for (const ChainLink& link : chain.links) {
    const auto wd = inotify_->add(link.folder, link.final && !chain.is_folder ? kContentEvents : kNameEvents);
    if (!wd && exhausted(wd.error())) return fail(wd.error());
    if (!wd) continue;  // gone or not ours to read: the slow poll looks there
    Watch& watch = watches_[*wd];
    watch.folder = link.folder;
    watch.links.push_back({target, link.name, link.final});
  }
  for (const int wd : before) remove_if_unused(wd);
  return {};
}

// The rules above a folder target, which its tree will begin with. They are watched before they are read.
Status WatchSet::watch_rules(std::size_t target) {
  const auto unreadable = [](const Error&) {};  // the owner hears of it from hash_targets()
  const std::string& root = chains_[target].real;
  for (FolderRules::Source& source : FolderRules::above(root, unreadable).sources) {
    const auto wd = inotify_->add(source.folder, kNameEvents | IN_CLOSE_WRITE);
    if (!wd && exhausted(wd.error())) return fail(wd.error());
    if (!wd) continue;
    Watch& watch = watches_[*wd];
    watch.folder = source.folder;
    watch.rules.push_back({target, std::move(source.names)});
  }
  jobs_.push_back({target, "", FolderRules::above(root, unreadable).rules, false});
  return {};
}

Result<bool> WatchSet::scan(MonotonicTime until) {
  while (!jobs_.empty()) {
    const ScanJob job = std::move(jobs_.front());
    jobs_.pop_front();
    if (Status scanned = scan_one(job); !scanned) return fail(std::move(scanned.error()));
    if (monotonic_now() >= until) break;
  }
  return !jobs_.empty();
}

// The watch comes before the listing: what is made in between is seen twice rather than never.
Status WatchSet::scan_one(const ScanJob& job) {
  const std::string& root = chains_[job.target].real;
  const std::string folder = join_path(root, job.relative);
  const auto wd = inotify_->add(folder, kContentEvents);
  if (!wd && exhausted(wd.error())) return fail(wd.error());
  if (!wd) return {};
  const auto entries = list_folder(folder);
  const FolderRulesPtr rules =
      rules_in(job.above, folder, entries.value_or(std::vector<FolderEntry>()), [](const Error&) {});
  Watch& watch = watches_[*wd];
  watch.folder = folder;
  std::erase_if(watch.trees, [&](const TreeRole& role) { return role.target == job.target; });
  watch.trees.push_back({job.target, job.relative, rules});
  if (!entries) return {};
  for (const FolderEntry& entry : *entries) {
    const bool is_folder = entry.kind == FolderEntry::Kind::Folder;
    if (!is_folder && !job.report) continue;
    std::string relative = join_path(job.relative, entry.name);
    if (scope_->skips(*rules, root, relative, is_folder)) continue;
    if (is_folder) {
      jobs_.push_back({job.target, std::move(relative), rules, job.report});
    } else {
      on_event_(FileEvent::Saved, join_path(scope_->targets()[job.target], relative));
    }
  }
  return {};
}

Result<bool> WatchSet::read() {
  Status done;
  inotify_->read([&](const InotifyEvent& event) {
    if (done && !lost_) done = on_inotify(event);
  });
  if (!done) return fail(std::move(done.error()));
  return lost_ || rules_changed_;
}

Status WatchSet::on_inotify(const InotifyEvent& event) {
  if ((event.mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) != 0) lost_ = true;
  const auto found = watches_.find(event.wd);
  if (found == watches_.end()) return {};
  if ((event.mask & IN_IGNORED) != 0) {
    watches_.erase(found);
    return {};
  }
  if (event.name.empty()) return {};
  // Copies: following a path and forgetting a folder change the roles.
  const std::string folder = found->second.folder;
  const std::vector<TreeRole> trees = found->second.trees;
  std::vector<LinkRole> links;
  for (const LinkRole& role : found->second.links) {
    if (role.name == event.name) links.push_back(role);
  }
  for (const RulesRole& role : found->second.rules) {
    if (std::ranges::find(role.names, event.name) != role.names.end()) rules_changed_ = true;
  }
  for (const TreeRole& role : trees) on_tree(role, folder, event);
  for (const LinkRole& role : links) {
    if (Status handled = on_link(role, folder, event); !handled) return handled;
  }
  return {};
}

Status WatchSet::on_link(const LinkRole& role, const std::string& folder, const InotifyEvent& event) {
  const std::string& target = scope_->targets()[role.target];
  if ((event.mask & (IN_MODIFY | IN_CLOSE_WRITE)) != 0) {
    if (role.final) on_event_(meaning_of(event, target), target);
    return {};
  }
  const bool existed = !chains_[role.target].real.empty();
  const bool was_folder = chains_[role.target].is_folder;
  if (Status followed = follow(role.target); !followed) return followed;
  const PathChain& chain = chains_[role.target];
  if (was_folder || chain.is_folder) {
    lost_ = true;
  } else if (chain.real.empty()) {
    if (existed) on_event_(FileEvent::Removed, target);
  } else {
    // Whatever happened on the way, the path leads to a file now; only one just created is still to be written.
    const bool unfinished = role.final && meaning_of(event, join_path(folder, event.name)) == FileEvent::Modified;
    on_event_(unfinished ? FileEvent::Modified : FileEvent::Saved, target);
  }
  return {};
}

bool WatchSet::changes_rules(const TreeRole& role, const InotifyEvent& event, const std::string& path) {
  if (event.name == FolderRules::kFile) return meaning_of(event, path) != FileEvent::Modified;
  return role.relative.empty() && event.name == FolderRules::kRepository && (event.mask & kNameEvents) != 0;
}

void WatchSet::on_tree(const TreeRole& role, const std::string& folder, const InotifyEvent& event) {
  const bool is_folder = (event.mask & IN_ISDIR) != 0;
  const std::string relative = join_path(role.relative, event.name);
  if (changes_rules(role, event, join_path(folder, event.name))) rules_changed_ = true;
  if (scope_->skips(*role.rules, chains_[role.target].real, relative, is_folder)) return;
  const FileEvent meaning = meaning_of(event, join_path(folder, event.name));
  if (is_folder && meaning != FileEvent::Removed) {
    if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) jobs_.push_back({role.target, relative, role.rules, true});
    return;
  }
  if (is_folder) forget_folder(role.target, relative);
  on_event_(meaning, join_path(scope_->targets()[role.target], relative));
}

// A folder that was renamed keeps its watches under a name that is no longer true.
void WatchSet::forget_folder(std::size_t target, const std::string& relative) {
  const std::string below = relative + "/";
  std::vector<int> touched;
  for (auto& [wd, watch] : watches_) {
    const auto inside = [&](const TreeRole& role) {
      return role.target == target && (role.relative == relative || role.relative.starts_with(below));
    };
    if (std::erase_if(watch.trees, inside) != 0) touched.push_back(wd);
  }
  for (const int wd : touched) remove_if_unused(wd);
}

void WatchSet::remove_if_unused(int wd) {
  const auto found = watches_.find(wd);
  if (found == watches_.end() || !found->second.links.empty() || !found->second.trees.empty() ||
      !found->second.rules.empty())
    return;
  inotify_->remove(wd);
  watches_.erase(found);
}

}  // namespace zeroth
