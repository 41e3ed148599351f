#include "worker/language/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "common/exit_codes.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "worker/language/parser.h"
#include "worker/language/zfile.h"

namespace zeroth {
namespace {

constexpr std::size_t kLargestFile = std::size_t{2} << 30;  // 2 GiB: the parser counts bytes and lines with 32 bits

tl::unexpected<LoadFailure> load_failure(int exit_code, std::string message) {
  return tl::unexpected<LoadFailure>({exit_code, {diagnostic_of_file(std::move(message))}});
}

tl::unexpected<LoadFailure> load_failure(const Error& error) {
  return load_failure(exit_code_for(error.code), error.message);
}

tl::expected<std::string, LoadFailure> read_to_end(int fd, std::size_t expected_size) {
  constexpr std::size_t kMore = 4096;  // notices a file that grows while it is read
  std::string bytes;
  for (std::size_t size = 0;;) {
    bytes.resize(std::max(size, expected_size) + kMore);
    const ssize_t got = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return load_failure(last_error("read"));
    size += static_cast<std::size_t>(got);
    if (size > kLargestFile) return load_failure(kExitCompile, "larger than 2 GiB");
    if (got > 0) continue;
    bytes.resize(size);
    return bytes;
  }
}

tl::expected<std::string, LoadFailure> read_regular_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!file) return load_failure(last_error("open"));
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return load_failure(last_error("fstat"));
  if (S_ISDIR(info.st_mode)) return load_failure(kExitNotFound, "is a folder, not a program");
  if (!S_ISREG(info.st_mode)) return load_failure(kExitNotFound, "is not a regular file");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > kLargestFile) return load_failure(kExitCompile, "larger than 2 GiB");
  return read_to_end(file.get(), size);
}

bool is_compiled(std::string_view path, std::string_view bytes) {
  return path.ends_with(".z") || bytes.starts_with(kZfileMagic);
}

}  // namespace

LoadResult load_program(const std::string& path) {
  auto bytes = read_regular_file(path);
  if (!bytes) return tl::unexpected<LoadFailure>(std::move(bytes.error()));
  if (is_compiled(path, *bytes)) {
    auto program = decode(*bytes);
    if (!program) return load_failure(kExitCompile, std::move(program.error().message));
    return std::move(*program);
  }
  auto program = parse(*bytes);
  if (!program) return tl::unexpected<LoadFailure>({kExitCompile, std::move(program.error())});
  return std::move(*program);
}

}  // namespace zeroth
