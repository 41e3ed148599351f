#include "supervisor/worker/recovery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/files.h"
#include "common/json_check.h"

namespace zeroth {
namespace {

constexpr Milliseconds kPatience{10'000};  // and a second for each 10 MB of the newest snapshot

std::uint64_t newest_snapshot_bytes(const std::string& folder) {
  std::uint64_t largest = 0;
  if (auto opened = SnapshotFolder::open(folder + "/snapshots")) {
    if (auto listing = (*opened)->list(false)) {
      for (const std::uint64_t sequence : listing->sequences) {
        struct stat info {};
        if (::stat((*opened)->path_of(snapshot_name(sequence)).c_str(), &info) == 0)
          largest = std::max(largest, static_cast<std::uint64_t>(info.st_size));
      }
    }
  }
  return largest;
}

// A file that a worker wrote, to be read. Its folder may be another user's, who could lead us to what is not his: it
// has no other name and belongs to whom the folder belongs.
Result<UniqueFd> open_left(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));  // not to wait at a FIFO
  if (!fd) return fail(last_error(path));
  struct stat info {
  }, folder{};
  if (::fstat(fd.get(), &info) != 0 || ::stat(folder_of(path).c_str(), &folder) != 0) return fail(last_error(path));
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 || info.st_uid != folder.st_uid)
    return fail(path + ": is no file of the worker's own", EPERM);
  return fd;
}

std::uint64_t size_of(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// An error: nobody can tell now. It may be all there is of what was last known.
Result<bool> is_json_file(const std::string& path) {
  const auto fd = open_left(path);
  const Status checked = fd ? check_json(fd->get(), 0, size_of(fd->get())) : Status(fail(fd.error()));
  if (checked) return true;
  const int code = checked.error().code;
  if (code == 0 || code == ENOENT || code == EPERM || code == ELOOP) return false;
  return fail(Error(checked.error())
                  .in("a state saved at its supervisor's death cannot be read; start again, or go on "
                      "without it by renaming the file"));
}

// The bytes that `path` has now to `offset` of the draft's file.
Result<std::uint64_t> copy_into(const std::string& path, const StateFile& target) {
  const auto from = open_left(path);
  if (!from) return fail(from.error());
  const UniqueFd to(::open(target.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!to) return fail(last_error(target.path));
  const std::uint64_t bytes = size_of(from->get());
  if (Status room = allocate_file(to.get(), target.offset + bytes); !room) return fail(std::move(room.error()));
  if (Status copied = copy_bytes(from->get(), 0, to.get(), target.offset, bytes); !copied)
    return fail(std::move(copied.error()).in(path));
  return bytes;
}

}  // namespace

Recovery::Recovery(Loop& loop, std::string worker_folder, std::vector<WorkerPlace> places, SnapshotStore& store,
                   const GenerationLog& log, SnapshotEnvelope head, Hooks hooks)
    : loop_(loop),
      folder_(std::move(worker_folder)),
      places_(std::move(places)),
      store_(store),
      log_(log),
      head_(std::move(head)),
      hooks_(std::move(hooks)) {
  const Milliseconds patience = kPatience + Milliseconds(newest_snapshot_bytes(folder_) / 10'000);
  sweep_ = std::make_unique<AliveSweep>(loop_, places_, patience,
                                        AliveSweep::Hooks{hooks_.on_note, [this] { open_store(); }});
}

void Recovery::open_store() {
  store_.open([this](Status opened) {
    if (!opened) return finish(std::move(opened));
    store_.note_sequence(log_.highest_sequence());
    if (!store_.pins_lost().empty()) {
      hooks_.on_note("nobody knows which snapshots were pinned (" + store_.pins_lost() +
                     "): none of those that are there is pruned until this supervisor ends; pin again what is to stay");
    }
    find_newest();
  });
}

void Recovery::find_newest() {
  store_.search({}, [this](Result<SearchResult> searched) {
    if (!searched) return finish(fail(std::move(searched.error())));
    for (const Skipped& snapshot : searched->skipped) {
      if (is_set_aside(snapshot.reason)) hooks_.on_set_aside(snapshot);
    }
    std::uint64_t generation = 0;
    if (searched->found) {
      generation = searched->found->envelope.generation;
      if (searched->found->file) store_.drop_link(*searched->found->file);
    }
    // Whoever was held while the last live one began anew wrote down what that one had put aside.
    const auto& live = log_.last_live();
    if (live && live->anew) generation = std::max(generation, live->generation);
    choose(generation);
  });
}

void Recovery::choose(std::uint64_t newest_generation) {
  const auto choice = std::make_shared<Result<EmergencyChoice>>();
  std::vector<std::string> folders;
  for (const WorkerPlace& place : places_) {
    if (!place.saved.empty()) folders.push_back(place.saved);
  }
  const auto usable = [highest = log_.highest_generation()](const EmergencyFile& file) {
    return file.generation <= highest ? is_json_file(file.path) : Result<bool>(false);
  };
  loop_.in_pool([choice, folders, usable,
                 newest_generation] { *choice = choose_emergency_file(folders, newest_generation, usable); },
                alive_,
                [this, choice] {
                  if (!*choice) return finish(fail(choice->error()));
                  for (const std::string& stale : (*choice)->stale)
                    hooks_.on_note("set aside as older than what is kept: " + stale);
                  if (!(*choice)->adopted) return finish({});
                  adopt(*(*choice)->adopted);
                });
}

void Recovery::adopt(const EmergencyFile& file) {
  SnapshotEnvelope head = head_;
  head.generation = file.generation;
  head.cause = "emergency";
  struct stat info {};
  const bool known = ::lstat(file.path.c_str(), &info) == 0;
  head.created_at = known ? std::chrono::system_clock::from_time_t(info.st_mtime) : wall_now();
  if (const auto& live = log_.last_live(); live && live->generation == file.generation) {
    head.schema = live->schema;
    head.program_hash = live->program_hash;
  } else if (store_.newest()) {
    head.schema = store_.newest()->schema;
    head.program_hash = store_.newest()->program_hash;
  }
  store_.begin(head, [this, file](Result<SnapshotStore::Draft> draft) {
    if (!draft) return finish(fail(std::move(draft.error())));
    const auto copied = std::make_shared<Result<std::uint64_t>>();
    loop_.in_pool([copied, path = file.path, target = draft->file] { *copied = copy_into(path, target); }, alive_,
                  [this, copied, file, draft = *draft] {
                    if (!*copied) return finish(fail(copied->error()));
                    commit(file, draft, DraftState(**copied));
                  });
  });
}

void Recovery::commit(const EmergencyFile& file, const SnapshotStore::Draft& draft, DraftState state) {
  store_.write(draft, std::move(state), [this, file, draft](Status written) {
    if (!written) return finish(std::move(written));
    store_.commit(draft, [this, file](Result<SnapshotStore::Committed> committed) {
      if (!committed) return finish(fail(std::move(committed.error())));
      hooks_.on_note("generation " + std::to_string(file.generation) +
                     " had saved itself when its supervisor died; its state is snapshot " +
                     std::to_string(committed->sequence));
      const auto forget = [path = file.path] {
        ::unlink(path.c_str());
        (void)sync_folder(folder_of(path));  // else a power cut brings it back, and it would be adopted once more
      };
      loop_.in_pool(forget, alive_, [this] { finish({}); });
    });
  });
}

void Recovery::finish(Status status) {
  const auto done = hooks_.on_done;
  done(std::move(status));
}

}  // namespace zeroth
