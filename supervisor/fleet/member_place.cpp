// Member: whom its worker runs as, and where that one's files lie.

#include "common/hash.h"
#include "common/text.h"
#include "supervisor/fleet/member.h"

namespace zeroth {
namespace {

// $ZEROTH_SOCKET of its generations: beside the control socket, with a name of its own where there are several.
std::string hello_socket_of(const Surroundings& around, const WorkerPlace& place, const std::string& name, bool alone) {
  if (place.apart()) return place.open + "/worker.sock";
  if (alone) return folder_of(around.folders.socket) + "/worker.sock";
  const std::string path = around.folders.runtime + "/worker-" + name + ".sock";
  if (path.size() <= kMaxSocketPath) return path;
  return folder_of(around.folders.socket) + "/" + xxh3_hex(path).substr(0, 16) + ".sock";
}

}  // namespace

tl::expected<WorkerPlace, StartError> Member::open_place(const Surroundings& around, const Options& options,
                                                         const std::string& name, bool alone) {
  const std::string& text = options.user;
  const std::string whose = "user " + in_quotes(text) + (alone ? "" : " of worker " + in_quotes(name)) + ": ";
  std::optional<WorkerUser> user;
  if (!text.empty()) {
    auto found = find_user(text);
    if (!found) return refuse_start(kExitConfiguration, whose + found.error().message);
    if (Status may = check_may_become(*found); !may) return refuse_start(kExitPermission, whose + may.error().message);
    user = std::move(*found);
  }
  const std::string folder = around.folders.state + "/" + name;
  WorkerPlace place = worker_place(folder, around.folders.runtime, name, std::move(user));
  if (Status made = make_place(place); !made) return refuse_start(made.error(), around.folders.state);
  if (!options.command.empty()) place.socket = hello_socket_of(around, place, name, alone);
  if (!place.apart()) return place;
  if (Status enters = check_enters(place.user->as, place.open); !enters) {
    return refuse_start(kExitPermission, whose + enters.error().message + ", where it is handed its files; choose a " +
                                             "runtime folder that it can enter, as with --runtime-dir /run/" +
                                             around.folders.name);
  }
  if (options.program.empty()) return place;
  if (Status ours = check_only_ours(options.program); !ours) {
    return refuse_start(kExitPermission, whose + "a Zero program that runs as another user lies where only root can " +
                                             "write; " + ours.error().message);
  }
  return place;
}

}  // namespace zeroth
