#include "supervisor/snapshot/diff_collector.h"

#include "common/hash.h"
#include "common/json_reader.h"
#include "common/snapshot_format.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kMostShown = 1'000;
constexpr std::size_t kMostReplyBytes = 900 * 1024;  // of one reply; a control message is at most 1 MiB
constexpr std::size_t kLongestShown = 200;           // bytes of a value that is shown whole
constexpr std::size_t kBeginning = 100;              // bytes of one that is not
constexpr std::size_t kContainerMembers = 2'000;     // of all shown containers: a message has at most 10,000 members
constexpr std::size_t kLongestPointer = 512;

std::size_t members_in(const Json& value) {
  std::size_t count = value.is_structured() ? value.size() : 0;
  if (value.is_structured()) {
    for (const Json& inner : value) count += members_in(inner);
  }
  return count;
}

// Valid UTF-8, and not too long.
std::string short_pointer(const std::string& pointer) {
  if (pointer.size() <= kLongestPointer) return as_recorded(pointer);
  return as_recorded(pointer.substr(0, kBeginning)) + "\u2026 (" + std::to_string(pointer.size()) + " bytes, " +
         xxh3_hex(pointer).substr(0, 8) + ")";
}

}  // namespace

Status DiffCollector::added(const std::string& pointer, const StateSpan& value) {
  ++diff_.added_count;
  return put(diff_.added, pointer, value, nullptr);
}

Status DiffCollector::removed(const std::string& pointer, const StateSpan& value) {
  ++diff_.removed_count;
  return put(diff_.removed, pointer, value, nullptr);
}

Status DiffCollector::changed(const std::string& pointer, const StateSpan& from, const StateSpan& to) {
  ++diff_.changed_count;
  return put(diff_.changed, pointer, from, &to);
}

Status DiffCollector::put(Json& into, const std::string& pointer, const StateSpan& value, const StateSpan* to) {
  if (shown_ == kMostShown) return {};
  auto first = shown(value);
  if (!first) return fail(std::move(first.error()));
  Json entry = std::move(*first);
  if (to != nullptr) {
    auto second = shown(*to);
    if (!second) return fail(std::move(second.error()));
    entry = Json{{"from", std::move(entry)}, {"to", std::move(*second)}};
  }
  const std::string name = short_pointer(pointer);
  const std::size_t size = dump(Json(name)).size() + dump(entry).size() + 2;
  if (bytes_ + size > kMostReplyBytes) return {};
  bytes_ += size;
  ++shown_;
  into[name] = std::move(entry);
  return {};
}

Result<Json> DiffCollector::shown(const StateSpan& value) {
  const std::uint64_t size = value.end - value.begin;
  const bool whole = size <= kLongestShown;
  auto raw = value.text->raw(value.begin, whole ? static_cast<std::size_t>(size) : kBeginning);
  if (!raw) return fail(std::move(raw.error()));
  if (whole) {
    auto parsed = parse_json(*raw, {.depth = 16});
    const std::size_t members = parsed ? members_in(parsed->value) : 0;
    if (parsed && members_ + members <= kContainerMembers) {
      members_ += members;
      return std::move(parsed->value);
    }
  }
  return Json{{"$shortened", raw->substr(0, kBeginning)}, {"bytes", size}};
}

Json to_json(const StateDiff& diff) {
  return {{"added", diff.added},
          {"removed", diff.removed},
          {"changed", diff.changed},
          {"total", diff.added_count + diff.removed_count + diff.changed_count},
          {"counts", {{"added", diff.added_count}, {"removed", diff.removed_count}, {"changed", diff.changed_count}}}};
}

}  // namespace zeroth
