#pragma once
// The other way to a worker: a Unix socket ($ZEROTH_SOCKET) for processes whose wrapper closed $ZEROTH_FD (npm,
// Python's subprocess). Whoever connects says hello with the secret of one generation ($ZEROTH_KEY) and so becomes its
// channel. One for each worker that runs a command; owned by Worker.

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "common/loop/loop.h"
#include "common/unique_fd.h"

namespace zeroth {

class HelloSocket {
 public:
  // A generation takes the connection, with the hello still unread in it; or not (the secret is nobody's, or is used
  // up).
  using Take = std::function<bool(const std::string& key, UniqueFd& connection)>;

  // Replaces a socket that is there already: the caller holds the instance's lock. `user`: whose processes may connect
  // beside our own.
  static Result<std::unique_ptr<HelloSocket>> listen(Loop& loop, const std::string& path, Take take,
                                                     std::optional<uid_t> user = {});
  ~HelloSocket();

  const std::string& path() const { return path_; }

 private:
  struct Guest;

  HelloSocket(Loop& loop, std::string path, UniqueFd socket, Take take, std::optional<uid_t> user);
  void watch();
  void accept_all();
  void look(Guest& guest);
  void leave(const Guest& guest, const char* why);

  Loop& loop_;
  const std::string path_;
  UniqueFd socket_;
  Take take_;
  const std::optional<uid_t> user_;
  std::list<std::unique_ptr<Guest>> guests_;
  std::unique_ptr<FdWatch> watch_;
  Timer rest_;  // without accepting, when there is no descriptor left
};

// 128 random bits in hexadecimal; "" if the system has none.
std::string make_key();

}  // namespace zeroth
