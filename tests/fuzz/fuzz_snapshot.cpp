// Whatever stands in a snapshot's file: reading ends, and what is accepted renders to the same envelope again. Most
// inputs die at the checksum, so the file is sealed over the input's header once more and read again.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/files.h"
#include "common/snapshot_format.h"
#include "common/unique_fd.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zeroth;
  const UniqueFd fd(::memfd_create("snapshot", MFD_CLOEXEC));
  if (!write_all(fd.get(), {reinterpret_cast<const char*>(data), size})) std::abort();
  constexpr std::uint64_t kSequence = 12;
  const auto read = read_snapshot_envelope(fd.get(), kSequence);
  const auto verified = verify_snapshot(fd.get(), kSequence);
  if (verified && !read) std::abort();
  if (!read) return 0;
  if (!seal_snapshot(fd.get(), *read)) std::abort();
  const auto sealed = verify_snapshot(fd.get(), kSequence);
  if (!sealed || sealed->length != read->length || sealed->identity != read->identity) std::abort();
  if (!render_snapshot_header(*sealed)) std::abort();
  return 0;
}
