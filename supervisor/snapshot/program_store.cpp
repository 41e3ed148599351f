#include "supervisor/snapshot/program_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/files.h"
#include "common/hash.h"

namespace zeroth {
namespace {

constexpr std::array<std::string_view, 2> kSuffixes = {".zero", ".z"};

// Hashes come from snapshots and receipts, and become part of a path here.
bool is_hash(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> read_content(const std::string& path, const std::string& hash) {
  auto bytes = read_file(path);
  if (!bytes) return fail(std::move(bytes.error()));
  if (xxh3_hex(*bytes) != hash) return fail(path + ": no longer has the content it is named after", EBADMSG);
  return bytes;
}

}  // namespace

Result<KeptProgram> ProgramStore::keep(std::string bytes, std::string_view suffix) const {
  if (std::find(kSuffixes.begin(), kSuffixes.end(), suffix) == kSuffixes.end())
    return fail("no program ends in " + std::string(suffix), EINVAL);
  const std::string hash = xxh3_hex(bytes);
  KeptProgram kept{path_of(hash, suffix), hash, nullptr, false};
  kept.bytes = std::make_shared<const std::string>(std::move(bytes));
  return ensure(std::move(kept));
}

Result<KeptProgram> ProgramStore::ensure(KeptProgram kept) const {
  kept.written = !read_content(kept.path, kept.hash);
  if (!kept.written) return kept;
  if (Status put = this->put(kept); !put) return fail(std::move(put.error()));
  return kept;
}

Status ProgramStore::put(const KeptProgram& kept) const {
  if (Status made = make_folders(folder_); !made) return made;
  return put_file(kept.path, 0600, [&](int fd) -> Status {
    const bool shown = !readers_ || (::fchown(fd, static_cast<uid_t>(-1), *readers_) == 0 && ::fchmod(fd, 0640) == 0);
    if (!shown) return fail(last_error("chown " + kept.path));
    return write_all(fd, *kept.bytes);
  });
}

Status ProgramStore::sync(const KeptProgram& kept) const {
  return sync_file(kept.path);
}

Result<KeptProgram> ProgramStore::find(const std::string& hash) const {
  if (!is_hash(hash)) return fail(hash + ": not a program hash", EINVAL);
  for (const std::string_view suffix : kSuffixes) {
    const std::string path = path_of(hash, suffix);
    auto bytes = read_content(path, hash);
    if (bytes) return KeptProgram{path, hash, std::make_shared<const std::string>(std::move(*bytes)), false};
    if (bytes.error().code != ENOENT) return fail(bytes.error());
  }
  return fail("no program text was kept for " + hash, ENOENT);
}

}  // namespace zeroth
