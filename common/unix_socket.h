#pragma once
// Unix sockets that only we may connect to.

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

// sun_path has 108 bytes with its end.
inline constexpr std::size_t kMaxSocketPath = 107;

// Binds a non-blocking socket of mode 0600 to `path` and listens; what is there is replaced, and the name appears only
// when connecting works. With `user` it is that one who may connect, too. ENAMETOOLONG if the path is too long.
Result<UniqueFd> listen_privately(const std::string& path, std::optional<uid_t> user = {});

// Is the process at the other end root's, our own user's, or that of `other`?
bool is_of_our_user(int connection, std::optional<uid_t> other = {});

}  // namespace zeroth
