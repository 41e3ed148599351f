#include "supervisor/reload/restore_check.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/text.h"
#include "supervisor/snapshot/state_diff.h"

namespace zeroth {
namespace {

constexpr std::string_view kArrow = " \u2192 ";  // of a renamed part
constexpr std::size_t kNamesTold = 5;
constexpr std::size_t kValueTold = 80;  // bytes

// A state as a file, in memory if it came as text.
Result<UniqueFd> open_state(const RestoreSource& source) {
  if (source.file) {
    UniqueFd fd(::open(source.file->path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    return fd ? Result<UniqueFd>(std::move(fd)) : fail(last_error(source.file->path));
  }
  UniqueFd fd(::memfd_create("state", MFD_CLOEXEC));
  if (!fd) return fail(last_error("memfd"));
  if (!write_all(fd.get(), source.state)) return fail(last_error("memfd"));
  return fd;
}

JsonScan scan(int fd, const RestoreSource& source) {
  if (source.file) return {fd, source.file->offset, source.file->length};
  return {fd, 0, source.state.size()};
}

// The members of the state that the worker says are not what they were.
std::set<std::string, std::less<>> explained(const RestoreSummary& told) {
  std::set<std::string, std::less<>> names;
  for (const NameCount* list : {&told.added, &told.removed, &told.rewritten}) {
    names.insert(list->names.begin(), list->names.end());
  }
  for (const std::string& renamed : told.renamed.names) {
    const std::size_t arrow = renamed.find(kArrow);
    names.insert(renamed.substr(0, arrow));
    if (arrow != std::string::npos) names.insert(renamed.substr(arrow + kArrow.size()));
  }
  for (const std::string& name : std::vector<std::string>(names.lower_bound("$"), names.lower_bound("%")))
    names.insert("$" + name);  // as the libraries write it
  return names;
}

std::uint64_t unnamed(const NameCount& list) {
  return list.count - std::min<std::uint64_t>(list.count, list.names.size());
}

std::string shown(const Json& value) {
  const std::string text = dump(value);
  return escape_control(text.substr(0, kValueTold)) + (text.size() > kValueTold ? "\u2026" : "");
}

std::string in_words(const StateDiff& diff) {
  const std::uint64_t total = diff.added_count + diff.removed_count + diff.changed_count;
  std::string first;
  if (!diff.changed.empty()) {
    const auto at = diff.changed.begin();
    first = escape_control(at.key()) + " is " + shown(at.value()["to"]) + ", was " + shown(at.value()["from"]);
  } else if (!diff.removed.empty()) {
    first = escape_control(diff.removed.begin().key()) + " is gone, was " + shown(diff.removed.begin().value());
  } else if (!diff.added.empty()) {
    first = escape_control(diff.added.begin().key()) + " is new: " + shown(diff.added.begin().value());
  }
  return first + (total > 1 ? " (and " + with_thousands(total - 1) + " more)" : "");
}

// On the pool.
Status compare(const RestoreSource& given, const RestoreSource& found, const RestoreSummary& told) {
  auto a = open_state(given), b = open_state(found);
  if (!a || !b) return fail(a ? std::move(b.error()) : std::move(a.error()));
  JsonScan before = scan(a->get(), given), after = scan(b->get(), found);
  const auto diff = diff_states(before, after, explained(told));
  if (!diff) return fail(diff.error());
  // Of long lists not every name is told.
  const bool added = diff->added_count > unnamed(told.added) + unnamed(told.renamed);
  const bool removed = diff->removed_count > unnamed(told.removed) + unnamed(told.renamed);
  if (diff->changed_count == 0 && !added && !removed) return {};
  return fail("the restored state is not the one that was saved: " + in_words(*diff));
}

}  // namespace

std::string listed(const NameCount& names) {
  std::string text = std::to_string(names.count) + (names.count == 1 ? " part (" : " parts (");
  for (std::size_t i = 0; i < names.names.size() && i < kNamesTold; ++i)
    text += (i == 0 ? "" : ", ") + escape_control(names.names[i]);
  return text + (names.count > kNamesTold ? ", \u2026)" : ")");
}

RestoreCheck::RestoreCheck(Loop& loop, std::shared_ptr<Checkpoint> asked, RestoreSource given,
                           const RestoreSummary& told)
    : loop_(loop), asked_(std::move(asked)), given_(std::move(given)), told_(told) {}

void RestoreCheck::begin(std::function<void(const Status&)> done) {
  done_ = std::move(done);
  constexpr Milliseconds kLeast{10'000};
  const auto deadline = kLeast + Milliseconds(static_cast<std::int64_t>(given_.bytes / 10'000));
  asked_->take({false, false, deadline}, [this](const Status& taken) { on_taken(taken); });
}

void RestoreCheck::on_taken(const Status& taken) {
  const auto call = done_;
  if (!taken) return call(fail("asking for the restored state: " + taken.error().message));
  if (asked_->unchanged()) return call(fail("asking for the restored state: it was not given, only called unchanged"));
  const auto outcome = std::make_shared<Status>();
  loop_.in_pool(
      [outcome, given = given_, found = asked_->given(), told = told_] { *outcome = compare(given, found, told); },
      alive_, [call, outcome] { call(*outcome); });
}

}  // namespace zeroth
