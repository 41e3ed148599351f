// SnapshotStore: showing and comparing states, snapshots as files outside the folder, what is done about a save that
// failed, and which snapshots fit a code.

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/files.h"
#include "supervisor/snapshot/snapshot_exchange.h"
#include "supervisor/snapshot/snapshot_store.h"
#include "supervisor/snapshot/state_diff.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kShownState = 512 * 1024;  // bytes of a state that `snapshot` shows; half a control message

struct OpenSnapshot {
  UniqueFd fd;
  SnapshotEnvelope envelope;
};

Result<OpenSnapshot> open_verified(SnapshotFolder& folder, std::uint64_t sequence) {
  auto fd = folder.open_file(snapshot_name(sequence), O_RDONLY);
  if (!fd && fd.error().code == ENOENT) return fail("there is no snapshot " + std::to_string(sequence), ENOENT);
  if (!fd) return fail(std::move(fd.error()));
  auto envelope = verify_snapshot(fd->get(), sequence);
  if (!envelope) return fail(std::move(envelope.error().error).in(snapshot_name(sequence)));
  return OpenSnapshot{std::move(*fd), std::move(*envelope)};
}

Result<SnapshotStore::Detail> read_detail(SnapshotFolder& folder, std::uint64_t sequence) {
  auto opened = open_verified(folder, sequence);
  if (!opened) return fail(std::move(opened.error()));
  const std::string name = snapshot_name(sequence);
  SnapshotStore::Detail detail{std::move(opened->envelope), folder.path_of(name), std::nullopt};
  if (detail.envelope.length > kShownState) return detail;
  std::string state(static_cast<std::size_t>(detail.envelope.length), '\0');
  auto got = read_at(opened->fd.get(), state.data(), state.size(), detail.envelope.state_offset);
  if (!got) return fail(std::move(got.error()).in(name));
  detail.state = std::move(state);
  return detail;
}

Result<Json> diff_snapshots(SnapshotFolder& folder, std::uint64_t a, std::uint64_t b) {
  const auto first = open_verified(folder, a);
  if (!first) return fail(first.error());
  const auto second = open_verified(folder, b);
  if (!second) return fail(second.error());
  JsonScan from(first->fd.get(), first->envelope.state_offset, first->envelope.length);
  JsonScan to(second->fd.get(), second->envelope.state_offset, second->envelope.length);
  auto found = diff_states(from, to);
  if (!found) return fail(std::move(found.error()));
  Json result = to_json(*found);
  const auto short_form = [](const SnapshotEnvelope& envelope) {
    return Json{{"sequence", envelope.sequence},
                {"generation", envelope.generation},
                {"created_at", rfc3339(envelope.created_at)}};
  };
  result["a"] = short_form(first->envelope);
  result["b"] = short_form(second->envelope);
  return result;
}

SnapshotEnvelope head_of_import(const SnapshotEnvelope& from, std::string worker, const std::string& identity) {
  SnapshotEnvelope head = from;
  head.imported = SnapshotOrigin{from.sequence, from.generation, from.worker, from.identity};
  head.worker = std::move(worker);
  head.identity = identity;
  head.generation = 0;
  return head;
}

tl::unexpected<Error> another_job() {
  return fail("another diff, export or import is under way", EBUSY);
}

// The folder is not where it was, or was not for us: opening it again finds or makes it.
bool is_lost(const Error& error) {
  return error.code == ENOENT || error.code == ESTALE || error.code == ENOTDIR || error.code == EACCES ||
         error.code == EPERM || error.code == EROFS;
}

}  // namespace

bool is_full(const Error& error) {
  return error.code == ENOSPC || error.code == EDQUOT || error.code == EFBIG;
}

void SnapshotStore::mend(const Error& why, std::uint64_t bytes, Done<Status> done) {
  if (is_full(why)) return shrink(bytes, std::move(done));
  if (is_lost(why)) return open(std::move(done));
  loop_.post([done = std::move(done), alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) done({});
  });
}

template <class T>
void SnapshotStore::query(std::function<Result<T>(SnapshotFolder&)> work, Done<Result<T>> done) const {
  auto result = std::make_shared<Result<T>>(fail("the snapshot folder is not open", ENOENT));
  queries_.run(
      [folder = folder_, work = std::move(work), result] {
        if (folder) *result = work(*folder);
      },
      alive_, [done = std::move(done), result] { done(std::move(*result)); });
}

void SnapshotStore::list(std::size_t offset, std::size_t limit, Done<Result<Page>> done) const {
  std::vector<std::uint64_t> wanted = newest_first();
  wanted.erase(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(std::min(offset, wanted.size())));
  wanted.resize(std::min(limit, wanted.size()));
  query<Page>(
      [wanted, total = index_.size()](SnapshotFolder& folder) -> Result<Page> {
        Page page{total, {}};
        for (const std::uint64_t sequence : wanted) {
          auto fd = folder.open_file(snapshot_name(sequence), O_RDONLY);
          if (!fd) continue;
          if (auto envelope = read_snapshot_envelope(fd->get(), sequence)) page.envelopes.push_back(*envelope);
        }
        return page;
      },
      std::move(done));
}

void SnapshotStore::read(std::uint64_t sequence, Done<Result<Detail>> done) const {
  query<Detail>([sequence](SnapshotFolder& folder) { return read_detail(folder, sequence); }, std::move(done));
}

std::shared_ptr<void> SnapshotStore::begin_job() {
  if (!job_.expired()) return nullptr;
  auto job = std::make_shared<int>();
  job_ = job;
  return job;
}

void SnapshotStore::diff(std::uint64_t a, std::uint64_t b, Done<Result<Json>> done) {
  run<Json>([a, b, job = begin_job()](
                SnapshotFolder& folder) -> Result<Json> { return job ? diff_snapshots(folder, a, b) : another_job(); },
            std::move(done));
}

void SnapshotStore::export_file(std::uint64_t sequence, std::string path, Done<Result<std::uint64_t>> done) {
  run<std::uint64_t>(
      [sequence, path = std::move(path), job = begin_job()](SnapshotFolder& folder) -> Result<std::uint64_t> {
        if (!job) return another_job();
        if (Status good = check_exchange_path(path); !good) return fail(good.error());
        return export_snapshot(folder, sequence, path);
      },
      std::move(done));
}

// One import from the look at the file to its commit.
struct SnapshotStore::Import {
  std::shared_ptr<void> job;
  Done<Result<SnapshotEnvelope>> done;
  std::shared_ptr<ForeignSnapshot> from;
  Draft draft;
};

void SnapshotStore::import_file(std::string path, std::string worker, Done<Result<SnapshotEnvelope>> done) {
  const auto import = std::make_shared<Import>(Import{begin_job(), std::move(done), nullptr, {}});
  run<std::shared_ptr<ForeignSnapshot>>(
      [path = std::move(path),
       may = import->job != nullptr](SnapshotFolder& folder) -> Result<std::shared_ptr<ForeignSnapshot>> {
        if (!may) return another_job();
        if (Status good = check_exchange_path(path); !good) return fail(good.error());
        return open_foreign(folder, path);
      },
      [this, import, worker = std::move(worker)](Result<std::shared_ptr<ForeignSnapshot>> opened) {
        if (!opened) return end_import(import, fail(std::move(opened.error())));
        import->from = std::move(*opened);
        begin(head_of_import(import->from->envelope, worker, identities_.front()), [this, import](Result<Draft> draft) {
          if (!draft) return end_import(import, fail(std::move(draft.error())));
          import->draft = std::move(*draft);
          copy_import(import);
        });
      });
}

void SnapshotStore::copy_import(const std::shared_ptr<Import>& import) {
  run<void>([from = import->from, to = import->draft.file](SnapshotFolder&) { return copy_state(*from, to); },
            [this, import](Status copied) {
              if (!copied) return end_import(import, fail(std::move(copied.error())));
              write(import->draft, import->from->envelope.length, [this, import](Status written) {
                if (!written) return end_import(import, fail(std::move(written.error())));
                commit_import(import);
              });
            });
}

// Pinned first: once it is there nothing may prune it.
void SnapshotStore::commit_import(const std::shared_ptr<Import>& import) {
  pins_.insert(import->draft.sequence);
  write_pins([this, import](Status pinned) {
    if (!pinned) return end_import(import, fail(std::move(pinned.error()).in("pinning it")));
    commit(import->draft, [this, import](Result<Committed> committed) {
      if (!committed) return end_import(import, fail(std::move(committed.error())));
      end_import(import, import->draft.handle->envelope());
    });
  });
}

void SnapshotStore::end_import(const std::shared_ptr<Import>& import, Result<SnapshotEnvelope> outcome) {
  const std::uint64_t sequence = import->draft.sequence;
  if (!outcome && !index_.contains(sequence)) pins_.erase(sequence);
  if (!outcome && import->draft.handle) abandon(import->draft);
  import->job.reset();
  import->done(std::move(outcome));
}

std::optional<std::uint64_t> SnapshotStore::newest_of(const SchemaRule& takes) const {
  for (auto entry = index_.rbegin(); entry != index_.rend(); ++entry) {
    if (!entry->second.schema.empty() && takes.takes(entry->second.schema)) return entry->first;
  }
  return std::nullopt;
}

}  // namespace zeroth
