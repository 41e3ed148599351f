#pragma once
// A state that a program keeps in a file of its own, as a state of ours: JSON as it stands, any other bytes as
// {"$bytes":"<base64>"}. What comes back is byte for byte what was there. Used for --state-file and by `zerothctl
// worker run`, which therefore understand each other's snapshots. Everything here blocks on the disk.

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/worker_protocol.h"

namespace zeroth {

inline constexpr const char* kFileSchema = "file/1";
inline constexpr std::string_view kNoFile = "null";  // the state of a file that is not there

// Whether two looks at a path saw the same content: anything that writes, or puts another file there, changes this.
struct SeenFile {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const SeenFile&) const = default;
};
SeenFile seen_file(const struct stat& info);

// Writes the state that `file` holds (from its beginning) into `to` at `offset`; gives the number of bytes written.
// EAGAIN: it was being written, or `json_only` and it is not whole JSON, which is the same to who waits for it.
Result<std::uint64_t> encode_file(int file, bool json_only, int to, std::uint64_t offset);

// The other way round: writes the file's bytes into `to` from its beginning. The state is a text, or a part of a file.
Status decode_file(std::string_view state, int to);
Status decode_file(const StateFile& state, int to);
// Whether the state is that of a file that is not there.
bool is_no_file(std::string_view state);

// A name that says what is in it: there, half a JSON text is an unfinished save and not bytes of another kind.
bool is_json_name(std::string_view path);

}  // namespace zeroth
