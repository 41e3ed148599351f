#include "supervisor/snapshot/draft_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "common/files.h"
#include "common/json_check.h"

namespace zeroth {
namespace {

std::string doing(const char* what, std::uint64_t sequence) {
  return std::string(what) + " snapshot " + std::to_string(sequence);
}

}  // namespace

DraftFile::DraftFile(std::shared_ptr<SnapshotFolder> folder, SnapshotEnvelope head)
    : folder_(std::move(folder)),
      envelope_(std::move(head)),
      temporary_(".snapshot-" + std::to_string(envelope_.sequence) + "." + std::to_string(::getpid()) + ".tmp") {}

DraftFile::~DraftFile() {
  give_up();
}

Result<std::shared_ptr<DraftFile>> DraftFile::create(const std::shared_ptr<SnapshotFolder>& folder,
                                                     SnapshotEnvelope head) {
  const std::string what = doing("beginning", head.sequence);
  auto header = render_snapshot_header(head);
  if (!header) return fail(std::move(header.error()).in(what));
  head.length = 0;
  head.state_offset = header->size();
  if (Status there = folder->check_place(); !there) return fail(std::move(there.error()).in(what));
  std::shared_ptr<DraftFile> draft(new DraftFile(folder, std::move(head)));
  auto fd = folder->open_file(draft->temporary_, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!fd) {
    draft->state_ = State::GivenUp;  // whoever has that file, it is not ours to remove
    return fail(std::move(fd.error()).in(what));
  }
  draft->fd_ = std::move(*fd);
  return draft;
}

bool DraftFile::begin_again(SnapshotEnvelope head) {
  const std::lock_guard lock(mutex_);
  struct stat info {};
  const auto header = render_snapshot_header(head);
  if (state_ != State::Begun || !header || !folder_->check_place()) return false;
  if (::fstat(fd_.get(), &info) != 0 || info.st_nlink != 1 || ::ftruncate(fd_.get(), 0) != 0) return false;
  envelope_ = std::move(head);
  envelope_.length = 0;
  envelope_.state_offset = header->size();
  return true;
}

Status DraftFile::write(const DraftState& state, const std::string& schema) {
  const std::lock_guard lock(mutex_);
  const std::string what = doing("writing", envelope_.sequence);
  if (state_ != State::Begun) return fail(what + ": it is written or was given up");
  if (!schema.empty()) envelope_.schema = schema;
  Status done = write_all_parts(state);
  if (!done) {
    discard();
    return fail(std::move(done.error()).in(what));
  }
  state_ = State::Written;
  return {};
}

Status DraftFile::write_all_parts(const DraftState& state) {
  if (Status right = check_length(state); !right) return right;
  const std::uint64_t end = envelope_.state_offset + envelope_.length;
  const std::uint64_t size = end + render_snapshot_trailer(envelope_.sequence).size();
  if (Status done = allocate_file(fd_.get(), size); !done) return done;
  auto header = render_snapshot_header(envelope_);
  if (!header) return fail(std::move(header.error()));
  if (header->size() != envelope_.state_offset) return fail("there is no room for the schema's name in the header");
  if (Status done = write_all_at(fd_.get(), *header, 0); !done) return done;
  const auto* text = std::get_if<std::string>(&state);
  by_worker_ = text == nullptr;
  if (by_worker_) return seal_snapshot(fd_.get(), envelope_);
  if (Status done = write_all_at(fd_.get(), *text, envelope_.state_offset); !done) return done;
  return seal_snapshot(fd_.get(), envelope_, *text);
}

// A worker may have announced more than it wrote (never filled with zeros by us), or written more than it announced.
Status DraftFile::check_length(const DraftState& state) {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return fail(last_error("stat"));
  const std::uint64_t size = static_cast<std::uint64_t>(info.st_size);
  const std::uint64_t written = size - std::min(size, envelope_.state_offset);
  const auto* text = std::get_if<std::string>(&state);
  const std::uint64_t length = text ? text->size() : std::get<std::uint64_t>(state);
  if (length == 0) return fail("the state is empty");
  if (!text && written < length)
    return fail("the worker announced " + std::to_string(length) + " bytes and wrote " + std::to_string(written));
  envelope_.length = length;
  const std::uint64_t keep = envelope_.state_offset + (text ? 0 : length);
  if (::ftruncate(fd_.get(), static_cast<off_t>(keep)) != 0) return fail(last_error("truncate"));
  return {};
}

Status DraftFile::commit() {
  const std::lock_guard lock(mutex_);
  const std::string what = doing("committing", envelope_.sequence);
  if (state_ != State::Written) return fail(what + ": it is not written, or was given up");
  Status done = make_durable();
  if (!done) {
    discard();
    return fail(std::move(done.error()).in(what));
  }
  return {};
}

// A disk, or a worker, may have told of more than it did.
Status DraftFile::check_written() const {
  const auto there = verify_snapshot(fd_.get(), envelope_.sequence);
  if (!there) return fail(Error{EIO, there.error().error.message}.in("not what was written"));
  if (!by_worker_) return {};
  if (Status json = check_json(fd_.get(), envelope_.state_offset, envelope_.length); !json)
    return fail(std::move(json.error()).in("the state that the worker wrote"));
  return {};
}

Status DraftFile::make_durable() {
  if (Status written = check_written(); !written) return written;
  if (::fsync(fd_.get()) != 0) return fail(last_error("fsync"));
  if (::close(fd_.release()) != 0 && errno != EINTR) return fail(last_error("close"));
  folder_->keep_spare();
  if (Status there = folder_->check_place(); !there) return there;
  if (Status done = folder_->rename(temporary_, snapshot_name(envelope_.sequence)); !done) return done;
  state_ = State::Renamed;
  return folder_->sync();
}

void DraftFile::give_up() {
  const std::lock_guard lock(mutex_);
  discard();
}

void DraftFile::discard() {
  if (state_ != State::Begun && state_ != State::Written) return;
  state_ = State::GivenUp;
  (void)folder_->remove(temporary_);  // if that fails the next start sweeps it
  fd_.reset();
  folder_->keep_spare();
}

Result<StateFile> DraftFile::link(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::Written && state_ != State::Renamed)
    return fail(doing("linking", envelope_.sequence) + ": it is not written, or was given up");
  const std::string from = state_ == State::Written ? temporary_ : snapshot_name(envelope_.sequence);
  if (Status done = folder_->link(from, name); !done)
    return fail(std::move(done.error()).in(doing("linking", envelope_.sequence)));
  return StateFile{folder_->path_of(name), envelope_.state_offset, envelope_.length};
}

}  // namespace zeroth
