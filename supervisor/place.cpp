#include "supervisor/place.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/files.h"
#include "common/unique_fd.h"
#include "supervisor/instance/claim.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLookAfter{20'000};

// Does anybody accept on this socket? The instance lock is ours, so it can only be one whose state folder was taken
// away.
bool answers(const std::string& socket) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd || socket.size() >= sizeof address.sun_path) return false;
  socket.copy(address.sun_path, socket.size());
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

tl::expected<std::unique_ptr<InstancePlace>, StartError> InstancePlace::claim(Loop& loop, const Options& options) {
  auto claimed = claim_instance(options);
  if (!claimed) return tl::unexpected(std::move(claimed.error()));
  std::unique_ptr<InstancePlace> place(new InstancePlace(loop, std::move(*claimed)));
  return place;
}

InstancePlace::InstancePlace(Loop& loop, Claim claim)
    : loop_(loop),
      identity_(std::move(claim.identity)),
      folders_(std::move(claim.folders)),
      lock_(std::make_unique<InstanceLock>(std::move(claim.lock))),
      record_(std::move(claim.record)),
      note_(std::move(claim.note)),
      timer_(loop) {}

InstancePlace::~InstancePlace() {
  close();
  if (record_.process.pid != 0) remove_pid_file(record_.pid_file);
}

tl::expected<void, StartError> InstancePlace::open_port(const Options& options) {
  if (!options.control_port) return {};
  auto port = ControlPort::open(*options.control_port, folders_.runtime);
  if (port) {
    port_ = std::move(*port);
  } else if (options.control_port_chosen) {
    const Error& why = port.error();
    return refuse_start(why.code == EADDRINUSE ? kExitTaken : exit_code_for(why.code), why.message);
  } else {
    no_port_ = port.error().message + "; control is by the socket alone";
  }
  return {};
}

std::string InstancePlace::control() const {
  return folders_.socket + (port_ ? ", " + port_->address() : "");
}

std::optional<std::uint16_t> InstancePlace::port() const {
  return port_ ? std::optional(port_->port()) : std::nullopt;
}

tl::expected<void, StartError> InstancePlace::open(Connection::Handler handler, Hooks hooks) {
  handler_ = std::move(handler);
  hooks_ = std::move(hooks);
  if (answers(folders_.socket)) {
    return refuse_start(kExitTaken, "another instance answers on " + folders_.socket + "; see 'zerothctl -n " +
                                        folders_.name + " status'");
  }
  auto control = listen();
  if (!control && control.error().code == ENOSPC) return refuse_start(control.error(), folders_.runtime);
  if (!control) return refuse_start(kExitTaken, control.error().message);
  control_ = std::move(*control);
  if (port_) port_->serve(loop_, handler_);
  if (!no_port_.empty()) hooks_.say("warning", no_port_);
  if (!note_.empty()) hooks_.say("warning", note_);

  auto process = identity_of(::getpid());
  if (!process) return refuse_start(kExitFailed, process.error().message);
  record_.process = std::move(*process);
  if (Status written = write_record(); !written) return refuse_start(written.error(), folders_.state);
  return {};
}

Result<std::unique_ptr<ControlServer>> InstancePlace::listen() {
  return ControlServer::listen(loop_, folders_.socket, true, handler_);
}

Status InstancePlace::write_record() {
  if (Status written = write_pid_file(record_.pid_file); !written) return written;
  return write_instance_record(folders_.state, record_);
}

void InstancePlace::keep() {
  timer_.start_repeating(kLookAfter, [this] {
    look();
    keep_runtime();
  });
}

void InstancePlace::look_soon() {
  loop_.post([this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) look();
  });
}

// The state folder may be removed under us: what is locked then excludes nobody from the one that is made anew.
void InstancePlace::look() {
  if (!lock_) return;
  if (!lock_->holds(folders_.state)) return make_again();
  if (record_due_) record_due_ = !write_record();
}

void InstancePlace::make_again() {
  Status again = prepare_private_folder(folders_.state);
  Result<InstanceLock> lock = again ? InstanceLock::take(folders_.state) : fail(again.error());
  if (!lock && lock.error().code == EWOULDBLOCK) {
    lock_.reset();
    StartError taken = describe_taken(folders_, lock.error());
    taken.message = folders_.state + " was removed while we ran, and " + taken.message;
    return hooks_.lost(taken);
  }
  if (lock) {
    *lock_ = std::move(*lock);
    keep_runtime();  // the runtime folder may lie within
    hooks_.on_folder_made();
    again = write_record();
    record_due_ = !again;
  } else {
    again = fail(lock.error());
  }
  if (again)
    return hooks_.say("warning", folders_.state + " was removed while we run: it is made again and locked anew");
  hooks_.say("error", folders_.state + " was removed: " + again.error().message);
}

// The runtime folder may be cleared under us (a session that ends): everything in it is made again.
void InstancePlace::keep_runtime() {
  keep_socket();
  if (!port_) return;
  const auto again = port_->keep();
  if (!again) return hooks_.say("error", again.error().message);
  if (*again) hooks_.say("warning", "the token of the control port was gone and is written again");
}

void InstancePlace::keep_socket() {
  struct stat info {};
  if (::stat(folders_.socket.c_str(), &info) == 0) return hooks_.on_runtime_folder();
  control_.reset();
  for (const std::string& folder : {folders_.runtime, folder_of(folders_.socket)}) (void)prepare_private_folder(folder);
  auto control = listen();
  if (!control) return hooks_.say("error", control.error().message);
  control_ = std::move(*control);
  (void)write_pid_file(record_.pid_file);
  hooks_.on_runtime_folder();
  hooks_.say("warning", "the control socket was gone and is made again: " + folders_.socket);
}

void InstancePlace::close() {
  control_.reset();
  port_.reset();
}

void InstancePlace::leave() {
  if (port_) port_->leave();
  ::unlink(folders_.socket.c_str());
  remove_pid_file(record_.pid_file);
  lock_.reset();
}

}  // namespace zeroth
