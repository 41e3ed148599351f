#pragma once
// What an instance holds on the machine: the lock on its state folder, its record and pid file, its control socket and
// port; and makes them again when their folders are taken away under it. Owned by Supervisor, which gives up all of it
// with leave().

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/control/control_port.h"
#include "supervisor/control/control_server.h"
#include "supervisor/instance/claim.h"
#include "supervisor/instance/identity.h"
#include "supervisor/instance/instance_lock.h"
#include "supervisor/instance/instance_record.h"
#include "supervisor/options.h"
#include "supervisor/start_error.h"

namespace zeroth {

class InstancePlace {
 public:
  struct Hooks {
    std::function<void(std::string_view level, const std::string& message)> say;
    std::function<void()> on_folder_made;         // the state folder is there again, empty and ours
    std::function<void()> on_runtime_folder;      // it is there, be it again: what else lies in it may be missing
    std::function<void(const StartError&)> lost;  // somebody else runs on it now: nothing more may be written
  };

  // The program is fit to be run, the lock held, what a dead predecessor left cleared away.
  static tl::expected<std::unique_ptr<InstancePlace>, StartError> claim(Loop& loop, const Options& options);
  ~InstancePlace();
  InstancePlace(const InstancePlace&) = delete;
  InstancePlace& operator=(const InstancePlace&) = delete;

  const Identity& identity() const { return identity_; }
  const Folders& folders() const { return folders_; }
  // Identities whose state is ours as well: taken over with --adopt.
  const std::vector<std::string>& former() const { return record_.former; }

  // Binds the control port if one is wanted. A taken one that was asked for is an error with the holder; the default
  // one is done without, and open() says so.
  tl::expected<void, StartError> open_port(const Options& options);
  // Where control is, for people: the socket, and the port if there is one.
  std::string control() const;
  std::optional<std::uint16_t> port() const;

  // Binds the control socket, serves it and the port, then writes pid file and record: from here on others find us.
  tl::expected<void, StartError> open(Connection::Handler handler, Hooks hooks);
  // Looks after it from now on.
  void keep();
  // Looks behind the callback that is running now: something in the state folder fails, or works again.
  void look_soon();
  // No client is served any more.
  void close();
  // Whoever asks or starts from now on finds nobody.
  void leave();

 private:
  InstancePlace(Loop& loop, Claim claim);
  Result<std::unique_ptr<ControlServer>> listen();
  Status write_record();
  void look();
  void keep_runtime();
  void keep_socket();
  void make_again();

  Loop& loop_;
  Identity identity_;
  Folders folders_;
  std::unique_ptr<InstanceLock> lock_;
  InstanceRecord record_;
  const std::string note_;   // of the claim
  bool record_due_ = false;  // it could not be written again yet
  Connection::Handler handler_;
  Hooks hooks_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<ControlPort> port_;  // null: none
  std::string no_port_;                // why the default one is done without
  Timer timer_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
