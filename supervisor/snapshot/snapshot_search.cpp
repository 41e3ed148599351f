#include "supervisor/snapshot/snapshot_search.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/files.h"

namespace zeroth {
namespace {

Skipped skip(std::uint64_t sequence, SkipReason reason, std::string message) {
  return {sequence, reason, snapshot_name(sequence), std::move(message)};
}

Skipped skip_unreadable(std::uint64_t sequence, Error error) {
  return {sequence, SkipReason::Unreadable, snapshot_name(sequence), std::move(error.message), error.code};
}

// It will be possible soon, whatever the disk holds.
bool is_passing(int code) {
  return code == EMFILE || code == ENFILE || code == ENOMEM || code == EAGAIN || code == EINTR;
}

Skipped skip_defect(const SnapshotFolder& folder, std::uint64_t sequence, SnapshotDefect defect) {
  Skipped skipped = skip_unreadable(sequence, std::move(defect.error));
  switch (defect.fault) {
    case SnapshotFault::Unreadable:
      break;
    case SnapshotFault::Newer:
      skipped.reason = SkipReason::Newer;
      break;
    case SnapshotFault::Corrupt:
      skipped.reason = SkipReason::Corrupt;
      const std::string aside = skipped.file + ".corrupt";
      if (folder.rename(skipped.file, aside)) skipped.file = aside;  // else (read-only) it is named as it is
      break;
  }
  return skipped;
}

// Whether a verified snapshot may be restored here and now.
std::optional<Skipped> refuse(const SnapshotEnvelope& envelope, const std::vector<std::string>& identities,
                              const SearchOptions& options) {
  const bool ours = std::any_of(identities.begin(), identities.end(),
                                [&](const std::string& own) { return envelope.identity == as_recorded(own); });
  if (!options.adopt && !ours) return skip(envelope.sequence, SkipReason::Foreign, "belongs to " + envelope.identity);
  if (options.takes && !options.takes->takes(envelope.schema))
    return skip(envelope.sequence, SkipReason::Schema, options.takes->refusal(envelope.schema));
  if (options.max_age && options.now - envelope.created_at > *options.max_age)
    return skip(
        envelope.sequence, SkipReason::TooOld,
        human_duration(options.now - envelope.created_at) + " old, more than " + human_duration(*options.max_age));
  return std::nullopt;
}

// A snapshot is next to code: whoever wrote it decides what the worker does.
std::optional<Skipped> refuse_owner(int fd, std::uint64_t sequence) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return skip_unreadable(sequence, last_error("stat"));
  if (info.st_uid == ::geteuid() || info.st_uid == 0) return std::nullopt;
  return skip(sequence, SkipReason::Owner,
              "the file belongs to user " + std::to_string(info.st_uid) + ", whom we do not trust; chown it");
}

Result<Restorable> take(const SnapshotFolder& folder, int fd, SnapshotEnvelope envelope, const std::string& link_name) {
  Restorable found{std::move(envelope), "", std::nullopt};
  const SnapshotEnvelope& from = found.envelope;
  if (from.length <= kInlineStateBytes) {
    found.state.resize(static_cast<std::size_t>(from.length));
    auto got = read_at(fd, found.state.data(), found.state.size(), from.state_offset);
    if (!got) return fail(std::move(got.error()));
    if (found.state.find('\n') == std::string::npos) return found;  // a message is one line
    found.state.clear();
  }
  if (Status linked = folder.link(snapshot_name(from.sequence), link_name); !linked)
    return fail(std::move(linked.error()));
  found.file = StateFile{folder.path_of(link_name), from.state_offset, from.length};
  return found;
}

tl::expected<Restorable, Skipped> try_snapshot(SnapshotFolder& folder, std::uint64_t sequence,
                                               const std::vector<std::string>& identities, const SearchOptions& options,
                                               const std::string& link_name) {
  auto fd = folder.open_file(snapshot_name(sequence), O_RDONLY);
  if (!fd) return tl::unexpected(skip_unreadable(sequence, fd.error()));
  if (auto refused = refuse_owner(fd->get(), sequence)) return tl::unexpected(std::move(*refused));
  auto envelope = verify_snapshot(fd->get(), sequence);
  if (!envelope) return tl::unexpected(skip_defect(folder, sequence, std::move(envelope.error())));
  if (auto refused = refuse(*envelope, identities, options)) return tl::unexpected(std::move(*refused));
  auto taken = take(folder, fd->get(), std::move(*envelope), link_name);
  if (!taken) return tl::unexpected(skip_unreadable(sequence, taken.error()));
  return std::move(*taken);
}

}  // namespace

std::string_view to_string(SkipReason reason) {
  switch (reason) {
    case SkipReason::Corrupt:
      return "corrupt";
    case SkipReason::Newer:
      return "newer";
    case SkipReason::Foreign:
      return "foreign";
    case SkipReason::Owner:
      return "owner";
    case SkipReason::Quarantined:
      return "quarantined";
    case SkipReason::Schema:
      return "schema";
    case SkipReason::TooOld:
      return "too old";
    case SkipReason::Unreadable:
      return "unreadable";
  }
  return "";
}

Result<SearchResult> search_snapshots(SnapshotFolder& folder, const std::vector<std::uint64_t>& newest_first,
                                      const std::vector<std::string>& identities, const Quarantine& quarantine,
                                      const SearchOptions& options, const std::string& link_name) {
  SearchResult result;
  for (const std::uint64_t sequence : newest_first) {
    if (sequence >= options.before || options.aside.contains(sequence)) continue;
    if (options.exactly && sequence != *options.exactly) continue;
    const auto entry = quarantine.find(sequence);
    tl::expected<Restorable, Skipped> tried =
        entry != quarantine.end() ? tl::unexpected(skip(sequence, SkipReason::Quarantined, entry->second))
                                  : try_snapshot(folder, sequence, identities, options, link_name);
    const bool begun_from = options.aside.to != 0 && sequence == options.aside.after;
    if (tried && tried->envelope.imported && !options.exactly && !begun_from) {
      if (tried->file) (void)folder.remove(link_name);
      continue;
    }
    if (tried) {
      result.found = std::move(*tried);
      break;
    }
    if (is_passing(tried.error().code))
      return fail(tried.error().file + ": " + tried.error().message, tried.error().code);
    result.skipped.push_back(std::move(tried.error()));
    if (result.skipped.back().reason == SkipReason::TooOld) break;
  }
  return result;
}

std::optional<Skipped> remove_expired(SnapshotFolder& folder, std::uint64_t sequence,
                                      const std::vector<std::string>& identities) {
  auto fd = folder.open_file(snapshot_name(sequence), O_RDONLY);
  if (!fd) return skip_unreadable(sequence, fd.error());
  auto envelope = read_snapshot_envelope(fd->get(), sequence);
  if (!envelope) return skip_defect(folder, sequence, std::move(envelope.error()));
  if (auto refused = refuse(*envelope, identities, {})) return refused;
  if (Status removed = folder.remove(snapshot_name(sequence)); !removed)
    return skip_unreadable(sequence, removed.error());
  return std::nullopt;
}

}  // namespace zeroth
