#include "worker/host/checkpoint_writer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/files.h"
#include "worker/vm/state_codec.h"

namespace zeroth {
namespace {

// Above this a fork (about 1 ms for each 100 MB of page tables) is a shorter pause than encoding in place.
constexpr std::size_t kForkAboveBytes = 4 << 20;

// Upper bound of the document's size without encoding it: the three arrays, names and vectors.
std::size_t rough_size(const State& state) {
  constexpr std::size_t kPerState = 3 * 11 + 24;
  return state.states.size() * (kPerState + state.dimensions.all().size() * 4 / 3);
}

// Members and elements of a document, at least.
std::size_t count_members(std::string_view document) {
  return static_cast<std::size_t>(
      std::count_if(document.begin(), document.end(), [](char c) { return c == ',' || c == '[' || c == '{'; }));
}

std::string result_text(std::string_view first, std::uint64_t iteration, double pause_ms) {
  return "{" + std::string(first) + R"(,"iteration":)" + std::to_string(iteration) + R"(,"schema":")" +
         std::string(kStateSchema) + R"(","pause_ms":)" + dump(Json(pause_ms)) + "}";
}

Result<std::uint64_t> write_into(const StateFile& file, const State& state) {
  const UniqueFd fd(::open(file.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(last_error(file.path));
  if (::lseek(fd.get(), static_cast<off_t>(file.offset), SEEK_SET) < 0) return fail(last_error("lseek"));
  std::uint64_t bytes = 0;
  Status written = encode_state(state, [&](std::string_view piece) {
    bytes += piece.size();
    return write_all(fd.get(), piece);
  });
  if (!written) return fail(std::move(written.error()));
  return bytes;
}

}  // namespace

Result<std::optional<std::string>> CheckpointWriter::take(const Json& id, const State& state,
                                                          const std::optional<StateFile>& file, bool hold) {
  if (!hold && file && rough_size(state) > kForkAboveBytes) return fork_writer(id, state, *file);
  const MonotonicTime begin = monotonic_now();
  const auto text_of = [&](std::string_view first) {
    return std::optional(result_text(first, state.iteration, elapsed_ms(begin, monotonic_now())));
  };
  if (file && rough_size(state) > kInlineStateBytes) {
    auto bytes = write_into(*file, state);
    if (!bytes) return fail(std::move(bytes.error()));
    return text_of(R"("bytes":)" + std::to_string(*bytes));
  }
  const std::string document = encode_state(state);
  const bool small = document.size() <= kInlineStateBytes && count_members(document) <= kInlineStateMembers;
  if (small || !file) return text_of(R"("state":)" + document);
  const UniqueFd fd(::open(file->path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(last_error(file->path));
  if (::lseek(fd.get(), static_cast<off_t>(file->offset), SEEK_SET) < 0) return fail(last_error("lseek"));
  if (Status written = write_all(fd.get(), document); !written) return fail(std::move(written.error()));
  return text_of(R"("bytes":)" + std::to_string(document.size()));
}

Result<std::optional<std::string>> CheckpointWriter::fork_writer(const Json& id, const State& state,
                                                                 const StateFile& file) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(last_error("pipe2"));
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const MonotonicTime begin = monotonic_now();
  const pid_t child = ::fork();
  if (child < 0) return fail(last_error("fork"));
  if (child == 0) {
    auto bytes = write_into(file, state);
    const std::string said = bytes ? "=" + std::to_string(*bytes) : "!" + bytes.error().message;
    (void)write_all(write_end.get(), said);
    ::_exit(0);
  }
  running_id_ = id;
  child_ = child;
  pipe_ = std::move(read_end);
  iteration_ = state.iteration;
  pause_ms_ = elapsed_ms(begin, monotonic_now());
  return std::optional<std::string>();
}

Result<std::string> CheckpointWriter::finish() {
  std::string said;
  char buffer[512];
  for (;;) {
    const ssize_t got = ::read(pipe_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(buffer, static_cast<std::size_t>(got));
  }
  ::waitpid(child_, nullptr, 0);
  child_ = -1;
  running_id_.reset();
  pipe_.reset();
  if (said.empty()) return fail("the process that wrote the state died");
  if (said[0] != '=') return fail(said.substr(1));
  return result_text(R"("bytes":)" + said.substr(1), iteration_, pause_ms_);
}

void CheckpointWriter::abort_running() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  child_ = -1;
  running_id_.reset();
  pipe_.reset();
}

Status write_emergency_file(const std::string& path, const State& state) {
  return replace_file(path, 0600, [&](int fd) {
    return encode_state(state, [fd](std::string_view piece) { return write_all(fd, piece); });
  });
}

}  // namespace zeroth
