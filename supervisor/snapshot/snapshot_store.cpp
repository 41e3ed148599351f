#include "supervisor/snapshot/snapshot_store.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/clock.h"
#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::string_view kLinkPrefix = ".restore-";

Error no_snapshot(std::uint64_t sequence) {
  return {ENOENT, "there is no snapshot " + std::to_string(sequence)};
}

Status check_frame(SnapshotFolder& folder, std::uint64_t sequence) {
  const std::string name = snapshot_name(sequence);
  const auto fd = folder.open_file(name, O_RDONLY);
  if (!fd && fd.error().code == ENOENT) return fail(no_snapshot(sequence));
  if (!fd) return fail(fd.error());
  const auto envelope = read_snapshot_envelope(fd->get(), sequence);
  if (!envelope) return fail(Error(envelope.error().error).in(name));
  return {};
}

RetentionEntry entry_of(const SnapshotEnvelope& envelope, bool valid) {
  const bool counts = valid && !envelope.imported;  // else it is none of the two that always stay
  RetentionEntry entry{envelope.sequence, counts, envelope.created_at, envelope.length, envelope.program_hash};
  entry.schema = envelope.schema;
  return entry;
}

// The last one to drop it is the loop, which must not wait for its removal.
std::shared_ptr<DraftFile> dropped_on_pool(Loop& loop, std::shared_ptr<DraftFile> file) {
  DraftFile* raw = file.get();
  return {raw, [&loop, file = std::move(file)](DraftFile*) mutable {
            loop.in_pool([file = std::move(file)]() mutable { file.reset(); }, [] {});
          }};
}

// As its header says; a file that has none is known by its name only.
RetentionEntry read_entry(SnapshotFolder& folder, std::uint64_t sequence) {
  if (const auto fd = folder.open_file(snapshot_name(sequence), O_RDONLY)) {
    if (const auto envelope = read_snapshot_envelope(fd->get(), sequence)) return entry_of(*envelope, false);
  }
  return {sequence, false, {}, 0, ""};
}

}  // namespace

struct SnapshotStore::Opened {
  std::shared_ptr<SnapshotFolder> folder;
  SnapshotFolder::Listing listing;
  std::vector<RetentionEntry> entries;
  Result<Quarantine> quarantine;
  Result<Pins> pins;
};

SnapshotStore::SnapshotStore(Loop& loop, std::string worker_folder, std::string identity, RetentionRules rules)
    : loop_(loop),
      worker_folder_(std::move(worker_folder)),
      identities_{std::move(identity)},
      rules_(rules),
      quarantine_file_(std::make_shared<QuarantineFile>(worker_folder_ + "/quarantine.json")),
      pin_file_(std::make_shared<PinFile>(worker_folder_ + "/pins.json")) {}

void SnapshotStore::open(Done<Status> done) {
  const bool first = folder_ == nullptr;
  const auto work = [path = worker_folder_ + "/snapshots", quarantine = quarantine_file_, pins = pin_file_,
                     first]() -> Result<Opened> {
    auto folder = SnapshotFolder::open(path);
    if (!folder) return fail(std::move(folder.error()));
    auto listing = (*folder)->list(first);
    if (!listing) return fail(std::move(listing.error()));
    std::vector<RetentionEntry> entries;
    for (const std::uint64_t sequence : listing->sequences) entries.push_back(read_entry(**folder, sequence));
    return Opened{std::move(*folder), std::move(*listing), std::move(entries), quarantine->read(),
                  first ? pins->read() : Pins{}};
  };
  writes_.run<Opened>(DiskWork::patience_for(0), work, alive_,
                      [this, known = index_, done = std::move(done)](Result<Opened> opened) {
                        if (!opened) return done(fail(std::move(opened.error()).in("opening the snapshot folder")));
                        on_opened(std::move(*opened), known);
                        done({});
                      });
}

void SnapshotStore::on_opened(Opened opened, const Index& known) {
  folder_ = std::move(opened.folder);
  if (unused_) abandon({0, {}, std::exchange(unused_, nullptr)});
  note_sequence(opened.listing.highest);
  Index index;
  for (RetentionEntry& entry : opened.entries) index.emplace(entry.sequence, std::move(entry));
  for (const auto& [sequence, entry] : index_) {
    if (index.contains(sequence) || !known.contains(sequence)) index[sequence] = entry;
  }
  index_ = std::move(index);
  if (newest_ && !index_.contains(newest_->sequence)) newest_.reset();

  if (opened.pins) {
    pins_.merge(*opened.pins);
  } else {
    pins_lost_ = opened.pins.error().message;
    for (const auto& [sequence, entry] : index_) held_.insert(sequence);
  }
  std::erase_if(pins_, [this](std::uint64_t sequence) { return !index_.contains(sequence); });

  rejected_.clear();
  if (!pins_lost_.empty()) rejected_.push_back({"pins.json", pins_lost_});
  for (std::string& file : opened.listing.set_aside) rejected_.push_back({std::move(file), "set aside earlier"});
  if (!opened.quarantine) {
    rejected_.push_back({"quarantine.json", opened.quarantine.error().message});
    return;
  }
  quarantine_.merge(*opened.quarantine);
  for (const auto& [sequence, reason] : quarantine_) {
    note_sequence(sequence);
    if (index_.contains(sequence)) rejected_.push_back({snapshot_name(sequence), reason});
  }
}

void SnapshotStore::note_sequence(std::uint64_t sequence) {
  next_ = std::max(next_, std::min(sequence, kMaxSequence) + 1);
}

void SnapshotStore::begin(SnapshotEnvelope head, Done<Result<Draft>> done) {
  auto unused = std::exchange(unused_, nullptr);
  if (unused && unused->envelope().sequence + 1 != next_) abandon({0, {}, std::exchange(unused, nullptr)});
  head.sequence = unused ? next_ - 1 : next_;
  if (!unused && next_ <= kMaxSequence) ++next_;
  run_in_time<Draft>(
      writes_, 0,
      [loop = &loop_, head = std::move(head), folder = folder_, unused](SnapshotFolder&) -> Result<Draft> {
        if (head.sequence > kMaxSequence) return fail("sequence numbers are used up");
        if (unused && unused->begin_again(head)) return Draft{head.sequence, unused->offer(), unused};
        if (unused) unused->give_up();
        auto file = DraftFile::create(folder, head);
        if (!file) return fail(std::move(file.error()));
        const StateFile offer = (*file)->offer();
        return Draft{head.sequence, offer, dropped_on_pool(*loop, std::move(*file))};
      },
      std::move(done));
}

void SnapshotStore::write(const Draft& draft, DraftState state, Done<Status> done, const std::string& schema) {
  const auto* announced = std::get_if<std::uint64_t>(&state);
  const std::uint64_t bytes = announced ? *announced : std::get<std::string>(state).size();
  auto text = std::make_shared<const DraftState>(std::move(state));
  auto work = [file = draft.handle, text, schema](SnapshotFolder&) { return file->write(*text, schema); };
  run_in_time<void>(writes_, bytes, std::move(work), std::move(done));
}

void SnapshotStore::commit(const Draft& draft, Done<Result<Committed>> done) {
  ++commits_running_;
  const auto end = [this, file = draft.handle](const Result<Committed>& committed) {
    if (file->renamed()) on_committed(*file, committed.has_value());
  };
  run_in_time<Committed>(
      writes_, draft.handle->envelope().length,
      [file = draft.handle, began = monotonic_now()](SnapshotFolder&) -> Result<Committed> {
        if (Status committed = file->commit(); !committed) return fail(std::move(committed.error()));
        return Committed{file->envelope().sequence, file->envelope().length, elapsed_ms(began, monotonic_now())};
      },
      [this, end, done = std::move(done)](Result<Committed> committed) {
        if (committed || committed.error().code != ETIMEDOUT) end(committed);
        end_commit();
        done(std::move(committed));
      },
      end);
}

void SnapshotStore::end_commit() {
  if (--commits_running_ > 0) return;
  for (const auto& search_now : std::exchange(searches_, {})) search_now();
}

// After a failed fsync of the folder the file is there, but nobody may count on it.
void SnapshotStore::on_committed(const DraftFile& file, bool durable) {
  if (!durable) {
    index_.emplace(file.envelope().sequence, entry_of(file.envelope(), false));
    return;
  }
  note_valid(file.envelope());
  prune(rules_, [](const Status&) {});
}

void SnapshotStore::note_valid(const SnapshotEnvelope& envelope) {
  index_[envelope.sequence] = entry_of(envelope, true);
  if (!envelope.imported && (!newest_ || newest_->sequence < envelope.sequence)) newest_ = envelope;
}

void SnapshotStore::abandon(Draft draft) {
  loop_.in_pool([file = std::move(draft.handle)] { file->give_up(); }, [] {});
}

void SnapshotStore::put_back(Draft draft) {
  if (draft.sequence + 1 != next_) return abandon(std::move(draft));
  unused_ = std::move(draft.handle);
}

void SnapshotStore::link_for_restore(const Draft& draft, Done<Result<StateFile>> done) {
  run_in_time<StateFile>(
      writes_, 0,
      [file = draft.handle, name = next_link_name(draft.sequence)](SnapshotFolder&) -> Result<StateFile> {
        return file->link(name);
      },
      std::move(done),
      [this](const Result<StateFile>& file) {
        if (file) drop_link(*file);
      });
}

std::string SnapshotStore::next_link_name(std::uint64_t sequence) {
  return std::string(kLinkPrefix) + std::to_string(sequence) + "." + std::to_string(++links_);
}

void SnapshotStore::drop_link(const StateFile& file) {
  const std::string name = name_of(file.path);
  if (!folder_ || !name.starts_with(kLinkPrefix)) return;
  loop_.in_pool([folder = folder_, name] { (void)folder->remove(name); }, [] {});
}

std::vector<std::uint64_t> SnapshotStore::newest_first() const {
  std::vector<std::uint64_t> sequences;
  for (auto entry = index_.rbegin(); entry != index_.rend(); ++entry) sequences.push_back(entry->first);
  return sequences;
}

void SnapshotStore::search(const SearchOptions& options, Done<Result<SearchResult>> done) {
  if (commits_running_ > 0) return searches_.push_back([this, options, done] { search(options, done); });
  const std::string link = next_link_name(next_ - 1);
  std::uint64_t bytes = 0;
  for (const auto& [sequence, entry] : index_) bytes += entry.bytes;
  run_in_time<SearchResult>(
      searching_, bytes,
      [sequences = newest_first(), identities = identities_, quarantine = quarantine_, options,
       link](SnapshotFolder& folder) -> Result<SearchResult> {
        return search_snapshots(folder, sequences, identities, quarantine, options, link);
      },
      [this, done = std::move(done)](Result<SearchResult> result) {
        if (result) {
          note_rejected(result->skipped);
          if (result->found) note_valid(result->found->envelope);
        }
        done(std::move(result));
      },
      [this](const Result<SearchResult>& result) {
        if (result && result->found && result->found->file) drop_link(*result->found->file);
      });
}

void SnapshotStore::note_rejected(const std::vector<Skipped>& skipped) {
  for (const Skipped& one : skipped) {
    if (!is_set_aside(one.reason)) continue;
    index_.erase(one.sequence);
    if (newest_ && newest_->sequence == one.sequence) newest_.reset();
    rejected_.push_back({one.file, one.message});
  }
}

void SnapshotStore::quarantine(std::uint64_t sequence, std::string reason, Done<Status> done) {
  note_sequence(sequence);
  rejected_.push_back({snapshot_name(sequence), reason});
  quarantine_[sequence] = std::move(reason);
  if (const auto entry = index_.find(sequence); entry != index_.end()) entry->second.valid = false;
  if (newest_ && newest_->sequence == sequence) newest_.reset();
  run_in_time<void>(
      writes_, 0, [file = quarantine_file_, all = quarantine_](SnapshotFolder&) { return file->write(all); },
      std::move(done));
}

void SnapshotStore::pin(std::uint64_t sequence, Done<Status> done) {
  const bool known = index_.contains(sequence);
  const bool added = known && pins_.insert(sequence).second;  // before the look at the file: no pruning comes between
  run_in_time<void>(
      writes_, 0,
      [sequence, known](SnapshotFolder& folder) -> Status {
        return known ? check_frame(folder, sequence) : fail(no_snapshot(sequence));
      },
      [this, sequence, added, done = std::move(done)](Status there) {
        if (there) return write_pins(done);
        if (added) pins_.erase(sequence);
        done(std::move(there));
      });
}

void SnapshotStore::unpin(std::uint64_t sequence, Done<Status> done) {
  if (pins_.erase(sequence) > 0) return write_pins(std::move(done));
  const bool known = index_.contains(sequence);
  loop_.post([done = std::move(done), known, sequence, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) done(known ? Status() : fail(no_snapshot(sequence)));
  });
}

void SnapshotStore::write_pins(Done<Status> done) {
  run_in_time<void>(
      writes_, 0,
      [file = pin_file_, pins = pins_, version = ++pins_version_](SnapshotFolder&) {
        return file->write(pins, version);
      },
      std::move(done));
}

void SnapshotStore::look_at(std::uint64_t sequence, Done<Status> done) const {
  run<void>([sequence](SnapshotFolder& folder) { return check_frame(folder, sequence); }, std::move(done));
}

std::shared_ptr<void> SnapshotStore::keep_while(std::uint64_t sequence) {
  const auto kept = std::make_shared<std::uint64_t>(sequence);
  kept_while_.push_back(kept);
  return kept;
}

bool SnapshotStore::is_kept(std::uint64_t sequence) const {
  if (pins_.contains(sequence) || held_.contains(sequence) || sequence == begun_from_) return true;
  return std::any_of(kept_while_.begin(), kept_while_.end(), [sequence](const auto& kept) {
    const auto locked = kept.lock();
    return locked && *locked == sequence;
  });
}

void SnapshotStore::shrink(std::uint64_t bytes, Done<Status> done) {
  const std::vector<RetentionEntry> entries = entries_newest_first();
  std::vector<std::uint64_t> expired = expired_snapshots(entries, wall_now(), kKeepLeast);  // oldest first
  std::uint64_t freed = 0;
  const auto enough = std::find_if(expired.begin(), expired.end(), [&](std::uint64_t sequence) {
    const bool done_before = freed >= bytes;
    freed += index_.at(sequence).bytes;
    return done_before;
  });
  expired.erase(enough, expired.end());
  remove(expired, std::move(done));
}

void SnapshotStore::prune(const RetentionRules& rules, Done<Status> done) {
  remove(expired_snapshots(entries_newest_first(), wall_now(), rules), std::move(done));
}

std::vector<RetentionEntry> SnapshotStore::entries_newest_first() {
  std::erase_if(kept_while_, [](const auto& kept) { return kept.expired(); });
  std::vector<RetentionEntry> entries;
  for (auto entry = index_.rbegin(); entry != index_.rend(); ++entry) {
    entries.push_back(entry->second);
    entries.back().pinned = is_kept(entry->first);
    entries.back().before_loss = before_losses_.contains(entry->first);
  }
  return entries;
}

void SnapshotStore::remove(const std::vector<std::uint64_t>& expired, Done<Status> done) {
  for (const std::uint64_t sequence : expired) index_.erase(sequence);
  run_in_time<std::vector<Skipped>>(
      writes_, 0,
      [expired, identities = identities_](SnapshotFolder& folder) -> Result<std::vector<Skipped>> {
        std::vector<Skipped> left;
        for (const std::uint64_t sequence : expired) {
          if (auto skipped = remove_expired(folder, sequence, identities)) left.push_back(std::move(*skipped));
        }
        return left;
      },
      [this, done = std::move(done)](Result<std::vector<Skipped>> left) {
        if (!left) return done(fail(std::move(left.error())));
        note_rejected(*left);
        done({});
      });
}

}  // namespace zeroth
