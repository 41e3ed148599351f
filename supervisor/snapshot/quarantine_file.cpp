#include "supervisor/snapshot/quarantine_file.h"

#include <cerrno>
#include <cstdio>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "supervisor/snapshot/snapshot_folder.h"

namespace zeroth {
namespace {

Result<Quarantine> parse_quarantine(std::string_view text) {
  auto parsed = parse_json(text, {.members = 1'000'000});
  if (!parsed) return fail(std::move(parsed.error()));
  const Json* entries = find_member(parsed->value, "quarantine");
  if (entries == nullptr || !entries->is_array()) return fail("quarantine: expected a list");
  Quarantine quarantine;
  for (const Json& entry : *entries) {
    auto sequence = required_field<std::uint64_t>(entry, "sequence");
    if (!sequence) return fail(std::move(sequence.error()));
    quarantine[*sequence] = field_or<std::string>(entry, "reason", "");
  }
  return quarantine;
}

}  // namespace

Result<Quarantine> QuarantineFile::read() {
  auto text = read_own_file(path_);
  if (!text && text.error().code == ENOENT) return Quarantine{};
  if (!text) return fail(std::move(text.error()).in(path_));
  auto quarantine = parse_quarantine(*text);
  if (quarantine) return quarantine;
  (void)std::rename(path_.c_str(), (path_ + ".corrupt").c_str());
  return fail(std::move(quarantine.error()).in(path_));
}

Status QuarantineFile::write(const Quarantine& quarantine) {
  const std::lock_guard lock(mutex_);
  if (quarantine.size() < written_) return {};
  Json document;
  Json& entries = document["quarantine"] = Json::array();
  for (const auto& [sequence, reason] : quarantine) entries.push_back({{"sequence", sequence}, {"reason", reason}});
  if (Status done = write_file_atomically(path_, dump(document) + "\n"); !done) return done;
  written_ = quarantine.size();
  return {};
}

}  // namespace zeroth
