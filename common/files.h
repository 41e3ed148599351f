#pragma once
// Reading and atomically writing whole small files, and writing all of a buffer.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

// Whole content of a regular file or a /proc file; fails if it is larger than `max_bytes`. Never follows a path to a
// FIFO or device into blocking.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = std::size_t(1) << 31);

// Writes all bytes, continuing short writes and EINTR.
Status write_all(int fd, std::string_view bytes);
// The same at an offset; the descriptor's own position stays.
Status write_all_at(int fd, std::string_view bytes, std::uint64_t offset);

// Reserves blocks for the first `size` bytes of a file, so that a full disk shows before anything depends on them.
// Where the file system cannot, writing them is the reservation.
Status allocate_file(int fd, std::uint64_t size);

// Reads until `size` bytes have come or the file ends; says how many there were.
Result<std::size_t> read_at(int fd, char* to, std::size_t size, std::uint64_t offset);

// Copies `size` bytes from one place of a file to one of another; fails if there are fewer.
Status copy_bytes(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset, std::uint64_t size);

// Renames names of an opened folder (AT_FDCWD: paths), never replacing anything (EEXIST).
Status rename_new(int folder, const std::string& from, const std::string& to);

// Replaces `path` atomically and durably: temporary file in the same folder (".<name>.<pid>.tmp"), what
// `write` does, fsync, rename, fsync of the folder. On failure the temporary file is removed and the old content
// stands.
Status replace_file(const std::string& path, mode_t mode, const std::function<Status(int fd)>& write);
// The same without the two fsyncs: readers see all of it or nothing at once, a power cut may take it until sync_file().
Status put_file(const std::string& path, mode_t mode, const std::function<Status(int fd)>& write);
Status write_file_atomically(const std::string& path, std::string_view bytes, mode_t mode = 0600);

// Removes what replace_file, put_file and (unless `name` is given) listen_privately of dead processes left in `folder`:
// of the file `name`, or of any if it is "".
// Returns the names removed. Nobody else with our pid may be writing there: call it before the first write of ours.
std::vector<std::string> remove_dead_temporaries(const std::string& folder, const std::string& name = "");

// The part before the last slash ("." if there is none) and behind it.
std::string folder_of(const std::string& path);
std::string name_of(const std::string& path);

// fsync of a file and of the folder it is in.
Status sync_file(const std::string& path);

// fsync of a folder, so that names in it are durable.
Status sync_folder(const std::string& folder);

// Makes a folder and its missing parents with mode 0700, each made durable in its parent. Existing ones are left alone.
Status make_folders(const std::string& path);

}  // namespace zeroth
