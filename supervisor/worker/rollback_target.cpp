#include "supervisor/worker/rollback_target.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace zeroth {
namespace {

constexpr std::size_t kNearby = 2;  // named on either side of what does not exist

// "55, 56, 58" of those around `wanted`; "none" if there are none.
std::string nearby(const std::set<std::uint64_t>& kept, std::uint64_t wanted) {
  auto first = kept.lower_bound(wanted);
  auto end = first;
  for (std::size_t i = 0; i < kNearby && first != kept.begin(); ++i) --first;
  for (std::size_t i = 0; i < kNearby && end != kept.end(); ++i) ++end;
  std::string list;
  for (; first != end; ++first) list += (list.empty() ? "" : ", ") + std::to_string(*first);
  return list.empty() ? "none" : list;
}

tl::unexpected<Refusal> not_found(const std::string& message, const std::string& hint) {
  return tl::unexpected(Refusal{ErrorCode::NotFound, message, hint, nullptr});
}

std::set<std::uint64_t> sequences_of(std::span<const SnapshotEnvelope> snapshots) {
  std::set<std::uint64_t> sequences;
  for (const SnapshotEnvelope& snapshot : snapshots) sequences.insert(snapshot.sequence);
  return sequences;
}

}  // namespace

tl::expected<RollbackTarget, Refusal> choose_rollback(const RollbackWish& wish,
                                                      std::span<const SnapshotEnvelope> newest_first,
                                                      const std::map<std::uint64_t, std::string>& programs) {
  const auto is_meant = [&](const SnapshotEnvelope& snapshot) {
    return wish.sequence ? snapshot.sequence == *wish.sequence
                         : snapshot.generation == *wish.generation && !snapshot.imported;
  };
  const auto snapshot = std::find_if(newest_first.begin(), newest_first.end(), is_meant);
  const bool kept = snapshot != newest_first.end();
  if (wish.sequence && !kept) {
    return not_found(
        "there is no snapshot " + std::to_string(*wish.sequence),
        "kept nearby: " + nearby(sequences_of(newest_first), *wish.sequence) + "; see zerothctl snapshots");
  }
  RollbackTarget target;
  target.generation = wish.sequence ? snapshot->generation : *wish.generation;
  const auto program = programs.find(target.generation);
  if (kept) {
    target.program_hash = snapshot->program_hash;
  } else if (program != programs.end()) {
    target.program_hash = program->second;
  }
  if (kept && !wish.code_only) target.sequence = snapshot->sequence;
  const bool found = kept || (wish.code_only && program != programs.end());
  if (found) return target;
  std::set<std::uint64_t> generations;
  for (const SnapshotEnvelope& one : newest_first) generations.insert(one.generation);
  const std::string hint = "generations with a snapshot nearby: " + nearby(generations, target.generation) +
                           "; see zerothctl snapshots and zerothctl generations";
  const std::string what = "generation " + std::to_string(target.generation);
  if (program == programs.end()) return not_found(what + " was never live, or is forgotten", hint);
  return not_found("no snapshot of " + what + " is kept any more", hint + "; --code-only needs none");
}

std::optional<std::uint64_t> iteration_in(std::string_view schema, std::string_view state) {
  constexpr std::string_view kMember = "\"iteration\":";
  if (!schema.starts_with("zeroth-vm/")) return std::nullopt;
  const std::size_t at = state.substr(0, 4096).find(kMember);
  if (at == std::string_view::npos) return std::nullopt;
  std::uint64_t iteration = 0;
  const char* begin = state.data() + at + kMember.size();
  const auto [end, error] = std::from_chars(begin, state.data() + state.size(), iteration);
  return error == std::errc() && end != begin ? std::optional(iteration) : std::nullopt;
}

}  // namespace zeroth
