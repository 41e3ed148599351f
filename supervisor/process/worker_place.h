#pragma once
// Where the files lie that a worker's processes open themselves. Those of our own user find them in the worker's folder
// and beside the control socket. Those of another can enter neither: they have <runtime>/users/<uid>/<worker>, of which
// only two folders are theirs to write to. Nothing in these two is trusted: we follow no link there, and what we read
// must belong to that user.

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "supervisor/process/user.h"

namespace zeroth {

struct WorkerPlace {
  std::string open;                     // alive files, sockets, programs and states handed over: written by us alone
  std::string saved;                    // emergency files, of its own writing; "": none is believed
  std::string own;                      // $ZEROTH_WORKER_DIR, likewise
  std::string users;                    // <runtime>/users, which has the places of all of another user
  std::optional<WorkerUser> user = {};  // whom its processes run as; none: as who we are
  std::string socket = {};              // $ZEROTH_SOCKET, "" for none

  bool apart() const { return user && user->apart; }
};

// Of a worker whose folder is `folder`. Nothing is made.
WorkerPlace worker_place(const std::string& folder, const std::string& runtime, const std::string& worker,
                         std::optional<WorkerUser> user);

// Makes what is missing of its folders; the runtime folder can be entered, but not listed, by others from then on if
// that is needed. EPERM: one of them is not ours, or others may write to it.
Status make_place(const WorkerPlace& place);

// Removes what a dead supervisor had handed over. The instance lock is held, nothing of the worker is spawned yet.
void clear_place(const WorkerPlace& place);

// The places of this worker that are there: its folder, and those as any other user. What a former user has saved is
// not believed, only waited for to end.
std::vector<WorkerPlace> places_left(const std::string& folder, const WorkerPlace& now, const std::string& worker);

}  // namespace zeroth
