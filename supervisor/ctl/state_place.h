#pragma once
// The file of a script's state, and what lies beside it until `go`: nobody sees a state that is not live yet.

#include <optional>
#include <string>
#include <string_view>

#include "common/file_state.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"

namespace zeroth {

class StatePlace {
 public:
  explicit StatePlace(std::string file);
  ~StatePlace() { forget(); }

  const std::string& path() const { return file_; }
  // Puts a state beside the file. `schema`: "" with no state is a fresh start, which leaves the file as it is.
  Status stage(std::string_view state, const std::optional<StateFile>& from, const std::string& schema);
  void forget();
  // The staged state becomes the file. Another content that was there stays as "<file>.before".
  Status put();

  // Opens what a checkpoint is of: what is staged, else the file; held for as long as hold() says. -1 as a descriptor:
  // there is none.
  Result<UniqueFd> open() const;
  // From now on the file as it is now, whoever replaces it.
  Status hold();
  void release() { held_.reset(); }

 private:
  bool differs() const;
  const std::string file_, staged_name_;
  bool staged_ = false;   // staged_name_ is there
  bool removes_ = false;  // the state is that there is no file
  std::optional<UniqueFd> held_;
};

}  // namespace zeroth
