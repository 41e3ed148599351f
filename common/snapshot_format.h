#pragma once
// The file format of one snapshot: a padded header, the state's bytes, a trailer; together one valid JSON object.
//
//   {"format":"zeroth-snapshot","version":1,"length":"<16 hex>","xxh3":"<32 hex>","sequence":12,…, <spaces>"state":
//   <exactly length bytes>
//   ,"end":12}
//
// The header's size is a multiple of 4,096 and known before the state is, so a worker can write a large state into its
// place itself; length and checksum are patched afterwards. Everything here blocks on the disk: call it on the pool.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/json.h"
#include "common/result.h"

namespace zeroth {

inline constexpr int kSnapshotVersion = 1;
// Keeps sequence + 1 inside JSON's int64 whatever a file in the folder is called; a snapshot a microsecond lasts 31,000
// y.
inline constexpr std::uint64_t kMaxSequence = 999'999'999'999'999'999;

// What a snapshot was where it was taken, before it was brought here as a file.
struct SnapshotOrigin {
  std::uint64_t sequence = 0;
  std::uint64_t generation = 0;
  std::string worker;
  std::string identity;
};

struct SnapshotEnvelope {
  std::uint64_t sequence = 0;
  std::uint64_t generation = 0;  // that the state was cut from
  std::string worker;
  std::string identity;  // what the state folder belongs to: real path of the program, or cwd and argv
  std::string schema;
  std::string program_path;
  std::string program_hash;
  std::string config_fingerprint;
  std::string cause;  // periodic reload stop manual save emergency rollback
  WallTime created_at{};
  std::optional<SnapshotOrigin> imported;  // its generation is 0 then: no process here had this state
  std::uint64_t length = 0;                // bytes of the state
  std::uint64_t state_offset = 0;          // where they begin in the file
};
// As `snapshots` and `snapshot` show it.
Json to_json(const SnapshotEnvelope& envelope);

// "snapshot-00000000000000000012.json", and back; nullopt for every other name.
std::string snapshot_name(std::uint64_t sequence);
std::optional<std::uint64_t> parse_snapshot_name(std::string_view name);

// Text as it comes back out of a header: bytes that are not UTF-8 become U+FFFD. Compare identities in this form.
std::string as_recorded(std::string_view text);

// Header and trailer around a state. length and state_offset of `envelope` are ignored; the header's size is the offset
// of the state. Fails if the header would exceed 1 MiB.
Result<std::string> render_snapshot_header(const SnapshotEnvelope& envelope);
std::string render_snapshot_trailer(std::uint64_t sequence);

// Completes a file that holds header and state: writes the trailer, the length and the checksum. That is of what was to
// be written where `state` is given, and else, for a state that somebody else wrote, of what it reads back.
Status seal_snapshot(int fd, const SnapshotEnvelope& envelope, std::optional<std::string_view> state = std::nullopt);

enum class SnapshotFault {
  Unreadable,  // the system did not let us: it may be fine
  Corrupt,     // not what was written
  Newer,       // of a later version of the format
};
struct SnapshotDefect {
  SnapshotFault fault = SnapshotFault::Unreadable;
  Error error;
};

// The envelope of a file whose frame is right: version, header, size, sequence = `sequence` (from its name; nullopt:
// its name says nothing) = end. Reads the header and the end only.
tl::expected<SnapshotEnvelope, SnapshotDefect> read_snapshot_envelope(int fd, std::optional<std::uint64_t> sequence);

// The same, and the checksum over the whole file, in bounded memory.
tl::expected<SnapshotEnvelope, SnapshotDefect> verify_snapshot(int fd, std::optional<std::uint64_t> sequence);

}  // namespace zeroth
