#include "supervisor/snapshot/pin_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/unique_fd.h"

namespace zeroth {
namespace {

constexpr std::int64_t kMaxPinBytes = 16 << 20;  // far above anything that operates; a bound, not a limit to meet

// Of a regular file that is ours, not through a link. ENOENT if there is none.
Result<std::string> read_own_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(last_error("open"));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error("stat"));
  if (!S_ISREG(info.st_mode)) return fail("not a regular file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0) return fail("belongs to user " + std::to_string(info.st_uid));
  if (info.st_size > kMaxPinBytes) return fail("larger than " + std::to_string(kMaxPinBytes) + " bytes");
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  auto got = read_at(fd.get(), text.data(), text.size(), 0);
  if (!got) return fail(std::move(got.error()));
  text.resize(*got);
  return text;
}

Result<Pins> parse_pins(std::string_view text) {
  auto parsed = parse_json(text, {.members = 1'000'000});
  if (!parsed) return fail(std::move(parsed.error()));
  const Json* entries = find_member(parsed->value, "pins");
  if (entries == nullptr || !entries->is_array()) return fail("pins: expected a list");
  Pins pins;
  for (const Json& entry : *entries) {
    auto sequence = required_field<std::uint64_t>(entry, "sequence");
    if (!sequence) return fail(std::move(sequence.error()));
    pins.insert(*sequence);
  }
  return pins;
}

}  // namespace

Result<Pins> PinFile::read() {
  auto text = read_own_file(path_);
  if (!text && text.error().code == ENOENT) return Pins{};
  auto pins = text ? parse_pins(*text) : fail(std::move(text.error()));
  if (pins) return pins;
  (void)std::rename(path_.c_str(), (path_ + ".corrupt").c_str());
  return fail(std::move(pins.error()).in(path_));
}

Status PinFile::write(const Pins& pins, std::uint64_t version) {
  const std::lock_guard lock(mutex_);
  if (version < written_) return {};
  Json document;
  Json& entries = document["pins"] = Json::array();
  for (const std::uint64_t sequence : pins) entries.push_back({{"sequence", sequence}});
  if (Status done = write_file_atomically(path_, dump(document) + "\n"); !done) return done;
  written_ = version;
  return {};
}

}  // namespace zeroth
