#include "supervisor/snapshot/pin_file.h"

#include <cerrno>
#include <cstdio>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "supervisor/snapshot/snapshot_folder.h"

namespace zeroth {
namespace {

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
