#include "supervisor/generation/exchange.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "common/files.h"
#include "common/json_check.h"

namespace zeroth {
namespace {

Result<Exchange::File> create(const std::string& path) {
  ::unlink(path.c_str());  // of a dead supervisor's
  Exchange::File file{path, UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600))};
  if (!file.fd) return fail(last_error(path));
  return file;
}

// The user's from here on: it may write to it, but neither remove nor replace it.
Result<Exchange::Handle> give(Exchange::File file, const RunAs& user) {
  if (::fchown(file.fd.get(), user.user, user.group) != 0) {
    const Error error = last_error(file.path);
    ::unlink(file.path.c_str());
    return fail(error);
  }
  return std::make_shared<const Exchange::File>(std::move(file));
}

Status copy_out(const StateFile& state, const Exchange::File& to) {
  const UniqueFd from(::open(state.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!from) return fail(last_error(state.path));
  if (Status room = allocate_file(to.fd.get(), state.length); !room) return room;
  return copy_bytes(from.get(), state.offset, to.fd.get(), 0, state.length);
}

Status copy_in(const Exchange::File& from, std::uint64_t bytes, const StateFile& to) {
  struct stat info {};
  if (::fstat(from.fd.get(), &info) != 0) return fail(last_error(from.path));
  const auto written = static_cast<std::uint64_t>(info.st_size);
  if (written < bytes)
    return fail("the worker announced " + std::to_string(bytes) + " bytes and wrote " + std::to_string(written));
  // A file of holes takes no room where it is, and is no JSON: the disk is not to be filled before that shows.
  if (Status whole = check_json(from.fd.get(), 0, bytes); !whole) return whole;
  const UniqueFd draft(::open(to.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!draft) return fail(last_error(to.path));
  if (Status room = allocate_file(draft.get(), to.offset + bytes); !room) return room;
  return copy_bytes(from.fd.get(), 0, draft.get(), to.offset, bytes);
}

}  // namespace

Exchange::Exchange(Loop& loop, std::string folder, RunAs user)
    : loop_(loop), folder_(std::move(folder)), user_(std::move(user)), disk_(loop) {}

std::string Exchange::next_path() {
  return folder_ + "/state-" + std::to_string(++files_);
}

// Removing a large file takes its time.
Exchange::Handle Exchange::guarded(Handle file) const {
  const File* given = file.get();
  return {given, [file = std::move(file), &loop = loop_](const File*) mutable {
            loop.in_pool([gone = std::move(file)] { ::unlink(gone->path.c_str()); }, [] {});
          }};
}

void Exchange::offer(Done<Handle> done) {
  disk_.run<Handle>(
      DiskWork::patience_for(0),
      [path = next_path(), user = user_]() -> Result<Handle> {
        auto file = create(path);
        if (!file) return fail(std::move(file.error()));
        return give(std::move(*file), user);
      },
      alive_,
      [this, done = std::move(done)](Result<Handle> file) {
        if (!file) return done(fail(std::move(file.error()).in("a file for the worker's state")));
        done(guarded(std::move(*file)));
      },
      [this](Result<Handle> file) {
        if (file) guarded(std::move(*file));
      });
}

void Exchange::hand_out(const StateFile& state, Done<Handle> done) {
  disk_.run<Handle>(
      DiskWork::patience_for(state.length),
      [path = next_path(), user = user_, state]() -> Result<Handle> {
        auto file = create(path);
        if (!file) return fail(std::move(file.error()));
        if (Status copied = copy_out(state, *file); !copied) {
          ::unlink(path.c_str());
          return fail(std::move(copied.error()));
        }
        return give(std::move(*file), user);
      },
      alive_,
      [this, done = std::move(done)](Result<Handle> file) {
        if (!file) return done(fail(std::move(file.error()).in("handing the state to the worker's user")));
        done(guarded(std::move(*file)));
      },
      [this](Result<Handle> file) {
        if (file) guarded(std::move(*file));
      });
}

void Exchange::take_in(const Handle& from, std::uint64_t bytes, const StateFile& to, Done<void> done) {
  disk_.run<void>(
      DiskWork::patience_for(bytes), [from, bytes, to] { return copy_in(*from, bytes, to); }, alive_,
      [done = std::move(done)](Status copied) {
        if (!copied) return done(fail(std::move(copied.error()).in("taking the worker's state")));
        done({});
      });
}

}  // namespace zeroth
