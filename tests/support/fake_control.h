#pragma once
// A control socket on a thread of its own that answers as the test says: one client after the other.

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/message.h"
#include "common/unique_fd.h"

namespace zeroth {

class FakeControl {
 public:
  // Gives the bytes to send for a request; "" is silence.
  using Answer = std::function<std::string(const Request&)>;

  // Listens on the socket that belongs to this runtime folder, making the folder.
  FakeControl(const std::string& runtime_dir, Answer answer);
  ~FakeControl();

  // Answers `status` as a healthy supervisor of this program would, everything else by `answer`.
  static Answer running(const std::string& program, Answer answer = nullptr);

  // Requests so far but for status, as JSON text: command and params.
  std::vector<std::string> seen();

 private:
  void serve();
  void serve_client(int fd);
  bool wait(int fd);

  Answer answer_;
  UniqueFd socket_;
  UniqueFd stop_read_, stop_write_;
  std::mutex mutex_;
  std::vector<std::string> seen_;
  std::thread thread_;
};

}  // namespace zeroth
