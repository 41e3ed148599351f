#pragma once
// The user that a worker runs as (--user): found by name or number before it is spawned, with what we have to know of
// it to hand files over. Everything here blocks for a moment: called when a worker is set up.

#include <string>

#include "common/result.h"
#include "supervisor/process/spawn.h"

namespace zeroth {

struct WorkerUser {
  RunAs as;
  std::string name, home;  // $USER and $LOGNAME, $HOME
  bool change = false;     // to become it takes privileges: user or group are not ours
  bool apart = false;      // its user is not ours: it can read none of our files
};

// "www-data", "33", "www-data:adm", "33:4"; its supplementary groups are those it has at a login. A number without an
// entry in the user database needs a group. ENOENT: there is no such user or group; EINVAL: it is no user at all.
Result<WorkerUser> find_user(const std::string& text);

// EPERM: to start processes of that user, and to give files to it, takes privileges that we do not have.
Status check_may_become(const WorkerUser& user);

// Whether a process of that user can enter the folder; the error names the first of its parents that it cannot.
Status check_enters(const RunAs& user, const std::string& folder);

// EPERM unless nobody but root and we can replace the file or a folder on the way to it: what we read there for another
// user might otherwise be a link to what that user may not read.
Status check_only_ours(const std::string& path);

}  // namespace zeroth
